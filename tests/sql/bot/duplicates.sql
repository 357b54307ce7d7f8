-- What the bot writes before it has made its keys: attachments saved again, and without an id.

insert into attachments (id, filename, message_id)
values (1, 'a', 101), (2, 'b again', 102), (null, 'd', 101), (null, 'e', 102);

"""Rows that the examples of the old layer's guide are tried on."""

GUILD, CHANNEL, MESSAGE, USER = 100, 200, 300, 400
SAVED = """
insert into servers (server_id, server_name, creation_date) values ({guild}, 'Guild', now());
insert into users (user_id, created_at, bot, username) values ({user}, now(), false, 'Erin');
insert into channels (id, name, created_at, guild_id) values ({channel}, 'art', now(), {guild});
insert into messages (message_id, created_at, content, user_name, server_name, server_id, channel_id,
  channel_name, user_id, jump_url, is_bot)
select {message} + g, now() - g * interval '1 day', 'Text ' || g, 'Erin', 'Guild', {guild}, {channel},
  'art', {user}, 'https://discord.com', false
from generate_series(0, 4) g
"""

-- Rows in every table: good ones, those that mean something else than they say, and those that our
-- keys refuse.

insert into users (user_id, username) values (1, 'Erin'), (2, 'Ryoka'), (3, 'Mrsha');
insert into servers (server_id, server_name) values (10, 'The Inn'), (11, null);
insert into messages (message_id, created_at, content, server_name, server_id, channel_id, user_id,
  jump_url, is_bot, deleted)
select 100 + n, timestamp '2024-01-01' + n * interval '1 hour', 'text ' || n, 'The Inn', 10,
  20 + n % 3, 1 + n % 3, 'https://x/' || n, n % 7 = 0,
  case when n % 5 = 0 then null else n % 11 = 0 end
from generate_series(1, 60) n;
insert into attachments (id, filename, message_id) values (1, 'a', 101), (2, 'b', 102), (3, 'c', 999);
insert into mentions (message_id, user_mention, role_mention)
values (101, 1, null), (101, null, 30), (101, 1, null), (102, 2, null), (null, 1, null), (998, 3, null);
insert into reactions (unicode_emoji, message_id, user_id, emoji_id, date, removed) values
  ('x', 101, 1, null, '2024-01-02', null), (null, 101, 1, 40, '2024-01-02', true),
  ('y', 101, 1, null, null, false), ('z', null, 1, null, '2024-01-02', false);
insert into embeds (message_id, title, footer_icon, thumbnail, author_icon, created_at) values
  (101, 'good', 'icon', 'thumb', 'face', null), (997, 'lost', null, null, null, '2024-01-01');
insert into embed_fields (embed_id, name, value, inline)
values (1, 'first', '1', null), (1, 'second', '2', true), (2, 'lost', '3', false);
insert into message_edit (id, old_content, edit_timestamp)
values (101, 'old', '2024-01-02'), (null, 'whose', '2024-01-02'), (101, 'when', null);
insert into join_leave (user_id, date, join_or_leave, server_name, server_id) values
  (1, '2024-01-01', 'join', 'The Inn', 10), (1, '2024-01-03', 'leave', null, 10),
  (2, '2024-01-01', 'join', null, 11), (2, null, 'leave', 'The Inn', 10),
  (3, '2024-01-01', 'kick', 'The Inn', 10), (1, '2024-01-01', 'join', 'again', 10);
insert into role_changes (user_id, server_id, role_id, action)
values (1, 10, 30, 'added'), (1, 10, 30, 'gained'), (1, 10, 30, 'added');
insert into updates (updated_table, action) values ('channels', 'UPDATE_CHANNEL_NAME');
insert into channels (id, name, deleted) values (21, 'general', null), (22, 'art', true);
insert into voice_activity (user_id, guild_id, channel_id, action)
values (1, 10, 21, 'joined'), (1, 10, 21, 'move');
insert into command_history (command_name, args, start_date, user_id, channel_id, guild_id, slash_command)
values ('quote', '{"index": 1}', '2024-01-01', 1, 21, 10, true),
  ('say', '{"text": "a\u0000b", "path": "c\\u0000d"}', '2024-01-01', 2, null, null, false);
insert into categories (id, name) values (50, 'Inn');
insert into threads (id, name) values (60, 'spoilers');
insert into thread_membership (user_id, thread_id) values (1, 60), (1, 60), (2, 60), (null, 60);
insert into roles (id, name, guild_id, self_assignable, weight)
values (30, 'Innkeeper', 10, null, null), (31, 'Guest', 10, true, 5);
insert into role_membership (user_id, role_id) values (1, 30), (2, 31);
insert into server_membership (user_id, server_id) values (1, 10), (2, 10), (null, 10), (1, null);
insert into emotes (guild_id, emote_id, name) values (10, 40, 'wave');
insert into poll (id, title, expired) values (70, 'Who?', null), (71, 'Where?', true);
insert into poll_option (option_id, poll_id, option_text, num_votes, tokens)
values (1, 70, 'The Singing Ship', 5, null), (2, 70, 'Izril', null, null), (3, null, 'Nobody', 1, null);
insert into quotes (quote, time, tokens)
values ('Sing to me.', '2024-01-01Z', null), ('When?', null, null), (null, '2024-01-02Z', null);
insert into links (title, content, time_added) values
  ('Map 10', 'https://m', '2024-01-01Z'), ('map 10', 'https://n', '2024-01-02Z'),
  ('Wiki', 'https://w', null), (null, 'https://x', '2024-01-01Z');
insert into creator_links (user_id, title, link, nsfw, weight)
values (1, 'Art', 'https://a', null, null), (1, 'art', 'https://b', true, 2), (2, 'Art', null, false, 0);
insert into gallery_mementos values ('gallery', 22, 10), ('gallery-2', 22, 10), ('lost', 23, null);
insert into gallery_migration (message_id, channel_id, channel_name, guild_id, author_id, author_name,
  created_at, images, tags, target_forum, raw_embed_data)
select 100 + n, 22, 'art', 10, 1, 'Erin', '2024-01-01', images::json, tags::json, forum, raw::json
from (values
  (1, '["https://i"]', '["ink"]', 'sfw', '{"title": "t"}'),
  (2, 'null', null, null, 'null'),
  (3, '"[\"https://j\"]"', '[]', 'nsfw', '"{\"title\": \"u\"}"'),
  (4, '[]', '[]', 'other', null),
  (5, '[]', '"ink"', null, null),
  (6, '[]', '[]', null, '[1]')) v (n, images, tags, forum, raw);
insert into reports (message_id, user_id, reason, reported_user_id, channel_id, anonymous) values
  (101, 1, 'spam', 2, 21, null), (101, 1, 'spam again', 2, 21, true), (101, 2, 'spam', 3, 21, false);
insert into password_link (password, link) values ('p', 'https://p'), (null, null);
insert into invisible_text_twi (content, title) values ('hidden', '1.00');
insert into error_telemetry (error_type) values ('KeyError');
insert into bot_metrics (metric_type, metric_data) values ('startup_time', '{"total": 1.5}');
insert into foliana_interlude (content) values ('…');
insert into patreon_twi (post_id, url) values (1, 'https://1'), (2, 'https://2');
insert into protected_is_public (url) values ('https://p');
insert into wandering_inn (title, volume) values ('1.00', 1);
insert into webhook_pins_twi (message_id) values (101);
insert into twi_reddit (time_added, discord_id, reddit_username, currant_patreon, subreddit)
values ('2024-01-01', 1, 'erin', true, 'WanderingInn');
insert into infractions (user_id, reason) values (1, 'chess');
insert into banned_words (word) values ('frog');
insert into button_action_history (user_id, view_id) values (1, 1), (2, 1);
insert into innktober_quests (quest_name) values ('draw');
insert into innktober_submission (user_id) values (1);
insert into role_history (role_id, user_id) values (30, 1);

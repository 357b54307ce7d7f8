-- part: upsert
-- Makes the servers of `server` what is told of them; that one is so already is only looked at: an insert
-- that meets a row draws from the sequence and locks it. A name that is not told stays.
saved_servers as (
  insert into servers as s (server_id, server_name, creation_date)
  select n.server_id, n.server_name, n.creation_date
  from server n
  where (
    select
      (s.server_name, s.creation_date)
        is not distinct from (
          coalesce(n.server_name, s.server_name), coalesce(s.creation_date, n.creation_date)
        )
    from servers s
    where s.server_id = n.server_id
  ) is not true
  order by n.server_id
  on conflict (server_id) do update
  set
    server_name = coalesce(excluded.server_name, s.server_name),
    creation_date = coalesce(s.creation_date, excluded.creation_date)
  where (s.server_name, s.creation_date)
    is distinct from (
      coalesce(excluded.server_name, s.server_name),
      coalesce(s.creation_date, excluded.creation_date)
    )
  -- Of a row that was inserted or updated, an inserted one has no `xmax`.
  returning server_id, xmax = 0 as created
)

-- name: UpsertServer
-- batch: server_id
with server as (
  select
    r._call,
    (r.request ->> 'server_id')::bigint as server_id,
    r.request ->> 'server_name' as server_name,
    (r.request ->> 'creation_date')::timestamp as creation_date
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
:part.upsert
select n._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from server n
left join saved_servers s using (server_id);

-- name: UpdateServerName
with before as (
  select s.server_id, s.server_name, s.creation_date
  from servers s
  where s.server_id = :server_id
  for no key update
),
updated as (
  update servers s
  set server_name = :server_name
  from before b
  where s.server_id = b.server_id and b.server_name is distinct from :server_name
),
logged as (
  insert into updates (updated_table, action, before, after, date, primary_key)
  select
    'servers', 'UPDATE_SERVER_NAME', b.server_name, :server_name, now() at time zone 'UTC',
    b.server_id::text
  from before b
  where b.server_name is distinct from :server_name
)
select b.server_id, :server_name::text as server_name, b.creation_date
from before b;

-- name: SyncGuild
-- batch: server.server_id, category.id, channel.id, thread.id, role.id, emote.emote_id, user.user_id, membership.user_id, membership.server_id, role_membership.user_id, role_membership.role_id
-- Foreign keys are looked at when the statement ends: within it parents may come in any order.
with request as (
  select r.request
  from jsonb_array_elements(:requests) r (request)
),
server as (
  select s.server_id, s.server_name, s.creation_date
  from request r
  cross join jsonb_populate_record(null::servers, r.request -> 'server') s
  where r.request ? 'server'
),
source as (
  select u.user_id, u.created_at, u.bot, u.username
  from request r
  cross join jsonb_populate_record(null::users, r.request -> 'user') u
  where r.request ? 'user'
),
member as (
  select m.user_id, m.server_id
  from request r
  cross join jsonb_populate_record(null::server_membership, r.request -> 'membership') m
  where r.request ? 'membership'
),
role_member as (
  select m.user_id, m.role_id
  from request r
  cross join jsonb_populate_record(null::role_membership, r.request -> 'role_membership') m
  where r.request ? 'role_membership'
),
:part.upsert,
:part.channels.upsert_category,
:part.channels.upsert,
:part.threads.upsert,
:part.roles.upsert,
:part.emotes.upsert,
:part.users.upsert,
:part.members.memberships,
:part.roles.memberships,
saved as (
  select s.created from saved_servers s
  union all
  select s.created from saved_categories s
  union all
  select s.created from saved_channels s
  union all
  select s.created from saved_threads s
  union all
  select s.created from saved_roles s
  union all
  select s.created from saved_emotes s
  union all
  select s.created from saved_users s
  union all
  select true from saved_memberships
  union all
  select true from saved_role_memberships
)
select
  count(*) filter (where s.created) as created,
  count(*) filter (where not s.created) as updated,
  jsonb_array_length(:requests) - count(*) as unchanged
from saved s;

-- part: found(name, source, rows)
  union all
  select :name, t.ctid
  from :source t
  where :rows

-- part: rest(name, source, rows)
  union all
  select :name, t.ctid
  from :source t
  where (select l.due from last_call l) and (:rows)

-- part: in_batch
-- An array, or the tables are read whole for each batch.
  = any(array(select b.message_id from batch b))

-- part: erased(name, source)
  (
    delete from :source t
    where not :dry_run and t.ctid = any(array(select f.place from found f where f.table_name = :name))
  )

-- name: PurgeServer
-- scan: command_history: once for a server
-- scan: error_telemetry: once for a server
-- scan: gallery_migration: once for a server
-- scan: mentions: its indexes are of users and of roles, and it is small beside the messages
-- scan: message_edit: it is small beside the messages
-- scan: role_changes: once for a server
-- scan: role_membership: once for a server
-- scan: server_membership: once for a server
-- scan: thread_membership: once for a server
-- scan: threads: once for a server
-- scan: updates: once for a server
-- scan: voice_activity: once for a server
-- Messages are what a server may have millions of: all else waits for the call that finds less of them than
-- it may take.
with batch as (
  select m.message_id
  from messages m
  where m.server_id = :server_id
  order by m.created_at, m.message_id
  limit case when not :dry_run then :message_count::bigint end
),
last_call as (select :dry_run or count(*) < :message_count as due from batch),
own_channels as (select c.id from channels c where c.guild_id = :server_id),
own_places as (
  select c.id from own_channels c
  union all
  select t.id from threads t where t.guild_id = :server_id
),
own_roles as (select r.id from roles r where r.guild_id = :server_id),
own_ids as (
  select :server_id::text as id
  union all
  select p.id::text from own_places p
  union all
  select r.id::text from own_roles r
  union all
  select c.id::text from categories c where c.guild_id = :server_id
  union all
  select e.emote_id::text from emotes e where e.guild_id = :server_id
),
found (table_name, place) as (
  select '', null::tid
  where false
  :part.found('attachments', attachments, t.message_id :part.in_batch)
  :part.rest('banned_words', banned_words, t.server = :server_id)
  :part.rest('button_action_history', button_action_history, t.guild_id = :server_id)
  :part.rest('categories', categories, t.guild_id = :server_id)
  :part.rest('channels', channels, t.guild_id = :server_id)
  :part.rest('command_history', command_history,
    t.guild_id = :server_id or t.channel_id in (select c.id from own_channels c)
  )
  :part.found('embed_fields', embed_fields,
    t.embed_id = any(array(select e.id from embeds e where e.message_id :part.in_batch))
  )
  :part.found('embeds', embeds, t.message_id :part.in_batch)
  :part.rest('emotes', emotes, t.guild_id = :server_id)
  :part.rest('error_telemetry', error_telemetry,
    t.guild_id = :server_id or t.channel_id in (select p.id from own_places p)
  )
  :part.found('foliana_interlude', foliana_interlude,
    t.message_id :part.in_batch
  )
  :part.rest('gallery_mementos', gallery_mementos, t.guild_id = :server_id)
  :part.rest('gallery_migration', gallery_migration, t.guild_id = :server_id)
  :part.rest('infractions', infractions, t.server_id = :server_id)
  :part.rest('innktober_quests', innktober_quests, t.thread_id in (select p.id from own_places p))
  :part.rest('innktober_submission', innktober_submission, t.channel_id in (select p.id from own_places p))
  :part.rest('join_leave', join_leave, t.server_id = :server_id)
  :part.rest('links', links, t.guild_id = :server_id)
  :part.found('mentions', mentions, t.message_id :part.in_batch)
  :part.found('message_edit', message_edit, t.id :part.in_batch)
  :part.found('messages', messages, t.message_id :part.in_batch)
  :part.found('reactions', reactions, t.message_id :part.in_batch)
  :part.rest('reports', reports, t.guild_id = :server_id)
  :part.rest('role_changes', role_changes, t.server_id = :server_id)
  :part.rest('role_history', role_history, t.role_id in (select r.id from own_roles r))
  :part.rest('role_membership', role_membership, t.role_id in (select r.id from own_roles r))
  :part.rest('roles', roles, t.guild_id = :server_id)
  :part.rest('server_membership', server_membership, t.server_id = :server_id)
  :part.rest('server_settings', server_settings, t.guild_id = :server_id)
  :part.rest('servers', servers, t.server_id = :server_id)
  :part.rest('thread_membership', thread_membership, t.thread_id in (select p.id from own_places p))
  :part.rest('threads', threads, t.guild_id = :server_id)
  :part.rest('updates', updates,
    t.updated_table = any ('{servers,channels,categories,threads,roles,emotes}')
    and t.primary_key in (select i.id from own_ids i)
  )
  :part.rest('voice_activity', voice_activity,
    t.guild_id = :server_id or t.channel_id in (select c.id from own_channels c)
  )
  :part.found('webhook_pins_twi', webhook_pins_twi,
    t.message_id :part.in_batch
  )
),
erased_attachments as :part.erased('attachments', attachments),
erased_banned_words as :part.erased('banned_words', banned_words),
erased_button_action_history as :part.erased('button_action_history', button_action_history),
erased_categories as :part.erased('categories', categories),
erased_channels as :part.erased('channels', channels),
erased_command_history as :part.erased('command_history', command_history),
erased_embed_fields as :part.erased('embed_fields', embed_fields),
erased_embeds as :part.erased('embeds', embeds),
erased_emotes as :part.erased('emotes', emotes),
erased_error_telemetry as :part.erased('error_telemetry', error_telemetry),
erased_foliana_interlude as :part.erased('foliana_interlude', foliana_interlude),
erased_gallery_mementos as :part.erased('gallery_mementos', gallery_mementos),
erased_gallery_migration as :part.erased('gallery_migration', gallery_migration),
erased_infractions as :part.erased('infractions', infractions),
erased_innktober_quests as :part.erased('innktober_quests', innktober_quests),
erased_innktober_submission as :part.erased('innktober_submission', innktober_submission),
erased_join_leave as :part.erased('join_leave', join_leave),
erased_links as :part.erased('links', links),
erased_mentions as :part.erased('mentions', mentions),
erased_message_edit as :part.erased('message_edit', message_edit),
erased_messages as :part.erased('messages', messages),
erased_reactions as :part.erased('reactions', reactions),
erased_reports as :part.erased('reports', reports),
erased_role_changes as :part.erased('role_changes', role_changes),
erased_role_history as :part.erased('role_history', role_history),
erased_role_membership as :part.erased('role_membership', role_membership),
erased_roles as :part.erased('roles', roles),
erased_server_membership as :part.erased('server_membership', server_membership),
erased_server_settings as :part.erased('server_settings', server_settings),
erased_servers as :part.erased('servers', servers),
erased_thread_membership as :part.erased('thread_membership', thread_membership),
erased_threads as :part.erased('threads', threads),
erased_updates as :part.erased('updates', updates),
erased_voice_activity as :part.erased('voice_activity', voice_activity),
erased_webhook_pins_twi as :part.erased('webhook_pins_twi', webhook_pins_twi)
select
  coalesce(
    (
      select jsonb_agg(c)
      from (
        select f.table_name, count(*) as count
        from found f
        group by f.table_name
        order by f.table_name
      ) c
    ),
    '[]'
  ) as tables,
  (select not l.due from last_call l) as has_more;

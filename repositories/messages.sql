-- Messages and what hangs on them. A `timestamp` is UTC; the times of jsonb end with a `Z`, which a cast
-- to `timestamp` leaves out.

-- part: save
-- Saves the messages of a set that are not there, with what hangs on them but the embeds. An insert that
-- meets a row draws from its sequence all the same: servers and users that are there are left out before.
with request as (
  select
    r._call,
    r.request -> 'author' as author,
    r.request -> 'message' as message,
    (r.request -> 'message' ->> 'message_id')::bigint as message_id,
    (r.request -> 'message' ->> 'server_id')::bigint as server_id,
    (r.request -> 'message' ->> 'user_id')::bigint as user_id
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
new_servers as (
  insert into servers (server_id, server_name)
  select distinct on (r.server_id) r.server_id, nullif(r.message ->> 'server_name', '')
  from request r
  where (select s.server_id from servers s where s.server_id = r.server_id) is null
  order by r.server_id, r._call
  on conflict (server_id) do nothing
),
new_users as (
  insert into users (user_id, created_at, bot, username)
  select distinct on (r.user_id)
    r.user_id,
    coalesce((r.author ->> 'created_at')::timestamp, '1970-01-01'),
    coalesce((r.author ->> 'bot')::boolean, (r.message ->> 'is_bot')::boolean),
    coalesce(r.author ->> 'username', r.message ->> 'user_name', '')
  from request r
  where r.user_id is not null and (select u.user_id from users u where u.user_id = r.user_id) is null
  order by r.user_id, r._call
  on conflict (user_id) do nothing
),
saved as (
  insert into messages (
    message_id, created_at, content, user_name, server_name, server_id, channel_id, channel_name, user_id,
    user_nick, jump_url, is_bot, deleted, reference
  )
  select
    m.message_id, m.created_at, m.content, m.user_name, coalesce(nullif(m.server_name, ''), 'DM'),
    m.server_id, m.channel_id, m.channel_name, m.user_id, m.user_nick, m.jump_url, m.is_bot, m.deleted,
    m.reference
  from request r
  cross join jsonb_populate_record(null::messages, r.message) m
  order by r.message_id
  on conflict (message_id) do nothing
  returning message_id
),
new_message as (
  select s.message_id, r.message
  from saved s
  join request r using (message_id)
),
new_attachments as (
  insert into attachments (id, filename, url, size, height, width, is_spoiler, message_id)
  select a.id, a.filename, a.url, a.size, a.height, a.width, a.is_spoiler, n.message_id
  from new_message n
  cross join jsonb_populate_recordset(null::attachments, n.message -> 'attachments') a
  on conflict (id) do nothing
),
new_mentions as (
  insert into mentions (message_id, user_mention, role_mention)
  select n.message_id, m.user_mention, m.role_mention
  from new_message n
  cross join lateral (
    select u.id::bigint, null::bigint
    from jsonb_array_elements_text(n.message -> 'user_mentions') u (id)
    union all
    select null, r.id::bigint
    from jsonb_array_elements_text(n.message -> 'role_mentions') r (id)
  ) m (user_mention, role_mention)
  on conflict do nothing
),
source as (select n.message_id, n.message -> 'embeds' as embeds from new_message n)

-- part: embeds
-- Saves the embeds of `source` with their fields. Ids are drawn here, in the embeds' order, as the fields
-- need them.
embed as (
  select nextval('embeds_id_seq') as id, e.message_id, e.embed
  from (
    select s.message_id, e.embed
    from source s
    cross join jsonb_array_elements(s.embeds) with ordinality e (embed, place)
    order by s.message_id, e.place
  ) e
),
new_embeds as (
  insert into embeds (
    id, message_id, title, description, url, timestamp, color, footer_text, footer_icon_url, image_url,
    image_proxy_url, image_height, image_width, thumbnail_url, thumbnail_proxy_url, thumbnail_height,
    thumbnail_width, video_url, video_proxy_url, video_height, video_width, provider_name, provider_url,
    author_name, author_url, author_icon_url, created_at
  )
  select
    e.id, e.message_id, x.title, x.description, x.url, x.timestamp, x.color, x.footer_text,
    x.footer_icon_url, x.image_url, x.image_proxy_url, x.image_height, x.image_width, x.thumbnail_url,
    x.thumbnail_proxy_url, x.thumbnail_height, x.thumbnail_width, x.video_url, x.video_proxy_url,
    x.video_height, x.video_width, x.provider_name, x.provider_url, x.author_name, x.author_url,
    x.author_icon_url, coalesce(x.created_at, now() at time zone 'UTC')
  from embed e
  cross join jsonb_populate_record(null::embeds, e.embed) x
),
new_fields as (
  insert into embed_fields (embed_id, name, value, inline, field_order)
  select
    e.id,
    f.field ->> 'name',
    f.field ->> 'value',
    (f.field ->> 'inline')::boolean,
    coalesce((f.field ->> 'field_order')::integer, f.place - 1)
  from embed e
  cross join jsonb_array_elements(e.embed -> 'fields') with ordinality f (field, place)
  on conflict (embed_id, field_order) do nothing
)

-- part: message
-- The columns of a message `m` and all that hangs on it, by one look into an index each.
  m.message_id, m.created_at, m.content, m.user_name, m.server_name, m.server_id, m.channel_id,
  m.channel_name, m.user_id, m.user_nick, m.jump_url, m.is_bot, m.deleted, m.reference,
  (
    select json_agg(attachment order by attachment.id)
    from (
      select a.id, a.filename, a.url, a.size, a.height, a.width, a.is_spoiler
      from attachments a
      where a.message_id = m.message_id
    ) attachment
  ) as attachments,
  (
    select json_agg(embed order by embed.id)
    from (
      select
        e.id, e.title, e.description, e.url, e.timestamp at time zone 'UTC' as timestamp, e.color,
        e.footer_text, e.footer_icon_url, e.image_url, e.image_proxy_url, e.image_height, e.image_width,
        e.thumbnail_url, e.thumbnail_proxy_url, e.thumbnail_height, e.thumbnail_width, e.video_url,
        e.video_proxy_url, e.video_height, e.video_width, e.provider_name, e.provider_url, e.author_name,
        e.author_url, e.author_icon_url,
        e.created_at at time zone 'UTC' as created_at,
        (
          select json_agg(field order by field.field_order)
          from (
            select f.name, f.value, f.inline, f.field_order
            from embed_fields f
            where f.embed_id = e.id
          ) field
        ) as fields
      from embeds e
      where e.message_id = m.message_id
    ) embed
  ) as embeds,
  array(
    select n.user_mention
    from mentions n
    where n.message_id = m.message_id and n.user_mention is not null
    order by n.user_mention
  ) as user_mentions,
  array(
    select n.role_mention
    from mentions n
    where n.message_id = m.message_id and n.role_mention is not null
    order by n.role_mention
  ) as role_mentions

-- part: in_period
m.created_at >= coalesce(:start_time::timestamp, '-infinity')
and m.created_at <= coalesce(:end_time::timestamp, 'infinity')

-- name: SaveMessage
-- batch: message.message_id
:part.save,
:part.embeds
select r._call, r.message_id in (select s.message_id from saved s) as created
from request r;

-- name: ImportMessages
-- batch: message.message_id
:part.save,
:part.embeds
select count(n.message_id) as created, count(*) - count(n.message_id) as existing
from request r
left join new_message n using (message_id);

-- name: CreateMessage
with saved as (
  insert into messages (
    message_id, created_at, content, user_name, server_name, server_id, channel_id, channel_name, user_id,
    user_nick, jump_url, is_bot, deleted, reference
  )
  values (
    :message_id, :created_at, :content, :user_name, coalesce(nullif(:server_name, ''), 'DM'), :server_id,
    :channel_id, :channel_name, :user_id, :user_nick, :jump_url, :is_bot, :deleted, :reference
  )
  on conflict (message_id) do nothing
  returning message_id
)
select exists (select from saved) as created;

-- name: BatchCreateAttachments
with saved as (
  insert into attachments (id, filename, url, size, height, width, is_spoiler, message_id)
  select a.id, a.filename, a.url, a.size, a.height, a.width, a.is_spoiler, :message_id
  from jsonb_populate_recordset(null::attachments, :attachments) a
  on conflict (id) do nothing
  returning id
)
select count(*) as count
from saved;

-- name: CreateEmbed
with source as (select :message_id::bigint as message_id, jsonb_build_array(:embed::jsonb) as embeds),
:part.embeds
select e.id
from embed e
limit 1;

-- name: BatchCreateEmbedFields
with saved as (
  insert into embed_fields (embed_id, name, value, inline, field_order)
  select
    :embed_id,
    f.field ->> 'name',
    f.field ->> 'value',
    (f.field ->> 'inline')::boolean,
    coalesce((f.field ->> 'field_order')::integer, f.place - 1)
  from jsonb_array_elements(:fields) with ordinality f (field, place)
  on conflict (embed_id, field_order) do nothing
  returning id
)
select count(*) as count
from saved;

-- name: BatchCreateUserMentions
with saved as (
  insert into mentions (message_id, user_mention)
  select :message_id, m.id
  from unnest(:user_mentions::bigint[]) m (id)
  on conflict (message_id, user_mention) where user_mention is not null do nothing
  returning serial_id
)
select count(*) as count
from saved;

-- name: BatchCreateRoleMentions
with saved as (
  insert into mentions (message_id, role_mention)
  select :message_id, m.id
  from unnest(:role_mentions::bigint[]) m (id)
  on conflict (message_id, role_mention) where role_mention is not null do nothing
  returning serial_id
)
select count(*) as count
from saved;

-- name: GetMessage
select
:part.message
from messages m
where m.message_id = :message_id;

-- name: GetMessageContent
select m.content
from messages m
where m.message_id = :message_id;

-- name: StreamMessages
-- page: m.created_at, m.message_id
select
:part.message
from messages m
where m.channel_id = :channel_id
  and :part.in_period
  and :page.after
order by m.created_at, m.message_id
limit :page.size;

-- name: StreamUserMessages
-- page: m.created_at, m.message_id
select
:part.message
from messages m
where m.user_id = :user_id
  and :part.in_period
  and :page.after
order by m.created_at, m.message_id
limit :page.size;

-- name: ListMessageIds
-- page: m.created_at, m.message_id
select m.message_id as message_ids, m.message_id, m.created_at
from messages m
where m.channel_id = :channel_id
  and :part.in_period
  and :page.after
order by m.created_at, m.message_id
limit :page.size;

-- name: FindMissingMessageIds
select distinct c.message_id as message_ids
from unnest(:message_ids::bigint[]) c (message_id)
where (select m.message_id from messages m where m.message_id = c.message_id) is null
order by c.message_id;

-- name: GetLastMessageTime
select max(m.created_at) as created_at
from messages m
where m.channel_id = :channel_id;

-- name: GetLastMessageTimes
select
  c.channel_id,
  (select max(m.created_at) from messages m where m.channel_id = c.channel_id) as created_at
from (select distinct unnest(:channel_ids::bigint[]) as channel_id) c
order by c.channel_id;

-- name: RecordMessageEdit
-- batch: message_id
with request as (
  select
    r._call,
    (r.request ->> 'message_id')::bigint as message_id,
    r.request ->> 'new_content' as new_content,
    (r.request ->> 'edit_timestamp')::timestamp as edit_timestamp
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
stored as (
  select m.message_id, m.content
  from messages m
  where m.message_id in (select r.message_id from request r)
  order by m.message_id
  for no key update
),
edit as (
  select r.message_id, s.content as old_content, r.new_content, r.edit_timestamp
  from request r
  join stored s using (message_id)
  where s.content is distinct from r.new_content
),
recorded as (
  insert into message_edit (id, old_content, new_content, edit_timestamp)
  select e.message_id, e.old_content, e.new_content, e.edit_timestamp
  from edit e
),
updated as (
  update messages m
  set content = e.new_content
  from edit e
  where m.message_id = e.message_id
)
select r._call, s.content as old_content, s.message_id is not null as stored
from request r
left join stored s using (message_id);

-- name: CreateMessageEdit
insert into message_edit (id, old_content, new_content, edit_timestamp)
values (:message_id, :old_content, :new_content, :edit_timestamp);

-- name: UpdateMessageContent
with updated as (
  update messages
  set content = :content
  where message_id = :message_id and content is distinct from :content
)
select 1
from messages
where message_id = :message_id;

-- name: MarkMessageDeleted
-- batch: message_id
with request as (
  select r._call, (r.request ->> 'message_id')::bigint as message_id
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
marked as (
  update messages m
  set deleted = true
  from request r
  where m.message_id = r.message_id and not m.deleted
)
select r._call
from request r
join messages m using (message_id);

-- name: BatchMarkMessagesDeleted
with marked as (
  update messages
  set deleted = true
  where message_id = any (:message_ids) and not deleted
  returning message_id
)
select count(*) as count
from marked;

-- Reactions. A row has either `emoji_id` or `unicode_emoji`, and of each there is one a message and user,
-- which two unique indexes see to. An insert that meets a row draws from its sequence all the same: those
-- that are there are left out before.

-- part: save
-- Adds the reactions of `source` that are not there, and brings back those that were taken back. The
-- array makes it look these up, where a join may read all reactions.
back as (
  update reactions x
  set removed = false
  where x.removed and x.id = any(array(
    select (
      select y.id
      from reactions y
      where y.message_id = s.message_id and y.user_id = s.user_id
        and (y.emoji_id = s.emoji_id or y.unicode_emoji = s.unicode) and y.removed
      limit 1
    )
    from source s
  ))
  returning x.message_id, x.user_id
),
new as (
  insert into reactions (
    message_id, user_id, unicode_emoji, emoji_id, emoji_name, animated, is_custom_emoji, url, date
  )
  select
    s.message_id,
    s.user_id,
    s.unicode,
    s.emoji_id,
    case when s.emoji_id is null then s.unicode else s.name end,
    coalesce(s.animated, false),
    s.emoji_id is not null,
    'https://cdn.discordapp.com/emojis/' || s.emoji_id || case when s.animated then '.gif' else '.png' end,
    s.date
  from source s
  where (
    select x.id
    from reactions x
    where x.message_id = s.message_id and x.user_id = s.user_id
      and (x.emoji_id = s.emoji_id or x.unicode_emoji = s.unicode)
    limit 1
  ) is null
  order by s.message_id, s.user_id
  on conflict do nothing
  returning message_id, user_id
),
added as (
  select b.message_id, b.user_id
  from back b
  union all
  select n.message_id, n.user_id
  from new n
)

-- name: UpsertReaction
-- batch: message_id, user_id
with source as (
  select
    r._call,
    (r.request ->> 'message_id')::bigint as message_id,
    (r.request ->> 'user_id')::bigint as user_id,
    (r.request -> 'custom' ->> 'emoji_id')::bigint as emoji_id,
    r.request -> 'custom' ->> 'name' as name,
    (r.request -> 'custom' ->> 'animated')::boolean as animated,
    r.request ->> 'unicode' as unicode,
    (r.request ->> 'date')::timestamp as date
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
:part.save
select s._call, (s.message_id, s.user_id) in (select a.message_id, a.user_id from added a) as added
from source s;

-- name: MarkReactionRemoved
-- batch: message_id, user_id
with request as (
  select
    r._call,
    (r.request ->> 'message_id')::bigint as message_id,
    (r.request ->> 'user_id')::bigint as user_id,
    (r.request ->> 'emoji_id')::bigint as emoji_id,
    r.request ->> 'unicode' as unicode
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
),
marked as (
  update reactions x
  set removed = true
  where not x.removed and x.id = any(array(
    select (
      select y.id
      from reactions y
      where y.message_id = r.message_id and y.user_id = r.user_id
        and (y.emoji_id = r.emoji_id or y.unicode_emoji = r.unicode) and not y.removed
      limit 1
    )
    from request r
  ))
)
select r._call
from request r
where (
  select x.id
  from reactions x
  where x.message_id = r.message_id and x.user_id = r.user_id
    and (x.emoji_id = r.emoji_id or x.unicode_emoji = r.unicode)
  limit 1
) is not null;

-- name: BatchUpsertReactions
with source as (
  select distinct
    :message_id::bigint as message_id,
    u.user_id,
    :custom.emoji_id::bigint as emoji_id,
    :custom.name::text as name,
    :custom.animated::boolean as animated,
    :unicode::text as unicode,
    :date::timestamp as date
  from unnest(:user_ids::bigint[]) u (user_id)
),
:part.save
select count(*) as count
from added;

-- name: ClearReactions
with marked as (
  update reactions
  set removed = true
  where message_id = :message_id and not removed
  returning id
)
select count(*) as count
from marked;

-- name: ClearEmojiReactions
with marked as (
  update reactions
  set removed = true
  where message_id = :message_id and (emoji_id = :emoji_id or unicode_emoji = :unicode) and not removed
  returning id
)
select count(*) as count
from marked;

-- name: ListReactedMessagesNotStored
-- page: r.message_id
select r.message_id as message_ids, r.message_id
from (
  select message_id
  from reactions
  group by message_id
) r
where (select m.message_id from messages m where m.message_id = r.message_id) is null and :page.after
order by r.message_id
limit :page.size;

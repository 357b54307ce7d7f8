-- part: insert
-- Adds the request's emote.
  insert into emotes as e (
    emote_id, guild_id, name, user_id, created_at, animated, available, managed, require_colons
  )
  values (
    :emote.emote_id, :emote.guild_id, :emote.name, :emote.user_id, :emote.created_at,
    :emote.animated, :emote.available, :emote.managed, :emote.require_colons
  )

-- name: UpsertEmote
-- Of a row that was inserted or updated, an inserted one has no `xmax`.
with saved as (
  :part.insert
  on conflict (emote_id) do update
  set
    guild_id = coalesce(e.guild_id, excluded.guild_id),
    name = excluded.name,
    user_id = coalesce(excluded.user_id, e.user_id),
    created_at = coalesce(e.created_at, excluded.created_at),
    animated = excluded.animated,
    available = coalesce(excluded.available, e.available),
    managed = excluded.managed,
    require_colons = coalesce(excluded.require_colons, e.require_colons)
  where (
      e.guild_id, e.name, e.user_id, e.created_at, e.animated, e.available, e.managed,
      e.require_colons
    )
    is distinct from (
      coalesce(e.guild_id, excluded.guild_id), excluded.name,
      coalesce(excluded.user_id, e.user_id), coalesce(e.created_at, excluded.created_at),
      excluded.animated, coalesce(excluded.available, e.available), excluded.managed,
      coalesce(excluded.require_colons, e.require_colons)
    )
  returning xmax = 0 as created
)
select
  exists (select from saved s where s.created) as created,
  exists (select from saved s where not s.created) as updated;

-- name: CreateEmote
:part.insert
returning
  e.emote_id, e.guild_id, e.name, e.user_id, e.created_at, e.animated, e.available, e.managed,
  e.require_colons, e.deleted;

-- name: MarkEmoteDeleted
with marked as (
  update emotes
  set deleted = true
  where emote_id = :emote_id and not deleted
)
select 1
from emotes e
where e.emote_id = :emote_id;

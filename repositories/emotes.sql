-- part: upsert
-- Makes the emotes of a set what is told of them; that one is so already is only looked at. Of rows that
-- were inserted or updated, an inserted one has no `xmax`.
emote as (
  select
    r._call, e.emote_id, e.guild_id, e.name, e.user_id, e.created_at, e.animated, e.available,
    e.managed, e.require_colons
  from jsonb_array_elements(:requests) with ordinality r (request, _call)
  cross join jsonb_populate_record(null::emotes, r.request -> 'emote') e
  where r.request ? 'emote'
),
saved_emotes as (
  insert into emotes as e (
    emote_id, guild_id, name, user_id, created_at, animated, available, managed, require_colons
  )
  select
    n.emote_id, n.guild_id, n.name, n.user_id, n.created_at, n.animated, n.available, n.managed,
    n.require_colons
  from emote n
  where (
    select
      (
        e.guild_id, e.name, e.user_id, e.created_at, e.animated, e.available, e.managed,
        e.require_colons
      )
        is not distinct from (
          coalesce(e.guild_id, n.guild_id), n.name, coalesce(n.user_id, e.user_id),
          coalesce(e.created_at, n.created_at), n.animated, coalesce(n.available, e.available),
          n.managed, coalesce(n.require_colons, e.require_colons)
        )
    from emotes e
    where e.emote_id = n.emote_id
  ) is not true
  order by n.emote_id
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
  returning emote_id, xmax = 0 as created
)

-- name: UpsertEmote
-- batch: emote.emote_id
with :part.upsert
select n._call, coalesce(s.created, false) as created, coalesce(not s.created, false) as updated
from emote n
left join saved_emotes s using (emote_id);

-- name: CreateEmote
insert into emotes as e (
  emote_id, guild_id, name, user_id, created_at, animated, available, managed, require_colons
)
values (
  :emote.emote_id, :emote.guild_id, :emote.name, :emote.user_id, :emote.created_at,
  :emote.animated, :emote.available, :emote.managed, :emote.require_colons
)
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

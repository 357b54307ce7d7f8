-- name: ListPinChannels
-- page: c.id
select c.id as channel_ids, c.id
from channels c
where c.allow_pins and :page.after
order by c.id
limit :page.size;

-- name: SetChannelPinsAllowed
with changed as (
  update channels
  set allow_pins = :allowed
  where id = :channel_id and allow_pins <> :allowed
  returning id
)
select exists (select from changed) as changed
from channels
where id = :channel_id;

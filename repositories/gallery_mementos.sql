-- name: ListGalleryMementos
-- page: m.guild_id, m.channel_name
select m.channel_name, m.channel_id, m.guild_id
from gallery_mementos m
where :page.after
order by m.guild_id, m.channel_name
limit :page.size;

-- name: ListGuildGalleryMementos
-- page: m.channel_name
select m.channel_name, m.channel_id, m.guild_id
from gallery_mementos m
where m.guild_id = :guild_id and :page.after
order by m.channel_name
limit :page.size;

-- name: GetGalleryMementoByChannel
select m.channel_name, m.channel_id, m.guild_id
from gallery_mementos m
where m.channel_id = :channel_id;

-- name: CreateGalleryMemento
insert into gallery_mementos (channel_name, channel_id, guild_id)
values (:channel_name, :channel_id, :guild_id)
returning channel_name, channel_id, guild_id;

-- name: DeleteGalleryMementoByChannel
delete from gallery_mementos
where channel_id = :channel_id
returning 1;

-- name: CheckGalleryMementoExists
select exists (
  select 1
  from gallery_mementos m
  where m.channel_id = :channel_id
) as exists;

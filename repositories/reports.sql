-- part: report
-- The columns of a report `r`.
  r.id, r.message_id, r.user_id, r.reported_user_id, r.channel_id, r.reason, r.anonymous,
  r.additional_info, r.guild_id, r.created_at

-- name: GetReport
select :part.report
from reports r
where r.message_id = :message_id and r.user_id = :user_id;

-- name: CreateReport
insert into reports as r (
  message_id,
  user_id,
  reported_user_id,
  channel_id,
  reason,
  anonymous,
  additional_info,
  guild_id
)
values (
  :message_id,
  :user_id,
  :reported_user_id,
  :channel_id,
  :reason,
  :anonymous,
  :additional_info,
  :guild_id
)
returning :part.report;

-- name: CheckReportExists
select exists (
  select 1
  from reports r
  where r.message_id = :message_id and r.user_id = :user_id
) as exists;

-- name: ListGuildReports
-- page: r.created_at desc, r.id desc
select :part.report
from reports r
where r.guild_id = :guild_id and :page.after
order by r.created_at desc, r.id desc
limit :page.size;

-- name: ListReportsAgainstUser
-- page: r.created_at desc, r.id desc
select :part.report
from reports r
where r.reported_user_id = :reported_user_id and :page.after
order by r.created_at desc, r.id desc
limit :page.size;

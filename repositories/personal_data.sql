-- People's and servers' data. What becomes of each column is said in personal_data.md, and held against
-- this file by a test.
--
-- A list of tables is a line each; its first branch is empty. Rows are named by where they are, as the
-- whole statement sees one state of the tables.

-- part: rows(name, source, key, whose)
  union all
  (
    select :name, :key, to_jsonb(t)
    from :source t
    where (:whose)
      and :name >= coalesce(:page.after_0, '')
      and :key > coalesce(
        case when :page.after_0 = :name then :page.after_1::bigint end, '-9223372036854775808'
      )
    order by :key
    limit :page.size
  )

-- part: found(name, fate, source, rows)
  union all
  select :name, :fate, t.ctid
  from :source t
  where :rows

-- part: erased(name, source)
  (
    delete from :source t
    where not :dry_run and t.ctid = any(
      array(select f.place from found f where f.table_name = :name and f.fate = 'erased')
    )
  )

-- part: changed(name, fate, source, change)
  (
    update :source t
    set :change
    where not :dry_run and t.ctid = any(
      array(select f.place from found f where f.table_name = :name and f.fate = :fate)
    )
  )

-- part: in_own
  in (select m.message_id from messages m where m.user_id = :user_id)

-- part: mentioning
  :user_id in (t.user_mention, (select m.user_id from messages m where m.message_id = t.message_id))

-- part: names(text)
-- Whether a text names the user; the pattern is slower than what its digits are looked for by.
  (:text like (select p.digits from person p) and :text ~ (select p.word from person p))

-- part: less(text)
  regexp_replace(:text, (select p.word from person p), '0', 'g')

-- part: audited
-- A row of the audit trail about the user, and not about a thing of the same number.
  t.primary_key = :user_id::text
  and t.updated_table <> all ('{servers,channels,categories,threads,roles,emotes,messages}')

-- part: counts
  select
    f.table_name,
    count(*) filter (where f.fate = 'erased') as erased,
    count(*) filter (where f.fate <> 'erased') as anonymised
  from found f
  group by f.table_name
  order by f.table_name

-- name: ExportUserData
-- scan: error_telemetry: no index has its users, who seldom ask
-- scan: message_edit: in the order of its key, for each portion no further than that takes
-- scan: threads: they are few thousands
-- scan: updates: no index has what it is about
-- scan: voice_activity: no index has its users, who seldom ask
-- page: r.table_name, r.key
-- Each table is read from where the last portion ended, and those before it not at all.
select
  r.table_name,
  r.key,
  (
    select jsonb_object_agg(
      c.key,
      case
        when jsonb_typeof(c.value) in ('boolean', 'null') then c.value
        else to_jsonb(c.value #>> '{}')
      end
    )
    from jsonb_each(r.row) c
    where not (r.table_name = 'reports' and c.key = 'user_id' and c.value <> to_jsonb(:user_id))
  ) as row
from (
  select '' as table_name, 0::bigint as key, null::jsonb as row
  where false
  :part.rows('attachments', attachments, t.id, t.message_id :part.in_own)
  :part.rows('button_action_history', button_action_history, t.view_id, t.user_id = :user_id)
  :part.rows('command_history', command_history, t.serial, t.user_id = :user_id)
  :part.rows('creator_links', creator_links, t.serial_id, t.user_id = :user_id)
  :part.rows('embed_fields', embed_fields, t.id,
    t.embed_id in (select e.id from embeds e where e.message_id :part.in_own)
  )
  :part.rows('embeds', embeds, t.id, t.message_id :part.in_own)
  :part.rows('emotes', emotes, t.emote_id, t.user_id = :user_id)
  :part.rows('error_telemetry', error_telemetry, t.id, t.user_id = :user_id)
  :part.rows('foliana_interlude', foliana_interlude, t.serial_id, t.author_id = :user_id)
  :part.rows('gallery_migration', gallery_migration, t.id, :user_id in (t.author_id, t.reviewed_by))
  :part.rows('infractions', infractions, t.id, t.user_id = :user_id)
  :part.rows('innktober_submission', innktober_submission, t.id, :user_id in (t.user_id, t.approved_by))
  :part.rows('join_leave', join_leave, t.id, t.user_id = :user_id)
  :part.rows('links', links, t.id, t.id_user_who_added = :user_id)
  :part.rows('mentions', mentions, t.serial_id, :part.mentioning)
  :part.rows('message_edit', message_edit, t.serial_id, t.id :part.in_own)
  :part.rows('messages', messages, t.message_id, t.user_id = :user_id)
  :part.rows('password_link', password_link, t.serial_id, t.user_id = :user_id)
  :part.rows('quotes', quotes, t.serial_id, t.author_id = :user_id)
  :part.rows('reactions', reactions, t.id, t.user_id = :user_id)
  :part.rows('reports', reports, t.id, :user_id in (t.user_id, t.reported_user_id))
  :part.rows('role_changes', role_changes, t.id, t.user_id = :user_id)
  :part.rows('role_history', role_history, t.serial_id, t.user_id = :user_id)
  :part.rows('role_membership', role_membership, t.role_id, t.user_id = :user_id)
  :part.rows('server_membership', server_membership, t.server_id, t.user_id = :user_id)
  :part.rows('thread_membership', thread_membership, t.serial_id, t.user_id = :user_id)
  :part.rows('threads', threads, t.id, :user_id in (t.owner_id, t.archiver_id))
  :part.rows('twi_reddit', twi_reddit, t.discord_id, t.discord_id = :user_id)
  :part.rows('updates', updates, t.serial_id, :part.audited)
  :part.rows('users', users, t.user_id, t.user_id = :user_id)
  :part.rows('voice_activity', voice_activity, t.id, t.user_id = :user_id)
) r
where :page.after
order by r.table_name, r.key
limit :page.size;

-- name: DeleteUserData
-- scan: bot_metrics: its texts may name the user
-- scan: command_history: its texts may name the user
-- scan: embed_fields: its texts may name the user
-- scan: embeds: its texts may name the user
-- scan: error_telemetry: its texts may name the user
-- scan: gallery_migration: its texts may name the user
-- scan: mentions: no index has the users, who are seldom erased
-- scan: message_edit: its texts may name the user
-- scan: messages: its texts may name the user
-- scan: reactions: no index has the users, who are seldom erased
-- scan: reports: its texts may name the user
-- scan: threads: no index has the users, who are seldom erased
-- scan: updates: its texts may name the user
-- scan: voice_activity: no index has the users, who are seldom erased
-- Rows are found first, each once, so that a dry run counts what the other one does. They are those that
-- are the user's (erased, anonymised), and those of others that name the user.
with person as (
  select
    '%' || :user_id::bigint || '%' as digits,
    case
      when :user_id >= 1000000000000000 then '\m' || :user_id || '\M'
      else '(?<=<@!?)' || :user_id || '(?=>)'
    end as word,
    (select nullif(u.username, '') from users u where u.user_id = :user_id) as username
),
found (table_name, fate, place) as (
  select '', '', null::tid
  where false
  :part.found('attachments', 'erased', attachments, t.message_id :part.in_own)
  :part.found('bot_metrics', 'named', bot_metrics, :part.names(t.metric_data::text))
  :part.found('button_action_history', 'erased', button_action_history, t.user_id = :user_id)
  :part.found('channels', 'named', channels, :part.names(t.topic))
  :part.found('command_history', 'erased', command_history, t.user_id = :user_id)
  :part.found('command_history', 'named', command_history,
    t.user_id <> :user_id and :part.names(t.args::text)
  )
  :part.found('creator_links', 'erased', creator_links, t.user_id = :user_id)
  :part.found('creator_links', 'named', creator_links, t.user_id <> :user_id and :part.names(t.link))
  :part.found('embed_fields', 'erased', embed_fields,
    t.embed_id in (select e.id from embeds e where e.message_id :part.in_own)
  )
  :part.found('embed_fields', 'named', embed_fields,
    :part.names(t.name || ' ' || t.value) and :user_id is distinct from (
      select m.user_id from embeds e join messages m using (message_id) where e.id = t.embed_id
    )
  )
  :part.found('embeds', 'erased', embeds, t.message_id :part.in_own)
  :part.found('embeds', 'named', embeds, (
    t.author_name = (select p.username from person p)
    or :part.names(concat_ws(' ',
      t.title, t.description, t.url, t.footer_text, t.footer_icon_url, t.image_url, t.image_proxy_url,
      t.thumbnail_url, t.thumbnail_proxy_url, t.video_url, t.video_proxy_url, t.provider_name, t.provider_url,
      t.author_name, t.author_url, t.author_icon_url
    ))
  ) and :user_id is distinct from (select m.user_id from messages m where m.message_id = t.message_id))
  :part.found('emotes', 'anonymised', emotes, t.user_id = :user_id)
  :part.found('error_telemetry', 'anonymised', error_telemetry, t.user_id = :user_id)
  :part.found('error_telemetry', 'named', error_telemetry,
    t.user_id is distinct from :user_id and :part.names(concat_ws(' ', t.error_message, t.resolution_notes))
  )
  :part.found('foliana_interlude', 'erased', foliana_interlude, t.author_id = :user_id)
  :part.found('foliana_interlude', 'named', foliana_interlude,
    t.author_id is distinct from :user_id and :part.names(concat_ws(' ', t.content, t.clean_content))
  )
  :part.found('gallery_migration', 'erased', gallery_migration, t.author_id = :user_id)
  :part.found('gallery_migration', 'named', gallery_migration, t.author_id <> :user_id and (
    t.reviewed_by = :user_id
    or t.creator = (select p.username from person p)
    or :part.names(concat_ws(' ',
      t.title, t.creator, t.raw_content, t.images, t.tags, t.raw_embed_data
    ))
  ))
  :part.found('infractions', 'erased', infractions, t.user_id = :user_id)
  :part.found('infractions', 'named', infractions,
    t.user_id is distinct from :user_id and :part.names(t.reason)
  )
  :part.found('innktober_submission', 'erased', innktober_submission, t.user_id = :user_id)
  :part.found('innktober_submission', 'anonymised', innktober_submission,
    t.user_id is distinct from :user_id and t.approved_by = :user_id
  )
  :part.found('join_leave', 'erased', join_leave, t.user_id = :user_id)
  :part.found('links', 'anonymised', links, t.id_user_who_added = :user_id)
  :part.found('links', 'named', links,
    t.id_user_who_added is distinct from :user_id and :part.names(t.content)
  )
  :part.found('mentions', 'erased', mentions, :part.mentioning)
  :part.found('message_edit', 'erased', message_edit, t.id :part.in_own)
  :part.found('message_edit', 'named', message_edit,
    :part.names(concat_ws(' ', t.old_content, t.new_content))
    and :user_id is distinct from (select m.user_id from messages m where m.message_id = t.id)
  )
  :part.found('messages', 'anonymised', messages, t.user_id = :user_id)
  :part.found('messages', 'named', messages, t.user_id is distinct from :user_id and :part.names(t.content))
  :part.found('password_link', 'anonymised', password_link, t.user_id = :user_id)
  :part.found('quotes', 'anonymised', quotes, t.author_id = :user_id)
  :part.found('quotes', 'named', quotes, t.author_id is distinct from :user_id and :part.names(t.quote))
  :part.found('reactions', 'erased', reactions, t.user_id = :user_id)
  :part.found('reports', 'erased', reports, t.reported_user_id = :user_id)
  :part.found('reports', 'anonymised', reports, t.reported_user_id <> :user_id and t.user_id = :user_id)
  :part.found('reports', 'named', reports,
    :user_id not in (t.user_id, t.reported_user_id)
    and :part.names(concat_ws(' ', t.reason, t.additional_info))
  )
  :part.found('role_changes', 'erased', role_changes, t.user_id = :user_id)
  :part.found('role_history', 'erased', role_history, t.user_id = :user_id)
  :part.found('role_membership', 'erased', role_membership, t.user_id = :user_id)
  :part.found('server_membership', 'erased', server_membership, t.user_id = :user_id)
  :part.found('thread_membership', 'erased', thread_membership, t.user_id = :user_id)
  :part.found('threads', 'anonymised', threads, :user_id in (t.owner_id, t.archiver_id))
  :part.found('twi_reddit', 'erased', twi_reddit, t.discord_id = :user_id)
  :part.found('updates', 'erased', updates, :part.audited)
  :part.found('updates', 'named', updates,
    (:part.audited) is not true and :part.names(concat_ws(' ', t.before, t.after))
  )
  :part.found('users', 'erased', users, t.user_id = :user_id)
  :part.found('voice_activity', 'erased', voice_activity, t.user_id = :user_id)
),
erased_attachments as :part.erased('attachments', attachments),
erased_button_action_history as :part.erased('button_action_history', button_action_history),
erased_command_history as :part.erased('command_history', command_history),
erased_creator_links as :part.erased('creator_links', creator_links),
erased_embed_fields as :part.erased('embed_fields', embed_fields),
erased_embeds as :part.erased('embeds', embeds),
erased_foliana_interlude as :part.erased('foliana_interlude', foliana_interlude),
erased_gallery_migration as :part.erased('gallery_migration', gallery_migration),
erased_infractions as :part.erased('infractions', infractions),
erased_innktober_submission as :part.erased('innktober_submission', innktober_submission),
erased_join_leave as :part.erased('join_leave', join_leave),
erased_mentions as :part.erased('mentions', mentions),
erased_message_edit as :part.erased('message_edit', message_edit),
erased_reactions as :part.erased('reactions', reactions),
erased_reports as :part.erased('reports', reports),
erased_role_changes as :part.erased('role_changes', role_changes),
erased_role_history as :part.erased('role_history', role_history),
erased_role_membership as :part.erased('role_membership', role_membership),
erased_server_membership as :part.erased('server_membership', server_membership),
erased_thread_membership as :part.erased('thread_membership', thread_membership),
erased_twi_reddit as :part.erased('twi_reddit', twi_reddit),
erased_updates as :part.erased('updates', updates),
erased_users as :part.erased('users', users),
erased_voice_activity as :part.erased('voice_activity', voice_activity),
bot_metrics_named as :part.changed('bot_metrics', 'named', bot_metrics,
  metric_data = :part.less(t.metric_data::text)::jsonb
),
channels_named as :part.changed('channels', 'named', channels, topic = :part.less(t.topic)),
command_history_named as :part.changed('command_history', 'named', command_history,
  args = :part.less(t.args::text)::jsonb
),
creator_links_named as :part.changed('creator_links', 'named', creator_links, link = :part.less(t.link)),
embed_fields_named as :part.changed('embed_fields', 'named', embed_fields,
  (name, value) = (:part.less(t.name), :part.less(t.value))
),
embeds_named as :part.changed('embeds', 'named', embeds,
  (
    title, description, url, footer_text, footer_icon_url, image_url, image_proxy_url, thumbnail_url,
    thumbnail_proxy_url, video_url, video_proxy_url, provider_name, provider_url, author_name, author_url,
    author_icon_url
  ) = (
    :part.less(t.title), :part.less(t.description), :part.less(t.url), :part.less(t.footer_text),
    :part.less(t.footer_icon_url), :part.less(t.image_url), :part.less(t.image_proxy_url),
    :part.less(t.thumbnail_url), :part.less(t.thumbnail_proxy_url), :part.less(t.video_url),
    :part.less(t.video_proxy_url), :part.less(t.provider_name), :part.less(t.provider_url),
    nullif(:part.less(t.author_name), (select p.username from person p)), :part.less(t.author_url),
    :part.less(t.author_icon_url)
  )
),
emotes_anonymised as :part.changed('emotes', 'anonymised', emotes, user_id = null),
error_telemetry_anonymised as :part.changed('error_telemetry', 'anonymised', error_telemetry,
  (user_id, error_message, resolution_notes) = (null, null, :part.less(t.resolution_notes))
),
error_telemetry_named as :part.changed('error_telemetry', 'named', error_telemetry,
  (error_message, resolution_notes) = (:part.less(t.error_message), :part.less(t.resolution_notes))
),
foliana_interlude_named as :part.changed('foliana_interlude', 'named', foliana_interlude,
  (content, clean_content) = (:part.less(t.content), :part.less(t.clean_content))
),
gallery_migration_named as :part.changed('gallery_migration', 'named', gallery_migration,
  (reviewed_by, title, creator, raw_content, images, tags, raw_embed_data) = (
    nullif(t.reviewed_by, :user_id), :part.less(t.title),
    nullif(:part.less(t.creator), (select p.username from person p)), :part.less(t.raw_content),
    :part.less(t.images::text)::jsonb, :part.less(t.tags::text)::jsonb,
    :part.less(t.raw_embed_data::text)::jsonb
  )
),
infractions_named as :part.changed('infractions', 'named', infractions, reason = :part.less(t.reason)),
innktober_submission_anonymised as :part.changed('innktober_submission', 'anonymised', innktober_submission,
  approved_by = null
),
links_anonymised as :part.changed('links', 'anonymised', links,
  (id_user_who_added, user_who_added, content) = (null, null, :part.less(t.content))
),
links_named as :part.changed('links', 'named', links, content = :part.less(t.content)),
message_edit_named as :part.changed('message_edit', 'named', message_edit,
  (old_content, new_content) = (:part.less(t.old_content), :part.less(t.new_content))
),
messages_anonymised as :part.changed('messages', 'anonymised', messages,
  (user_id, user_name, user_nick, content, jump_url) = (null, null, null, null, '')
),
messages_named as :part.changed('messages', 'named', messages, content = :part.less(t.content)),
password_link_anonymised as :part.changed('password_link', 'anonymised', password_link, user_id = null),
quotes_anonymised as :part.changed('quotes', 'anonymised', quotes,
  (author_id, author, quote) = (null, null, :part.less(t.quote))
),
quotes_named as :part.changed('quotes', 'named', quotes, quote = :part.less(t.quote)),
reports_anonymised as :part.changed('reports', 'anonymised', reports,
  (user_id, reason, additional_info, anonymous) = (-t.id, '', null, true)
),
reports_named as :part.changed('reports', 'named', reports,
  (reason, additional_info) = (:part.less(t.reason), :part.less(t.additional_info))
),
threads_anonymised as :part.changed('threads', 'anonymised', threads,
  (owner_id, archiver_id) = (nullif(t.owner_id, :user_id), nullif(t.archiver_id, :user_id))
),
updates_named as :part.changed('updates', 'named', updates,
  (before, after) = (:part.less(t.before), :part.less(t.after))
)
:part.counts;

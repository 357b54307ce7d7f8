-- Takes away what the bot made for itself and gives the rest our names. Of a step that was done
-- already nothing is left to do.

-- Where rows go that a key or NOT NULL refuses: whole, so that somebody can mend and return them.
create table if not exists twi_data_rejected (
  id bigserial primary key,
  "table" text not null,
  row jsonb not null,
  reason text not null,
  at timestamptz not null default now()
);

-- `twi-data optimize` makes them anew.
drop materialized view if exists user_activity_stats, channel_hourly_stats, daily_message_stats,
  daily_member_stats, user_channel_activity, weekly_message_stats;
drop function if exists refresh_materialized_views(), maintain_indexes(),
  get_last_message_date(bigint), get_error_statistics(timestamp, timestamp),
  get_most_common_errors(integer, timestamp, timestamp);

-- UpsertSchemaEmbedding says itself when it was.
drop trigger if exists schema_embeddings_updated_at on schema_embeddings;
drop function if exists update_schema_embeddings_timestamp();

alter sequence if exists tags_id_seq rename to links_id_seq;
alter sequence if exists "foliana-interlude_serial_id_seq" rename to foliana_interlude_serial_id_seq;

do $$
declare
  old text;
  new text;
begin
  for old, new in
    values ('footer_icon', 'footer_icon_url'), ('thumbnail', 'thumbnail_url'),
      ('author_icon', 'author_icon_url')
  loop
    if exists (select from pg_attribute where attrelid = to_regclass('embeds') and attname = old)
      and not exists (
        select from pg_attribute where attrelid = to_regclass('embeds') and attname = new) then
      execute format('alter table embeds rename %I to %I', old, new);
    end if;
  end loop;

  -- The fields of an embed were kept in the order of their ids.
  if to_regclass('embed_fields') is not null and not exists (
    select from pg_attribute
    where attrelid = to_regclass('embed_fields') and attname = 'field_order') then
    alter table embed_fields add field_order integer;
    update embed_fields f
    set field_order = o.place
    from (
      select id, row_number() over (partition by embed_id order by id) - 1 as place
      from embed_fields
    ) o
    where o.id = f.id;
  end if;
end
$$;

-- The bot's indexes and constraints, by the scripts that made them. Those that no migration makes go;
-- what else somebody has added to its tables stays.
create temp table of_the_bot as
select unnest(regexp_split_to_array($$
  users_serial_id_uindex users_user_id_uindex servers_serial_id_uindex servers_server_id_uindex
  messages_channel_id_index messages_created_at_index messages_id_uindex
  messages_message_id_channel_id_index messages_user_id_index mentions_serial_id_uindex
  reactions_message_id_user_id_emoji_id_uindex reactions_message_id_user_id_unicode_emoji_uindex
  embeds_message_id_index embed_fields_embed_id_index message_edit_serial_id_uindex
  role_changes_server_id_index role_changes_timestamp_index role_changes_user_id_index
  updates_serial_id_uindex voice_activity_guild_id_index voice_activity_timestamp_index
  voice_activity_user_id_index index_channel_id index_command_name index_date
  index_finished_successfully index_guild_id index_user_id channels_id_uindex categories_id_uindex
  threads_id_uindex thread_membership_serial_id_uindex roles_id_uindex roles_guild_id_alias_uindex
  role_membership_pk_2 role_membership_role_id_user_id_index role_membership_serial_id_uindex
  role_membership_user_id_role_id_uindex server_membership_user_id_server_id_key
  server_membership_serial_id_uindex server_membership_server_id_user_id_index
  server_membership_user_id_server_id_uindex poll_id_uindex poll_index_serial_uindex
  foreign_key_name index_name tags_title_uindex creator_links_serial_id_uindex
  creator_links_user_id_index gallery_mementos_channel_name_uindex
  gallery_migration_message_id_key gallery_migration_channel_id_index
  gallery_migration_message_id_index gallery_migration_migrated_index
  gallery_migration_needs_review_index reports_guild_id_index reports_reported_user_id_index
  reports_user_id_index error_telemetry_command_name_index error_telemetry_error_type_index
  error_telemetry_timestamp_index bot_metrics_metric_type_index bot_metrics_timestamp_index
  patreon_twi_post_id_uindex patreon_twi_url_uindex twi_reddit_discord_id_uindex
  twi_reddit_reddit_username_uindex twi_reddit_serial_index_uindex banned_words_serial_id_uindex
  banned_words_word_uindex role_history_serial_id_uindex

  idx_messages_active idx_messages_channel_created idx_messages_channel_created_at
  idx_messages_channel_id idx_messages_created_at idx_messages_is_bot idx_messages_server_created
  idx_messages_server_id idx_messages_user_created idx_messages_user_created_at
  idx_messages_user_id idx_attachments_message_id idx_reactions_date idx_reactions_message_emoji
  idx_reactions_message_id idx_reactions_message_unicode idx_reactions_user_id
  idx_join_leave_date idx_join_leave_join_or_leave idx_join_leave_server_date
  idx_join_leave_server_id idx_updates_date idx_updates_table_action idx_active_threads
  idx_threads_active idx_threads_parent_archived idx_role_membership_by_server
  idx_role_membership_role idx_poll_option_text_search idx_quotes_text_search
  idx_creator_links_user_id

  idx_gallery_migration_channel_id idx_gallery_migration_content_type
  idx_gallery_migration_created_at idx_gallery_migration_extracted_at
  idx_gallery_migration_message_id idx_gallery_migration_migrated
  idx_gallery_migration_needs_review idx_gallery_migration_target_forum
  error_telemetry_command_name_idx error_telemetry_error_type_idx error_telemetry_timestamp_idx
  error_telemetry_user_id_idx schema_embeddings_table_name_key idx_schema_embeddings_vector
$$, '\s+')) as name;

-- Foreign keys may lean on a unique index beside the primary key that is its equal. Made anew when
-- it is gone, and validated later, they lean on the key.
do $$
declare
  leaning record;
begin
  for leaning in
    select array_agg(format('alter table %s drop constraint %I', c.conrelid::regclass, c.conname)) as drops,
      array_agg(format('alter table %s add constraint %I %s not valid', c.conrelid::regclass, c.conname,
        regexp_replace(pg_get_constraintdef(c.oid), ' NOT VALID$', ''))) as makes,
      c.conindid::regclass as index
    from pg_constraint c
    join pg_class i on i.oid = c.conindid
    where c.contype = 'f' and i.relname in (select name from of_the_bot)
      and i.relnamespace = current_schema()::regnamespace
      and not exists (select from pg_constraint k where k.conindid = i.oid and k.contype in ('p', 'u'))
    group by c.conindid
  loop
    for i in 1 .. array_length(leaning.drops, 1) loop
      execute leaning.drops[i];
    end loop;
    execute format('drop index %s', leaning.index);
    for i in 1 .. array_length(leaning.makes, 1) loop
      execute leaning.makes[i];
    end loop;
  end loop;
end
$$;

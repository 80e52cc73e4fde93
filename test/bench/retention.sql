-- Dropping an expired day against deleting its rows.
\ir stage.sql
CREATE TABLE bench.expired (LIKE bench.stage, PRIMARY KEY (id));
INSERT INTO bench.expired SELECT * FROM bench.stage;
-- The day is closed and its indexes are built, as they would be; only then it expires.
\ir empty.sql
SELECT analytics.create_partitions(current_date - 20, current_date - 20) \g /dev/null
INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT id, user_id, workspace_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata,
       created_at - timestamp '2025-11-08' + (current_date - 20)
FROM bench.stage;
CALL analytics.maintain('01:00:00');
INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('user_activity', 10);
INSERT INTO analytics.settings VALUES ('import_grace_hours', '0');
-- What giving the files back takes by itself: the same rows with the same indexes.
DO $$
DECLARE
    partition text := 'user_activity_' || to_char(current_date - 20, 'YYYYMMDD');
    definition text;
BEGIN
    EXECUTE format('CREATE TABLE bench.dropped AS TABLE analytics.%I', partition);
    FOR definition IN
        SELECT regexp_replace(i.indexdef, 'INDEX \S+ ON \S+', 'INDEX ON bench.dropped') FROM pg_indexes AS i
        WHERE i.schemaname = 'analytics' AND i.tablename = partition
    LOOP
        EXECUTE definition;
    END LOOP;
END
$$;
INSERT INTO bench.statement VALUES
('DROP TABLE of the day', 'CHECKPOINT', 'DROP TABLE bench.dropped'),
('cleanup_old_data', 'CHECKPOINT', 'SELECT analytics.cleanup_old_data()'),
('DELETE of the day', '', 'DELETE FROM bench.expired WHERE created_at >= ''2025-11-08'' AND created_at < ''2025-11-09''');
CALL bench.run(1);
SELECT to_regclass('analytics.user_activity_' || to_char(current_date - 20, 'YYYYMMDD')) IS NULL AS gone \gset
\if :gone
CALL bench.compare('cleanup of one expired day', 'cleanup_old_data', 'DELETE of the day', 0.01);
CALL bench.compare('the same', 'cleanup_old_data', 'DROP TABLE of the day');
\else
CALL bench.record('cleanup of one expired day', 'still there', NULL, NULL, NULL, '<= 1/100', false);
\endif
DELETE FROM analytics.retention_policies;
DELETE FROM analytics.settings WHERE name = 'import_grace_hours';
DROP TABLE bench.expired;

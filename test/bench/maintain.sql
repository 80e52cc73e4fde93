-- maintain() with nothing to do, and with one late event in a closed day of the whole size.
\ir stage.sql
\ir empty.sql
SELECT analytics.create_partitions(current_date - 2, current_date - 1) \g /dev/null
INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT id, user_id, workspace_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata,
       created_at - timestamp '2025-11-08' + (current_date - 2)
FROM bench.stage;
VACUUM ANALYZE analytics.user_activity;
-- Closing takes three transactions; other work is due the first time only.
CALL analytics.maintain('01:00:00');
CALL analytics.maintain('01:00:00');
CALL analytics.maintain('01:00:00');
SELECT clock_timestamp() AS started \gset
CALL analytics.maintain();
INSERT INTO bench.timing VALUES ('maintain() with nothing to do', extract(epoch FROM clock_timestamp() - :'started') * 1000)
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
VALUES (md5('w1000')::uuid, md5('late')::uuid, 'login', (current_date - 2) + interval '12 hours');
SELECT count(*) AS dirty FROM analytics.dirty_hours \gset
SELECT clock_timestamp() AS started \gset
CALL analytics.maintain();
INSERT INTO bench.timing VALUES ('maintain() with one late event', extract(epoch FROM clock_timestamp() - :'started') * 1000)
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
-- The same event's wait while another workspace's events of that day come in without end: one after each repair.
CREATE FUNCTION bench.trickle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM gone) THEN
        INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
        VALUES (md5('w1')::uuid, md5('late')::uuid, 'login', (current_date - 2) + interval '13 hours');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER trickle AFTER DELETE ON analytics.dirty_hours REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION bench.trickle();
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
VALUES (md5('w1')::uuid, md5('late')::uuid, 'login', (current_date - 2) + interval '13 hours'),
       (md5('w1000')::uuid, md5('late')::uuid, 'login', (current_date - 2) + interval '12 hours');
SELECT total_events AS before FROM analytics.daily_metrics WHERE workspace_id = md5('w1000')::uuid AND metric_date = current_date - 2 \gset
SELECT clock_timestamp() AS started \gset
CALL analytics.maintain('10 seconds');
INSERT INTO bench.timing VALUES ('a late event behind another workspace''s', extract(epoch FROM clock_timestamp() - :'started') * 1000)
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
SELECT total_events > :before AS is_counted FROM analytics.daily_metrics WHERE workspace_id = md5('w1000')::uuid AND metric_date = current_date - 2 \gset
DROP FUNCTION bench.trickle() CASCADE;
CALL analytics.maintain('01:00:00');
-- Alone: without the cohorts that it would compute beside its own work.
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
SELECT clock_timestamp() AS started \gset
SELECT analytics.aggregate_daily_metrics(current_date - 2) \g /dev/null
INSERT INTO bench.timing VALUES ('aggregating that day anew', extract(epoch FROM clock_timestamp() - :'started') * 1000)
ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
DELETE FROM analytics.settings WHERE name = 'catch_up_seconds';
CALL bench.limit_to('maintain() with nothing to do', 'maintain() with nothing to do', 20);
\if :is_counted
CALL bench.limit_to('maintain() with one late event while another workspace''s never end', 'a late event behind another workspace''s', 1000);
\else
CALL bench.record('maintain() with one late event while another workspace''s never end', 'it was not counted', NULL, NULL, NULL, '< 1 s', false);
\endif
SELECT :dirty = 1 AS was_late \gset
\if :was_late
CALL bench.compare('maintain() with one late event', 'maintain() with one late event', 'aggregating that day anew', 1 / 50.0);
\else
CALL bench.record('maintain() with one late event', 'the day was not closed', NULL, NULL, NULL, '<= 1/50', false);
\endif

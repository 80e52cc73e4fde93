-- The day of events, made once per database: bench.stage; bench.bare, the table a user would have without us, with a
-- uuid key; and the same rows in user_activity.
\if :{?events} \else \set events 2000000 \endif
\if :{?workspaces} \else \set workspaces 2000 \endif
\set day 2025-11-08
SET client_min_messages = warning;
SELECT to_regclass('bench.stage') IS NULL AS missing \gset
\if :missing
\o /dev/null
\ir events.sql
SELECT analytics.create_partitions(:'day', :'day');
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT * FROM bench.stage;
CREATE TABLE bench.bare (LIKE bench.stage, PRIMARY KEY (id));
INSERT INTO bench.bare SELECT * FROM bench.stage;
\o
VACUUM ANALYZE analytics.user_activity_20251108;
VACUUM ANALYZE bench.bare;
\endif
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';
SET jit = off;

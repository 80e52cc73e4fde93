-- The day of events, made once per database: bench.stage; bench.bare, the table a user would have without us, with a
-- uuid key.
\if :{?events} \else \set events 2000000 \endif
\if :{?workspaces} \else \set workspaces 2000 \endif
\set day 2025-11-08
SET client_min_messages = warning;
SELECT to_regclass('bench.stage') IS NULL AS missing \gset
\if :missing
\o /dev/null
\ir events.sql
CREATE TABLE bench.bare (LIKE bench.stage, PRIMARY KEY (id));
INSERT INTO bench.bare SELECT * FROM bench.stage;
\o
VACUUM ANALYZE bench.bare;
\endif
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';
SET jit = off;

-- What storing events costs: INSERT and COPY into the table a user would have without us (a uuid key), into tables with
-- one of the parts of an open partition, and into user_activity itself; then what closing a day adds in bulk.
\ir day.sql
SET synchronous_commit = off;
CREATE TABLE bench.copy_bare (LIKE analytics.user_activity INCLUDING DEFAULTS);
CREATE TABLE bench.copy_key (LIKE analytics.user_activity INCLUDING DEFAULTS, PRIMARY KEY (id));
CREATE TABLE bench.copy_our_key (LIKE analytics.user_activity INCLUDING DEFAULTS, PRIMARY KEY (workspace_id, created_at, id));
CREATE TABLE bench.copy_brin (LIKE analytics.user_activity INCLUDING DEFAULTS);
CREATE INDEX ON bench.copy_brin USING brin (created_at);
CREATE TABLE analytics.bench_trigger (LIKE analytics.user_activity INCLUDING DEFAULTS);
CREATE TRIGGER check_event BEFORE INSERT ON analytics.bench_trigger
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
ALTER TABLE analytics.bench_trigger SET SCHEMA bench;
ALTER TABLE bench.bench_trigger RENAME TO copy_trigger;

SELECT current_setting('data_directory') || '/bench.copy' AS file \gset
\set columns '(id, workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)'
COPY bench.stage TO :'file';
-- What the parts cost is measured once.
CREATE TEMPORARY TABLE part AS
SELECT 'COPY, ' || t.name AS name, format('TRUNCATE %s; CHECKPOINT', t.emptied) AS before, format('COPY %s %s FROM %L', t.target, :'columns', :'file') AS statement
FROM (VALUES ('no key', 'bench.copy_bare', 'bench.copy_bare'),
             ('a uuid key', 'bench.copy_key', 'bench.copy_key'),
             ('trigger only', 'bench.copy_trigger', 'bench.copy_trigger'),
             ('BRIN only', 'bench.copy_brin', 'bench.copy_brin'),
             ('our key only', 'bench.copy_our_key', 'bench.copy_our_key'),
             ('user_activity', 'analytics.user_activity', 'analytics.user_activity_20251108')) AS t (name, target, emptied);
INSERT INTO bench.statement SELECT * FROM part WHERE name NOT IN ('COPY, a uuid key', 'COPY, user_activity');
CALL bench.run(1);
INSERT INTO bench.statement SELECT * FROM part WHERE name IN ('COPY, a uuid key', 'COPY, user_activity');
INSERT INTO bench.statement
SELECT 'INSERT, ' || t.name, format('TRUNCATE %s; CHECKPOINT', t.emptied), format('INSERT INTO %s %s SELECT * FROM bench.stage', t.target, :'columns')
FROM (VALUES ('a uuid key', 'bench.copy_key', 'bench.copy_key'),
             ('user_activity', 'analytics.user_activity', 'analytics.user_activity_20251108')) AS t (name, target, emptied);
CALL bench.run(least(:rounds, 2));
INSERT INTO bench.statement VALUES
('closing a day''s indexes', $$DO 'DECLARE i text; BEGIN FOR i IN SELECT format(''analytics.%I'', relname) FROM pg_class WHERE relname ~ ''^user_activity_20251108_(metadata_gin|failures|users)$'' LOOP EXECUTE ''DROP INDEX '' || i; END LOOP; END'$$,
 $$SELECT analytics_internal.index_partition('user_activity_20251108')$$);
CALL bench.run(1);
ANALYZE analytics.user_activity;

CALL bench.compare('COPY into user_activity', 'COPY, user_activity', 'COPY, a uuid key', 1.5);
CALL bench.compare('INSERT ... SELECT into user_activity', 'INSERT, user_activity', 'INSERT, a uuid key', 1.5);
CALL bench.compare('of which the trigger', 'COPY, trigger only', 'COPY, no key');
CALL bench.compare('of which BRIN', 'COPY, BRIN only', 'COPY, no key');
CALL bench.compare('of which the key', 'COPY, our key only', 'COPY, no key');
CALL bench.compare('(the rival''s own key)', 'COPY, a uuid key', 'COPY, no key');
CALL bench.compare('bulk build of the closed day''s indexes', 'closing a day''s indexes', 'COPY, a uuid key');
DROP TABLE bench.copy_bare, bench.copy_key, bench.copy_our_key, bench.copy_brin, bench.copy_trigger;

-- Monthly active users of one workspace from its daily sets against count(DISTINCT user_id) over its raw events.
-- In a database of its own:
--   psql -v users=1000000 -f test/bench/users.sql
\if :{?users}
\else
    \set users 1000000
\endif
CREATE EXTENSION IF NOT EXISTS shadow_analytics;
TRUNCATE analytics.user_activity, analytics.daily_users;
SET synchronous_commit = off;
SET jit = off;
\set workspace '\'6c1f1c2e-0000-4000-8000-000000000001\'::uuid'

-- Every user on one to seven random days of 30, one event each: four million events of a million users.
SELECT count(analytics.create_partitions(current_date - d, current_date - d)) AS partitions FROM generate_series(1, 30) AS d;
CREATE TEMPORARY TABLE visit AS
SELECT DISTINCT u AS user_number, (hashint8extended(u, i) & 2147483647) % 30 + 1 AS ago
FROM generate_series(0, :users - 1) AS u, generate_series(1, 7) AS i
WHERE i <= 1 + (hashint8extended(u, 0) & 2147483647) % 7;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT :workspace, lpad(to_hex(v.user_number), 32, '0')::uuid, 'page_view',
       (current_date - v.ago::integer)::timestamp AT TIME ZONE 'UTC' + v.user_number % 86400 * interval '1 second'
FROM visit AS v ORDER BY v.ago DESC, v.user_number % 86400;
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
SELECT :workspace, current_date - v.ago::integer, analytics.user_set_agg(v.user_number), '{}', true
FROM visit AS v GROUP BY v.ago;
VACUUM (ANALYZE) analytics.user_activity, analytics.daily_users;

-- The best of several runs, one after the other; the answers must be equal.
CREATE FUNCTION pg_temp.best(query text, runs integer, OUT milliseconds numeric, OUT answer bigint) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
BEGIN
    FOR i IN 1..runs LOOP
        started := clock_timestamp();
        EXECUTE query INTO answer;
        milliseconds := least(milliseconds, round(extract(epoch FROM clock_timestamp() - started) * 1000, 2));
    END LOOP;
END
$$;
CREATE TEMPORARY TABLE timing AS
SELECT q.place, q.name, b.*
FROM (VALUES (1, 'count(DISTINCT) over raw events', 3, format($$
          SELECT count(DISTINCT user_id) FROM analytics.user_activity
          WHERE workspace_id = %L AND created_at >= (current_date - 30)::timestamp AT TIME ZONE 'UTC'
            AND created_at < current_date::timestamp AT TIME ZONE 'UTC'$$, :workspace)),
      (2, 'cardinality of the merged sets', 20, format($$
          SELECT analytics.user_set_cardinality(analytics.user_set_union_agg(users)) FROM analytics.daily_users
          WHERE workspace_id = %L AND metric_date >= current_date - 30$$, :workspace)),
      (3, 'get_active_users, one day', 10, format($$
          SELECT monthly_active_users FROM analytics.get_active_users(%L, current_date - 1, current_date - 1)$$, :workspace)),
      (4, 'get_active_users, all 30 days', 10, format($$
          SELECT max(monthly_active_users) FROM analytics.get_active_users(%L, current_date - 30, current_date - 1)$$, :workspace))
     ) AS q (place, name, runs, query), LATERAL pg_temp.best(q.query, q.runs) AS b;
SELECT name, milliseconds, answer, round(max(milliseconds) FILTER (WHERE place = 1) OVER () / milliseconds) AS times_faster
FROM timing ORDER BY place;
SELECT pg_size_pretty(sum(pg_total_relation_size(p.relid))) AS raw_events,
       pg_size_pretty(pg_total_relation_size('analytics.daily_users')) AS daily_sets
FROM pg_partition_tree('analytics.user_activity') AS p;

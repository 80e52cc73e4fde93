-- Monthly active users of one workspace from its daily sets against count(DISTINCT user_id) over its raw events.
\if :{?users} \else \set users 1000000 \endif
\if :{?rounds} \else \set rounds 3 \endif
TRUNCATE analytics.user_activity, analytics.daily_users;
SET synchronous_commit = off;
SET jit = off;
\set workspace '\'6c1f1c2e-0000-4000-8000-000000000001\'::uuid'

-- Every user on one to seven random days of 30, one event each: four million events of a million users.
SELECT count(analytics.create_partitions(current_date - d, current_date - d)) FROM generate_series(1, 30) AS d \g /dev/null
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

-- The answers must be equal.
INSERT INTO bench.statement VALUES
('count(DISTINCT user_id) of 30 days', '', format($$
    SELECT count(DISTINCT user_id) FROM analytics.user_activity
    WHERE workspace_id = %L AND created_at >= (current_date - 30)::timestamp AT TIME ZONE 'UTC'
      AND created_at < current_date::timestamp AT TIME ZONE 'UTC'$$, :workspace)),
('the merged sets of 30 days', '', format($$
    SELECT analytics.user_set_cardinality(analytics.user_set_union_agg(users)) FROM analytics.daily_users
    WHERE workspace_id = %L AND metric_date >= current_date - 30$$, :workspace)),
('get_active_users', '', format($$
    SELECT * FROM analytics.get_active_users(%L, current_date - 30, current_date - 1)$$, :workspace));
SELECT 1 / (count(DISTINCT n) = 1)::integer AS equal
FROM (SELECT count(DISTINCT user_id) AS n FROM analytics.user_activity WHERE workspace_id = :workspace
      UNION ALL SELECT analytics.user_set_cardinality(analytics.user_set_union_agg(users)) FROM analytics.daily_users WHERE workspace_id = :workspace
      UNION ALL SELECT max(monthly_active_users) FROM analytics.get_active_users(:workspace, current_date - 30, current_date - 1)) AS answer
\g /dev/null
CALL bench.run(:rounds);
CALL bench.compare('monthly active users of ' || :users || ': the merged sets', 'the merged sets of 30 days', 'count(DISTINCT user_id) of 30 days', 1.0 / 500);
CALL bench.compare('get_active_users of 30 days, 90 numbers', 'get_active_users', 'count(DISTINCT user_id) of 30 days', 1.0 / 50);

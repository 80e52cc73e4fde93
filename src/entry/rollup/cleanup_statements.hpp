#pragma once
// The statements of cleanup_old_data().

namespace shadow::entry::statements
{

// Rollups first, then in the order of their names.
inline constexpr const char *select_aged_tables = R"sql(
SELECT d.table_name, d.time_column, a.atttypid = 'date'::regtype, d.removable
FROM analytics_internal.retention_defaults() AS d
JOIN pg_attribute AS a ON a.attrelid = to_regclass('analytics.' || d.table_name) AND a.attname = d.time_column
ORDER BY d.removable IS NOT NULL, d.table_name COLLATE "C"
)sql";

inline constexpr const char *select_keep_days = R"sql(
SELECT v.keep_days FROM analytics.retention_policy_values AS v WHERE v.table_name = $1
)sql";

inline constexpr const char *select_shortest_days = R"sql(
SELECT least($1, (SELECT min(w.keep_days) FROM analytics.workspace_retention AS w WHERE w.table_name = $2))
)sql";

// Of the workspace of row t, in the table $2; $1: of those without days of their own.
inline constexpr const char *days_of_workspace = R"sql(
CASE WHEN EXISTS (SELECT FROM analytics.workspace_retention AS w WHERE w.table_name = $2 AND w.workspace_id = t.workspace_id)
     THEN (SELECT w.keep_days FROM analytics.workspace_retention AS w
           WHERE w.table_name = $2 AND w.workspace_id = t.workspace_id)
     ELSE $1 END
)sql";

inline constexpr const char *forget_identities = R"sql(
UPDATE analytics.users AS u SET user_id = gen_random_uuid(), is_forgotten = true
WHERE NOT u.is_forgotten AND u.last_date < (now() AT TIME ZONE 'UTC')::date - greatest($1, $2 + 2)
)sql";

// The default partition if it holds rows before the limit, the partition that contains it, and those before it;
// last those with events that are kept, for whose sake no further call is needed. A partition that begins or ends
// within a day is never dropped, or its days would be taken for removed.
inline constexpr const char *select_partitions = R"sql(
WITH kept AS MATERIALIZED (SELECT DISTINCT k.event_day FROM analytics_internal.kept_days($1) AS k)
SELECT f.relation::oid, f.relation::text, f.from_time, f.to_time, f.is_default, e.is_expired, s.has_kept
FROM (SELECT p.relation, p.from_time, p.to_time, false AS is_default
      FROM analytics_internal.partitions() AS p WHERE p.from_time < $1
      UNION ALL SELECT to_regclass('analytics.user_activity_default'), '-infinity', 'infinity', true
      WHERE analytics_internal.has_old_default_rows($1)) AS f,
     LATERAL (SELECT f.to_time <= $1 AND date_trunc('day', f.from_time, 'UTC') = f.from_time
                     AND date_trunc('day', f.to_time, 'UTC') = f.to_time AS is_expired) AS e,
     LATERAL (SELECT e.is_expired AND EXISTS (SELECT FROM kept AS k
                                              WHERE k.event_day >= (f.from_time AT TIME ZONE 'UTC')::date
                                                AND k.event_day < (f.to_time AT TIME ZONE 'UTC')::date) AS has_kept) AS s
ORDER BY s.has_kept, e.is_expired, f.from_time
)sql";

// Whether no rollup waits for events between $1 and $2 and before $3: none of their days has failed or is dirty. Local
// days begin and end within 26 hours of any instant in them.
inline constexpr const char *is_finished = R"sql(
SELECT WHERE NOT EXISTS (SELECT FROM analytics.pending_buckets AS f WHERE f.attempts > 0 AND f.day_start < $2 AND f.day_end > $1)
         AND NOT EXISTS (SELECT FROM analytics.dirty_hours AS d
                         WHERE d.metric_hour < $3 AND d.metric_hour > $1 - interval '26 hours'
                           AND d.metric_hour < $2 + interval '26 hours')
)sql";

inline constexpr const char *has_archive_function = R"sql(
SELECT FROM analytics.retention_policy_values AS v
WHERE v.table_name = 'user_activity' AND v.archive_function IS NOT NULL
)sql";

inline constexpr const char *find_kept_day = R"sql(
SELECT FROM analytics_internal.kept_days($1) AS k
WHERE k.event_day >= ($2 AT TIME ZONE 'UTC')::date AND k.event_day < ($3 AT TIME ZONE 'UTC')::date LIMIT 1
)sql";

// What is said about the events before $1 that stay.
inline constexpr const char *describe_kept = R"sql(
SELECT nullif(concat_ws('; ',
    (SELECT format('%s events of %s frozen days were kept, as the rollups do not count them; see analytics.health()', sum(k.events), count(*))
     FROM analytics_internal.kept_days($1) AS k WHERE k.kept_until = 'infinity' HAVING count(*) > 0),
    (SELECT format('%s events that were past their retention when they were loaded are kept until %s (setting import_grace_hours); to keep them for ever: %s',
                   sum(k.events), to_char(min(k.kept_until) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), analytics_internal.keeping_statement())
     FROM analytics_internal.kept_days($1) AS k WHERE k.kept_until < 'infinity' HAVING count(*) > 0)), '')
)sql";

// Of a partition, %s. Deletes and seals in one statement, so that nobody takes the trim for a late change.
inline constexpr const char *trim_partition = R"sql(
WITH gone AS (
    DELETE FROM %s AS e
    WHERE e.created_at < $1
      AND (e.workspace_id, (e.created_at AT TIME ZONE 'UTC')::date) NOT IN
          (SELECT k.workspace_id, k.event_day FROM analytics_internal.kept_days($1) AS k)
    RETURNING e.workspace_id, (e.created_at AT TIME ZONE 'UTC')::date AS event_day
), counts AS (
    SELECT g.workspace_id, g.event_day, count(*) AS events FROM gone AS g GROUP BY 1, 2
), sealed AS (
    INSERT INTO analytics.sealed_days AS s (workspace_id, event_day, events)
    SELECT c.workspace_id, c.event_day, c.events FROM counts AS c
    ON CONFLICT (workspace_id, event_day) DO UPDATE SET events = s.events + EXCLUDED.events
), closed AS (
    UPDATE analytics.closed_days AS d SET events = d.events - c.events
    FROM counts AS c WHERE d.workspace_id = c.workspace_id AND d.event_day = c.event_day
)
SELECT coalesce(sum(c.events), 0)::bigint FROM counts AS c
)sql";

inline constexpr const char *find_attached = R"sql(
SELECT FROM pg_inherits AS i WHERE i.inhrelid = $1 AND i.inhparent = 'analytics.user_activity'::regclass
)sql";

// Days whose events were missing before they expired: there is nothing left to decide.
inline constexpr const char *seal_missing = R"sql(
WITH over AS (
    UPDATE analytics.sealed_days AS s SET events = s.events + s.missing, missing = 0, sealed_at = now()
    WHERE s.missing > 0 AND s.kept_events = 0 AND s.event_day < ($1 AT TIME ZONE 'UTC')::date
    RETURNING s.workspace_id, s.event_day
)
DELETE FROM analytics.closed_days AS c USING over AS o
WHERE c.workspace_id = o.workspace_id AND c.event_day = o.event_day
)sql";

} // namespace shadow::entry::statements

-- Statements of the original description, as printed, run one by one. Listed is what fails: doc/differences.md
-- says what to type instead.
\set SHOW_CONTEXT never
SET timezone = 'UTC';
CREATE TEMP TABLE statement (n serial, text text);
INSERT INTO statement (text) VALUES
($$SELECT analytics.calculate_percentiles(
    ARRAY[1.2, 2.3, 3.4, 4.5],
    ARRAY[0.5, 0.95, 0.99]
)$$),
($$SELECT analytics.aggregate_daily_metrics('2025-11-08'::DATE)$$),
($$SELECT analytics.aggregate_hourly_metrics(NOW() - INTERVAL '1 hour')$$),
($$SELECT * FROM analytics.cleanup_old_data()$$),
($$SELECT * FROM analytics.evaluate_alert_rules()$$),
($$SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1)$$),
($$SELECT analytics.cleanup_old_data()$$),
($$SELECT analytics.aggregate_hourly_metrics(DATE_TRUNC('hour', NOW() - INTERVAL '1 hour'))$$),
($$SELECT * FROM analytics.daily_metrics$$),
($$SELECT
    schemaname,
    tablename,
    pg_size_pretty(pg_total_relation_size(schemaname||'.'||tablename)) as size,
    pg_size_pretty(pg_indexes_size(schemaname||'.'||tablename)) as index_size
FROM pg_tables
WHERE schemaname = 'analytics'
ORDER BY pg_total_relation_size(schemaname||'.'||tablename) DESC$$),
($$SELECT
    schemaname,
    tablename,
    indexname,
    idx_scan,
    idx_tup_read,
    idx_tup_fetch
FROM pg_stat_user_indexes
WHERE schemaname = 'analytics'
ORDER BY idx_scan DESC$$),
($$ANALYZE analytics.user_activity$$),
($$ANALYZE analytics.daily_metrics$$),
($$SELECT * FROM analytics.get_user_workspaces()$$),
($$ALTER TABLE analytics.daily_metrics DISABLE ROW LEVEL SECURITY$$),
($$ALTER TABLE analytics.daily_metrics ENABLE ROW LEVEL SECURITY$$);

BEGIN; -- to leave no trace
DO $$
DECLARE
    s record;
BEGIN
    FOR s IN SELECT n, text FROM statement ORDER BY n LOOP
        BEGIN
            EXECUTE s.text;
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE 'statement %: % %', s.n, SQLSTATE, SQLERRM;
        END;
    END LOOP;
END $$;
ROLLBACK;

-- The replacements.
SELECT count(*) > 0 AS found FROM (SELECT * FROM analytics.index_usage ORDER BY scans DESC) AS i;
SELECT count(*) > 0 AS found FROM (SELECT * FROM analytics.table_sizes ORDER BY total_bytes DESC) AS t;
SELECT analytics.current_user_id() IS NULL AS nobody;
-- Not in a transaction block.
REINDEX TABLE analytics.user_activity;

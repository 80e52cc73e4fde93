\set ECHO none
-- CALL pg_temp.settle(): maintain() until every hour that has passed is closed and nothing is left to repair. Closing
-- may have to wait for a transaction elsewhere in the cluster.
CREATE PROCEDURE pg_temp.settle() LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..600 LOOP
        CALL analytics.maintain();
        EXIT WHEN EXISTS (SELECT FROM analytics.watermark AS w
                          WHERE w.closed_until = w.marked_until AND w.closed_until >= date_trunc('hour', now() - interval '1 minute', 'UTC'))
              AND NOT EXISTS (SELECT FROM analytics.dirty_hours);
        PERFORM pg_sleep(0.05);
    END LOOP;
END
$$;
\set ECHO all

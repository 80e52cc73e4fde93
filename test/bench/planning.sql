-- What a plan costs more once the module is loaded, where there is no Citus: a hook that compares a number. Sessions in
-- turn, each without the module and then with it, and the best time of each, as the machine may be busy.
CREATE OR REPLACE PROCEDURE bench.plan_often(called text) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..2000 LOOP
        EXECUTE 'SELECT 1 FROM pg_catalog.pg_class AS c WHERE c.oid = 0';
    END LOOP;
    INSERT INTO bench.timing AS t VALUES (called, extract(epoch FROM clock_timestamp() - started) * 1000)
    ON CONFLICT (name) DO UPDATE SET ms = least(t.ms, EXCLUDED.ms);
END
$$;
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
\ir planning_session.sql
CALL bench.compare('2,000 plans with the module loaded', '2,000 plans, module loaded', '2,000 plans, module not loaded', 1.1);

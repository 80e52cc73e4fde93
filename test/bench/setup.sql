-- What every benchmark uses: statements timed in turn, and one table of results.
--   INSERT INTO bench.statement VALUES (name, before, statement);   any number
--   CALL bench.run(rounds);          times each of them once a round, in turn, and forgets them
--   CALL bench.run(rounds, true);    by processor time of this backend, which others on the machine disturb less
--   CALL bench.compare(what, ours, rival [, most]);                 ours / rival <= most
--   CALL bench.bar(what, ours, rival, most);      one of the lines by which speed is judged, which come first
--   CALL bench.limit_to(what, ours, milliseconds);
-- The time of a statement is its best round. `before` is run ahead of it and not counted.
\set ON_ERROR_STOP on
\set QUIET on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.statement (name text PRIMARY KEY, before text, statement text, place serial);
CREATE TABLE IF NOT EXISTS bench.timing (name text PRIMARY KEY, ms numeric);
CREATE TABLE IF NOT EXISTS bench.result (
    what text PRIMARY KEY, ours text, rival_name text, rival text, ratio numeric, target text, holds boolean, place serial);

CREATE OR REPLACE PROCEDURE bench.record(what text, ours text, rival_name text, rival text, ratio numeric, target text, holds boolean)
LANGUAGE sql AS $$
    INSERT INTO bench.result VALUES (what, ours, rival_name, rival, ratio, target, holds)
    ON CONFLICT ON CONSTRAINT result_pkey DO UPDATE
    SET ours = EXCLUDED.ours, rival_name = EXCLUDED.rival_name, rival = EXCLUDED.rival, ratio = EXCLUDED.ratio,
        target = EXCLUDED.target, holds = EXCLUDED.holds
$$;

-- Milliseconds so far, of the clock or of this backend on a processor, which the kernel sums up when it leaves it.
CREATE OR REPLACE FUNCTION bench.now(by_processor boolean) RETURNS numeric LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT by_processor THEN
        RETURN extract(epoch FROM clock_timestamp()) * 1000;
    END IF;
    PERFORM pg_sleep(0.0001);
    RETURN split_part(pg_read_file('/proc/' || pg_backend_pid() || '/schedstat'), ' ', 1)::numeric / 1000000;
END
$$;

CREATE OR REPLACE PROCEDURE bench.run(rounds integer DEFAULT 3, by_processor boolean DEFAULT false) LANGUAGE plpgsql AS $$
DECLARE
    s record;
    started numeric;
    elapsed numeric;
BEGIN
    FOR round IN 1..rounds LOOP
        FOR s IN SELECT * FROM bench.statement ORDER BY place LOOP
            IF s.before <> '' THEN
                EXECUTE s.before;
                COMMIT;
            END IF;
            started := bench.now(by_processor);
            EXECUTE s.statement;
            COMMIT;
            elapsed := bench.now(by_processor) - started;
            INSERT INTO bench.timing VALUES (s.name, elapsed)
            ON CONFLICT (name) DO UPDATE SET ms = CASE round WHEN 1 THEN EXCLUDED.ms ELSE least(timing.ms, EXCLUDED.ms) END;
            COMMIT;
        END LOOP;
    END LOOP;
    DELETE FROM bench.statement;
    COMMIT;
END
$$;

CREATE OR REPLACE FUNCTION bench.ms(statement_name text) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM bench.timing WHERE name = statement_name) THEN
        RAISE EXCEPTION 'nothing was timed as "%"', statement_name;
    END IF;
    RETURN (SELECT ms FROM bench.timing WHERE name = statement_name);
END
$$;

CREATE OR REPLACE FUNCTION bench.shown(milliseconds numeric) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN milliseconds >= 10000 THEN round(milliseconds / 1000, 1) || ' s'
                WHEN milliseconds >= 10 THEN round(milliseconds) || ' ms' ELSE round(milliseconds, 2) || ' ms' END
$$;

CREATE OR REPLACE PROCEDURE bench.compare(what text, ours text, rival text, most numeric DEFAULT NULL) LANGUAGE sql AS $$
    CALL bench.record(what, bench.shown(bench.ms(ours)), rival, bench.shown(bench.ms(rival)), bench.ms(ours) / bench.ms(rival),
                      '<= ' || CASE WHEN most < 0.6 THEN '1/' || round(1 / most) ELSE round(most, 2)::text END,
                      bench.ms(ours) <= most * bench.ms(rival))
$$;

CREATE OR REPLACE PROCEDURE bench.bar(what text, ours text, rival text, most numeric) LANGUAGE sql AS $$
    CALL bench.record(what, bench.shown(bench.ms(ours)), rival, bench.shown(bench.ms(rival)), bench.ms(ours) / bench.ms(rival),
                      'bar: <= ' || round(most, 2), bench.ms(ours) <= most * bench.ms(rival))
$$;

CREATE OR REPLACE PROCEDURE bench.limit_to(what text, ours text, milliseconds numeric) LANGUAGE sql AS $$
    CALL bench.record(what, bench.shown(bench.ms(ours)), NULL, NULL, NULL, '< ' || bench.shown(milliseconds), bench.ms(ours) < milliseconds)
$$;

CREATE OR REPLACE VIEW bench.report AS
SELECT what, ours, rival_name AS "rival", rival AS "its time", CASE WHEN ratio < 0.01 THEN round(ratio, 4) ELSE round(ratio, 3) END AS ratio,
       target, CASE WHEN holds THEN 'yes' WHEN NOT holds THEN 'NO' ELSE '' END AS holds
FROM bench.result ORDER BY coalesce(target LIKE 'bar:%', false) DESC, place;

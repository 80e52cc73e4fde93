-- The bridge between C++ exceptions and PostgreSQL errors (src/pg/boundary.hpp).
\getenv srcdir PG_ABS_SRCDIR
\set test_module :srcdir '/module/test_module.so'
CREATE FUNCTION pg_temp.throw(kind text) RETURNS void LANGUAGE c STRICT AS :'test_module', 'test_throw';
CREATE FUNCTION pg_temp.call(sql text) RETURNS text LANGUAGE c STRICT AS :'test_module', 'test_call';
CREATE FUNCTION pg_temp.call_throws() RETURNS boolean LANGUAGE c AS :'test_module', 'test_call_throws';
CREATE FUNCTION pg_temp.alive() RETURNS integer LANGUAGE c AS :'test_module', 'test_alive';
CREATE FUNCTION pg_temp.long(length integer, unit text) RETURNS void LANGUAGE c STRICT AS :'test_module', 'test_long';
CREATE FUNCTION pg_temp.spin() RETURNS void LANGUAGE c AS :'test_module', 'test_spin';
CREATE FUNCTION pg_temp.memory() RETURNS boolean LANGUAGE c AS :'test_module', 'test_memory';
CREATE FUNCTION pg_temp.exhaust(bytes bigint) RETURNS bigint LANGUAGE c STRICT AS :'test_module', 'test_exhaust';
CREATE FUNCTION pg_temp.resident() RETURNS bigint LANGUAGE c AS :'test_module', 'test_resident';

-- Runs a statement and says what went wrong.
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS TABLE (state text, message text, detail text, hint text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    state := '00000';
    RETURN NEXT;
EXCEPTION WHEN OTHERS OR query_canceled THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                            detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT;
END
$$;

-- Every exception becomes an error with its own SQLSTATE (what Boost says differs between its versions).
SELECT kind, state, regexp_replace(message, 'Error in function .*', 'Error in function') AS message, detail, hint
FROM unnest('{core invalid_argument,core invalid_text,core out_of_range,core limit_exceeded,core corrupt_data,
              bad_alloc,length_error,out_of_range,domain_error,overflow_error,evaluation_error,invalid_argument,
              int,unknown,empty message,per cent}'::text[]) WITH ORDINALITY AS k (kind, i),
     pg_temp.attempt(format('SELECT pg_temp.throw(%L)', kind)) AS e
ORDER BY i;

-- A server error that crosses C++ keeps everything it said, and no handler of std::exception swallows it.
SELECT pg_temp.call('SELECT 1');
SELECT pg_temp.call('SELECT 1 / 0');
SELECT * FROM pg_temp.attempt($s$SELECT pg_temp.call($$DO 'BEGIN
    RAISE EXCEPTION ''the message'' USING ERRCODE = ''SH001'', DETAIL = ''the detail'', HINT = ''the hint'';
END'$$)$s$);
CREATE TEMP TABLE keyed (k integer CONSTRAINT only_small CHECK (k < 10));
\set SHOW_CONTEXT never
DO $$
DECLARE
    constraint_name text;
    table_name text;
BEGIN
    PERFORM pg_temp.call('INSERT INTO keyed VALUES (11)');
EXCEPTION WHEN check_violation THEN
    GET STACKED DIAGNOSTICS constraint_name = CONSTRAINT_NAME, table_name = TABLE_NAME;
    RAISE INFO '% of %', constraint_name, table_name;
END
$$;

-- Through several layers of C++ and SQL.
SELECT * FROM pg_temp.attempt($s$SELECT pg_temp.call('SELECT pg_temp.call(''SELECT pg_temp.throw(''''int'''')'')')$s$);

-- A C++ exception out of pg::call leaves no jump into a dead frame behind.
SELECT pg_temp.call_throws();
SELECT 1 / 0;

-- Every destructor ran.
SELECT pg_temp.alive();

-- A text beyond the buffers is cut between characters, whatever the character's length.
SELECT unit, length(message) > 100, message = 'x' || repeat(unit, length(message) - 1) AS whole_message,
       detail = 'x' || repeat(unit, length(detail) - 1) AS whole_detail,
       hint = 'x' || repeat(unit, length(hint) - 1) AS whole_hint,
       octet_length(message) BETWEEN 508 AND 511 AS full_message
FROM unnest('{a,é,€,😀}'::text[]) AS unit, pg_temp.attempt(format('SELECT pg_temp.long(3000, %L)', unit));

-- A computation in core stops when the server says so, and the server says why.
SET statement_timeout = '50ms';
SELECT pg_temp.spin();
SELECT * FROM pg_temp.attempt('SELECT pg_temp.spin()');
RESET statement_timeout;
SELECT pg_temp.alive();

-- palloc as a memory resource: all alignments; no memory is an error, not a crash.
SELECT pg_temp.memory();
SELECT * FROM pg_temp.attempt('SELECT pg_temp.exhaust(1e18::bigint)');
SELECT * FROM pg_temp.attempt('SELECT pg_temp.exhaust(-1)');

-- 100,000 caught errors leave nothing behind: less than ten bytes each, which is the noise of caches.
CREATE FUNCTION pg_temp.catch_errors(times integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    caught bigint := 0;
    kinds text[] := '{core invalid_argument,bad_alloc,int,overflow_error}';
BEGIN
    FOR i IN 1 .. times LOOP
        BEGIN
            IF i % 2 = 0 THEN
                PERFORM pg_temp.throw(kinds[1 + i / 2 % 4]);
            ELSE
                PERFORM pg_temp.call('SELECT 1 / 0');
            END IF;
        EXCEPTION WHEN OTHERS THEN
            caught := caught + 1;
        END;
    END LOOP;
    RETURN caught;
END
$$;
CREATE TEMP TABLE usage (contexts numeric, resident bigint);
PREPARE measure AS INSERT INTO usage SELECT sum(total_bytes), pg_temp.resident() FROM pg_backend_memory_contexts;
SELECT pg_temp.catch_errors(5000);
EXECUTE measure; -- measuring fills caches, too
TRUNCATE usage;
EXECUTE measure;
SELECT pg_temp.catch_errors(100000);
EXECUTE measure;
SELECT max(contexts) - min(contexts) < 1e6 AS contexts_stay, max(resident) - min(resident) < 4e6 AS process_stays
FROM usage;
SELECT pg_temp.alive();

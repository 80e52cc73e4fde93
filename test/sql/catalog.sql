-- Rules that every object of the extension keeps. Each query lists the offenders; all lists are empty.
CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadow_analytics'
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

CREATE TEMP VIEW routine AS
SELECT p.oid::regprocedure AS name, p.*, l.lanname, n.nspname
FROM pg_proc AS p
JOIN member AS m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
JOIN pg_language AS l ON l.oid = p.prolang
JOIN pg_namespace AS n ON n.oid = p.pronamespace;

-- Tables, also those that are not members: partitions.
CREATE TEMP VIEW relation AS
SELECT c.oid::regclass AS name, c.*
FROM pg_class AS c
WHERE c.relnamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
   OR EXISTS (SELECT FROM member AS m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid);

-- The rules are applied to something.
SELECT count(*) > 10 AS has_members FROM member;

-- Every object has a comment: members, columns, and what hangs on tables. Array and row types have none of
-- their own, nor have the indexes of constraints and the internals of operator classes.
WITH object (classid, objid, subid) AS (
    SELECT m.classid, m.objid, 0
    FROM member AS m
    LEFT JOIN pg_type AS t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
    LEFT JOIN pg_class AS r ON r.oid = t.typrelid
    WHERE coalesce(r.relkind, 'c') = 'c'
      AND NOT (m.classid = 'pg_type'::regclass AND m.objid IN (SELECT typarray FROM pg_type))
      AND m.classid NOT IN ('pg_opfamily'::regclass, 'pg_amop'::regclass, 'pg_amproc'::regclass)
    UNION ALL
    SELECT 'pg_class'::regclass, a.attrelid, a.attnum
    FROM pg_attribute AS a
    JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = a.attrelid
    JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
    WHERE a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 'pg_class'::regclass, i.indexrelid, 0
    FROM pg_index AS i
    JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = i.indrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = i.indexrelid)
    UNION ALL
    SELECT 'pg_trigger'::regclass, t.oid, 0
    FROM pg_trigger AS t
    JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = t.tgrelid
    WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'pg_policy'::regclass, p.oid, 0
    FROM pg_policy AS p
    JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = p.polrelid
    UNION ALL
    SELECT 'pg_namespace'::regclass, 'analytics'::regnamespace, 0
)
SELECT pg_describe_object(o.classid, o.objid, o.subid) AS object_without_comment
FROM object AS o
LEFT JOIN pg_description AS d ON d.classoid = o.classid AND d.objoid = o.objid AND d.objsubid = o.subid
WHERE coalesce(d.description, '') = ''
ORDER BY 1;

-- SECURITY DEFINER lives in analytics_internal, and nothing but functions does.
SELECT name AS security_definer_outside_internal FROM routine
WHERE prosecdef AND nspname <> 'analytics_internal' ORDER BY name::text;
SELECT name AS relation_in_internal FROM relation
WHERE relnamespace = 'analytics_internal'::regnamespace ORDER BY name::text;
SELECT name AS immutable_security_definer FROM routine WHERE prosecdef AND provolatile = 'i' ORDER BY name::text;

-- search_path is pinned in SQL and PL/pgSQL functions (a procedure that commits may not carry SET); C functions
-- carry no SET clause, which would cost ten times the call.
SELECT name AS search_path_not_pinned, proconfig FROM routine
WHERE lanname IN ('sql', 'plpgsql') AND prokind <> 'p' AND prosqlbody IS NULL
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
ORDER BY name::text;
SELECT name AS c_function_with_set, proconfig FROM routine
WHERE lanname = 'c' AND proconfig IS NOT NULL AND NOT prosecdef ORDER BY name::text;

-- CREATE EXTENSION does not look into bodies: each is checked here. One that does not pass is an error.
SELECT count(CASE lanname WHEN 'sql' THEN fmgr_sql_validator(oid)::text ELSE plpgsql_validator(oid)::text END) > 50 AS are_checked
FROM routine WHERE lanname IN ('sql', 'plpgsql');

-- What PUBLIC may execute computes from its arguments alone. Exceptions stand in the array, with a reason here:
-- (none)
SELECT name AS executable_by_public FROM routine
WHERE provolatile <> 'i' AND has_function_privilege('public', oid, 'EXECUTE')
  AND name::text <> ALL ('{}'::text[])
ORDER BY name::text;

-- Only C functions without side effects may be called leakproof or parallel safe.
SELECT name AS leakproof FROM routine WHERE proleakproof ORDER BY name::text;
SELECT name AS parallel_safe_but_volatile FROM routine
WHERE proparallel = 's' AND provolatile = 'v' ORDER BY name::text;

-- Row security is on for every table, partitions included, and forced on none (pg_dump by the owner).
SELECT name AS table_without_row_security FROM relation
WHERE relkind IN ('r', 'p', 'f') AND NOT relrowsecurity ORDER BY name::text;
SELECT name AS table_with_forced_row_security FROM relation WHERE relforcerowsecurity ORDER BY name::text;

-- Nothing is granted to PUBLIC; materialized views, which know no row security, are granted to nobody.
SELECT c.name AS granted_to_public, a.privilege_type
FROM relation AS c, aclexplode(c.relacl) AS a
WHERE a.grantee = 0 ORDER BY c.name::text, 2;
SELECT c.name AS materialized_view_granted, a.grantee::regrole
FROM relation AS c, aclexplode(c.relacl) AS a
WHERE c.relkind = 'm' AND a.grantee <> c.relowner ORDER BY c.name::text;

-- A view either runs with its reader's rights or is a barrier.
SELECT name AS view_without_barrier, reloptions FROM relation
WHERE relkind = 'v' AND NOT coalesce(reloptions && '{security_invoker=true,security_barrier=true,security_invoker=on,security_barrier=on}', false)
ORDER BY name::text;

-- workspace_id comes first in the keys of tenant tables and is never NULL.
SELECT c.name AS table_with_nullable_workspace FROM relation AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
WHERE c.relkind IN ('r', 'p') AND NOT a.attnotnull ORDER BY c.name::text;
SELECT c.name AS key_without_workspace_first, k.conname FROM relation AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x')
WHERE c.relkind IN ('r', 'p') AND k.conkey[1] <> a.attnum ORDER BY c.name::text, k.conname;
SELECT c.name AS table_without_primary_key FROM relation AS c
WHERE c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'p')
ORDER BY c.name::text;

-- pg_dump carries the rows of every table that is a member (partitioned ones through their partitions).
SELECT c.name AS table_not_dumped FROM relation AS c
JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
WHERE c.relkind IN ('r', 'p', 'S')
  AND c.oid NOT IN (SELECT unnest(extconfig) FROM pg_extension WHERE extname = 'shadow_analytics')
  AND NOT EXISTS (SELECT FROM pg_depend AS d -- the sequence of an identity column goes with its table
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i')
ORDER BY c.name::text;

-- No index twice: the same columns, operators, predicate and method.
SELECT a.indexrelid::regclass AS index, b.indexrelid::regclass AS same_as
FROM pg_index AS a
JOIN pg_index AS b ON a.indrelid = b.indrelid AND a.indexrelid > b.indexrelid
     AND a.indkey::text = b.indkey::text AND a.indclass::text = b.indclass::text
     AND a.indoption::text = b.indoption::text AND a.indpred::text IS NOT DISTINCT FROM b.indpred::text
     AND a.indexprs::text IS NOT DISTINCT FROM b.indexprs::text
JOIN relation AS c ON c.oid = a.indrelid
ORDER BY 1;

-- Every table has its place where the tables are spread over several servers; job_runs is each server's own.
SELECT c.name AS without_place
FROM relation AS c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'job_runs'
  AND c.relname NOT IN (SELECT t.table_name FROM analytics_internal.table_placements() AS t);
-- There a trigger is made before its table, so it must not name it as a regclass, nor a statement a constraint.
SELECT t.tgrelid::regclass AS "table", t.tgname AS names_a_table
FROM pg_trigger AS t JOIN relation AS c ON c.oid = t.tgrelid
WHERE pg_get_triggerdef(t.oid) LIKE '%::regclass%';
SELECT p.oid::regprocedure AS names_a_constraint
FROM pg_proc AS p
WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace) AND p.prosrc ILIKE '%ON CONFLICT ON CONSTRAINT%';

-- A backslash in a literal means something else where standard_conforming_strings is off; E'' says what it means.
SELECT r.name AS literal_with_backslash, l.line
FROM routine AS r, string_to_table(r.prosrc, chr(10)) AS l (line)
WHERE r.lanname IN ('sql', 'plpgsql') AND strpos(l.line, chr(92)) > 0 AND strpos(l.line, 'E''') = 0 AND l.line !~ '^ *--'
ORDER BY r.name::text;

-- doc/reference.md, from the comments of a fresh installation: scripts/dev reference. Unaligned tuples, nothing else.
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog;

CREATE TEMP VIEW member AS
SELECT d.classid, d.objid
FROM pg_depend AS d
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadow_analytics'
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e';

-- The schema stands before every name: it is left out.
CREATE FUNCTION pg_temp.plain(text) RETURNS text LANGUAGE sql AS $$ SELECT replace($1, 'analytics.', '') $$;

-- One cell of a table: a bar would end it, and < would begin a tag.
CREATE FUNCTION pg_temp.cell(text) RETURNS text LANGUAGE sql AS $$
SELECT replace(replace(replace(coalesce($1, ''), '|', '\|'), '<', '&lt;'), E'\n', ' ') $$;

CREATE FUNCTION pg_temp.sentence(text) RETURNS text LANGUAGE sql AS $$
SELECT CASE WHEN $1 ~ '^[a-z]+[ ,:]' THEN upper(left($1, 1)) || replace(substr($1, 2), '<', '&lt;') ELSE replace($1, '<', '&lt;') END || CASE WHEN $1 ~ '[.!?]$' THEN '' ELSE '.' END $$;

CREATE TEMP VIEW routine AS
SELECT p.oid, p.proname AS name, p.prokind AS kind,
       pg_temp.plain(pg_get_function_arguments(p.oid)) AS arguments, pg_temp.plain(pg_get_function_result(p.oid)) AS result,
       obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc AS p JOIN member AS m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
WHERE p.pronamespace = 'analytics'::regnamespace;

CREATE TEMP VIEW relation AS
SELECT c.oid, c.relname AS name, c.relkind AS kind, obj_description(c.oid, 'pg_class') AS comment
FROM pg_class AS c JOIN member AS m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm');

\qecho '# Reference'
\qecho
\qecho 'Everything in the schema `analytics`, from the comments in the database (`\\df+ analytics.*`, `\\d+ analytics.daily_metrics`). Made by `scripts/dev reference`.'
\qecho
\qecho '## Functions and procedures'
\qecho
SELECT format(E'### %s\n\n%s\n', r.name,
              string_agg(format(E'`%s(%s)`%s\n\n%s', r.name, r.arguments,
                                CASE WHEN r.kind = 'p' THEN ' (procedure)' ELSE format(' → `%s`', r.result) END,
                                pg_temp.sentence(r.comment)),
                         E'\n\n' ORDER BY r.arguments COLLATE "C"))
FROM routine AS r WHERE r.kind IN ('f', 'p', 'w') GROUP BY r.name ORDER BY r.name COLLATE "C";

\qecho '## Aggregates'
\qecho
SELECT format(E'### %s\n\n%s\n', r.name,
              string_agg(format(E'`%s(%s)` → `%s`\n\n%s', r.name, r.arguments, r.result, pg_temp.sentence(r.comment)),
                         E'\n\n' ORDER BY r.arguments COLLATE "C"))
FROM routine AS r WHERE r.kind = 'a' GROUP BY r.name ORDER BY r.name COLLATE "C";

\qecho '## Operators'
\qecho
\qecho '| operator | result | meaning |'
\qecho '|---|---|---|'
SELECT format('| `%s` | %s | %s |',
              replace(concat_ws(' ', CASE WHEN o.oprleft <> 0 THEN pg_temp.plain(format_type(o.oprleft, NULL)) END, o.oprname,
                                pg_temp.plain(format_type(o.oprright, NULL))), '|', '\|'),
              pg_temp.plain(format_type(o.oprresult, NULL)), pg_temp.cell(obj_description(o.oid, 'pg_operator')))
FROM pg_operator AS o JOIN member AS m ON m.classid = 'pg_operator'::regclass AND m.objid = o.oid
ORDER BY o.oprleft::regtype::text COLLATE "C", o.oprname COLLATE "C", o.oprright::regtype::text COLLATE "C";
\qecho

\qecho '## Types'
\qecho
SELECT format(E'### %s\n\n%s\n', t.typname, pg_temp.sentence(obj_description(t.oid, 'pg_type')))
FROM pg_type AS t
JOIN member AS m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
LEFT JOIN pg_class AS c ON c.oid = t.typrelid
WHERE t.typnamespace = 'analytics'::regnamespace AND t.typelem = 0 AND coalesce(c.relkind, 'c') = 'c'
ORDER BY t.typname COLLATE "C";

\qecho '## Tables and views'
\qecho
SELECT format(E'### %s\n\n%s%s\n\n| column | type | meaning |\n|---|---|---|\n%s\n', r.name,
              CASE r.kind WHEN 'v' THEN 'View. ' WHEN 'm' THEN 'Materialized view. ' ELSE '' END, pg_temp.sentence(r.comment),
              (SELECT string_agg(format('| %s | %s | %s |', a.attname, pg_temp.plain(format_type(a.atttypid, a.atttypmod)),
                                        pg_temp.cell(col_description(a.attrelid, a.attnum))), E'\n' ORDER BY a.attnum)
               FROM pg_attribute AS a WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped))
FROM relation AS r ORDER BY r.name COLLATE "C";

\qecho '## Settings'
\qecho
\qecho 'Rows of `analytics.settings (name, value)`, written by the owner; `analytics.setting_values` shows what is in force.'
\qecho
\qecho '| name | default | meaning |'
\qecho '|---|---|---|'
SELECT format('| %s | %s | %s |', d.name, pg_temp.cell(d.default_value), pg_temp.cell(d.description))
FROM analytics_internal.setting_definitions() AS d ORDER BY d.name COLLATE "C";

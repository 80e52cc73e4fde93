-- What a user may call, like a table of contents: a name that comes or goes is a decision. What operators, types and
-- aggregates are made of is in analytics_internal.
SELECT p.proname AS name, p.prokind AS kind, pg_get_function_identity_arguments(p.oid) AS arguments
FROM pg_proc AS p
JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadow_analytics'
WHERE p.pronamespace = 'analytics'::regnamespace
ORDER BY p.proname COLLATE "C", pg_get_function_identity_arguments(p.oid) COLLATE "C";

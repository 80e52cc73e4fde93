# What an installed extension consists of, to compare installations.
package InstalledObjects;
use strict;
use warnings;

# One line per fact about a member of the extension.
our $facts = q{
	WITH member AS (
	    SELECT d.classid, d.objid, i.type, i.identity
	    FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadow_analytics',
	         LATERAL pg_identify_object(d.classid, d.objid, 0) AS i
	    WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass),
	relation AS (SELECT m.identity, c.* FROM member AS m JOIN pg_class AS c ON c.oid = m.objid AND m.classid = 'pg_class'::regclass),
	routine AS (SELECT m.identity, p.* FROM member AS m JOIN pg_proc AS p ON p.oid = m.objid AND m.classid = 'pg_proc'::regclass),
	fact (identity, fact) AS (
	    SELECT identity, 'is a ' || type || ': ' || coalesce(obj_description(objid, classid::regclass::name), 'no comment') FROM member
	    UNION ALL SELECT identity, 'definition ' || CASE prokind WHEN 'a' THEN (SELECT to_jsonb(a) - 'aggfnoid' || jsonb_build_object('f', a.aggtransfn) FROM pg_aggregate AS a WHERE a.aggfnoid = routine.oid)::text
	                                                ELSE pg_get_functiondef(oid) END FROM routine
	    UNION ALL SELECT identity, format('acl %s', (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(proacl, acldefault('f', proowner))) AS a)) FROM routine
	    UNION ALL SELECT identity, format('column %s %s not null %s default %s generated %s acl %s storage %s: %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
	                                      pg_get_expr(f.adbin, f.adrelid), a.attgenerated, (SELECT string_agg(i::text, ' ' ORDER BY i::text) FROM unnest(a.attacl) AS i), a.attstorage, col_description(a.attrelid, a.attnum))
	        FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef AS f ON (f.adrelid, f.adnum) = (a.attrelid, a.attnum)
	    UNION ALL SELECT identity, format('constraint %s %s: %s', conname, pg_get_constraintdef(c.oid), obj_description(c.oid, 'pg_constraint')) FROM relation AS r JOIN pg_constraint AS c ON c.conrelid = r.oid AND c.contype <> 'n' -- a column's NOT NULL, which PostgreSQL 18 lists here, too
	    UNION ALL SELECT identity, format('index %s: %s', pg_get_indexdef(i.indexrelid), obj_description(i.indexrelid, 'pg_class')) FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid
	    UNION ALL SELECT identity, format('trigger %s %s: %s', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger')) FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
	    UNION ALL SELECT identity, format('policy %s %s %s roles %s using %s check %s: %s', polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy'))
	        FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
	    UNION ALL SELECT identity, format('relation %s row security %s %s acl %s options %s', relkind, relrowsecurity, relforcerowsecurity, (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) AS a), reloptions) FROM relation
	    UNION ALL SELECT identity, 'view ' || pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')
	    UNION ALL SELECT nspname, format('schema acl %s: %s', (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(nspacl, acldefault('n', nspowner))) AS a), obj_description(oid, 'pg_namespace')) FROM pg_namespace WHERE nspname LIKE 'analytics%'
	    UNION ALL SELECT 'dumped', c::regclass || ' ' || w FROM pg_extension, LATERAL unnest(extconfig, extcondition) AS u (c, w) WHERE extname = 'shadow_analytics')
	SELECT line FROM fact, LATERAL (SELECT identity || ' ' || replace(fact, E'\n', ' ') AS line) AS l ORDER BY line COLLATE "C"};

sub facts
{
	my ($node, $database) = @_;
	return $node->safe_psql($database, $facts);
}

# What only the first has (-) and only the second (+).
sub difference
{
	my ($a, $b) = @_;
	my (%a, %b);
	@a{ split /\n/, $a } = ();
	@b{ split /\n/, $b } = ();
	return join "\n", (map { "- $_" } grep { !exists $b{$_} } sort keys %a), (map { "+ $_" } grep { !exists $a{$_} } sort keys %b);
}

1;

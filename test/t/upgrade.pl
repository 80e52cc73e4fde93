# Every published version, updated, ends in exactly the objects of a fresh install, with comments, privileges and
# policies, and keeps its data. What the comparison sees is tried first, on deliberate changes.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\n");
$node->start;

# One line per fact about a member of the extension.
my $facts = q{
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
	    UNION ALL SELECT identity, format('acl %s', (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(proacl) AS a)) FROM routine
	    UNION ALL SELECT identity, format('column %s %s not null %s default %s generated %s acl %s storage %s: %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
	                                      pg_get_expr(f.adbin, f.adrelid), a.attgenerated, a.attacl, a.attstorage, col_description(a.attrelid, a.attnum))
	        FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef AS f ON (f.adrelid, f.adnum) = (a.attrelid, a.attnum)
	    UNION ALL SELECT identity, format('constraint %s %s: %s', conname, pg_get_constraintdef(c.oid), obj_description(c.oid, 'pg_constraint')) FROM relation AS r JOIN pg_constraint AS c ON c.conrelid = r.oid
	    UNION ALL SELECT identity, format('index %s: %s', pg_get_indexdef(i.indexrelid), obj_description(i.indexrelid, 'pg_class')) FROM relation AS r JOIN pg_index AS i ON i.indrelid = r.oid
	    UNION ALL SELECT identity, format('trigger %s %s: %s', pg_get_triggerdef(t.oid), t.tgenabled, obj_description(t.oid, 'pg_trigger')) FROM relation AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
	    UNION ALL SELECT identity, format('policy %s %s %s roles %s using %s check %s: %s', polname, polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid), obj_description(p.oid, 'pg_policy'))
	        FROM relation AS r JOIN pg_policy AS p ON p.polrelid = r.oid
	    UNION ALL SELECT identity, format('relation %s row security %s %s acl %s options %s', relkind, relrowsecurity, relforcerowsecurity, relacl, reloptions) FROM relation
	    UNION ALL SELECT identity, 'view ' || pg_get_viewdef(oid) FROM relation WHERE relkind IN ('v', 'm')
	    UNION ALL SELECT nspname, format('schema acl %s: %s', nspacl, obj_description(oid, 'pg_namespace')) FROM pg_namespace WHERE nspname LIKE 'analytics%'
	    UNION ALL SELECT 'dumped', c::regclass || ' ' || w FROM pg_extension, LATERAL unnest(extconfig, extcondition) AS u (c, w) WHERE extname = 'shadow_analytics')
	SELECT line FROM fact, LATERAL (SELECT identity || ' ' || replace(fact, E'\n', ' ') AS line) AS l ORDER BY line COLLATE "C"};

sub facts_of { return $node->safe_psql($_[0], $facts) }
sub difference
{
	my ($a, $b) = @_;
	my (%a, %b);
	@a{ split /\n/, $a } = ();
	@b{ split /\n/, $b } = ();
	return join "\n", (map { "- $_" } grep { !exists $b{$_} } sort keys %a), (map { "+ $_" } grep { !exists $a{$_} } sort keys %b);
}

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION shadow_analytics');
my $fresh = facts_of('fresh');
cmp_ok(scalar(split /\n/, $fresh), '>', 1000, 'facts about a fresh install');
for my $change (
	"COMMENT ON COLUMN analytics.daily_metrics.currency IS 'other'", 'GRANT SELECT ON analytics.watermark TO PUBLIC', 'GRANT SELECT (name) ON analytics.settings TO PUBLIC',
	'ALTER POLICY member_reads ON analytics.daily_metrics USING (true)', 'ALTER POLICY member_reads ON analytics.daily_metrics TO pg_monitor', 'ALTER TABLE analytics.settings DISABLE TRIGGER check_setting',
	'ALTER TABLE analytics.job_runs ALTER COLUMN rows SET DEFAULT 1', 'ALTER TABLE analytics.watermark DROP CONSTRAINT watermark_order', 'ALTER TABLE analytics.settings FORCE ROW LEVEL SECURITY',
	'GRANT EXECUTE ON FUNCTION analytics.post_restore() TO PUBLIC', 'ALTER FUNCTION analytics.post_restore() RESET search_path', 'GRANT USAGE ON SCHEMA analytics_internal TO PUBLIC',
	'CREATE INDEX ON analytics.job_runs (pid)', 'ALTER EXTENSION shadow_analytics DROP FUNCTION analytics.post_restore()')
{
	isnt(difference($fresh, $node->safe_psql('fresh', "BEGIN; $change; $facts")), '', "seen: $change");
}

my $current = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'shadow_analytics'});
is($node->safe_psql('postgres', qq{SELECT source FROM pg_extension_update_paths('shadow_analytics') WHERE target = '$current' AND source <> target AND path IS NULL}),
	'', 'every published version has a path to the current one');
my @published = split /\n/, $node->safe_psql('postgres', qq{SELECT version FROM pg_available_extension_versions WHERE name = 'shadow_analytics' AND version <> '$current'});
note 'published before: ' . (@published ? "@published" : 'none');
for my $version (@published)
{
	my $database = 'from_' . $version =~ s/\W/_/gr;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	# The current library serves the old SQL.
	$node->safe_psql($database, qq{
		CREATE EXTENSION shadow_analytics VERSION '$version';
		INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) SELECT md5('w')::uuid, md5('u' || i)::uuid, 'login', now() - interval '2 days' FROM generate_series(1, 10) AS i;
		CALL analytics.maintain()});
	my $rows = 'SELECT workspace_id, metric_date, total_events FROM analytics.daily_metrics ORDER BY 1, 2';
	my $before = $node->safe_psql($database, $rows);
	$node->safe_psql($database, 'ALTER EXTENSION shadow_analytics UPDATE');
	is(difference($fresh, facts_of($database)), '', "$version updated is a fresh $current");
	is($node->safe_psql($database, $rows), $before, "$version: rollups are kept");
	my (undef, undef, $error) = $node->psql($database, 'CALL analytics.maintain()');
	is($error, '', "$version: maintenance goes on");
}

$node->stop;
done_testing();

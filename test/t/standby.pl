# A physical standby answers every function that reads; those that write give PostgreSQL's own error. A subscriber of
# user_activity counts late events, protects persons and changes no valid row.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\n");
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION shadow_analytics;
	CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
	INSERT INTO public.workspace_members VALUES (md5('w')::uuid, md5('u')::uuid);
	SELECT analytics.setup_roles();
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
	SELECT md5('w')::uuid, md5('u' || i % 5)::uuid, 'agent_run', jsonb_build_object('agent_id', md5('a'), 'status', 'ok', 'runtime', i),
	       date_trunc('day', now(), 'UTC') - interval '3 days' + i * interval '1 minute' FROM generate_series(1, 300) AS i;
	CALL analytics.maintain()});
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

sub run_on_standby
{
	my ($query) = @_;
	my ($status, $out, $error) = $standby->psql('postgres', "\\set VERBOSITY sqlstate\n$query");
	return ($out, $error =~ /ERROR:\s+(\w{5})/ ? $1 : $error);
}

# Every function of the schema that is marked as reading, called with arguments of its types.
my %argument = (
	uuid => "md5('w')::uuid", date => "((now() AT TIME ZONE 'UTC')::date - 2)", 'timestamp with time zone' => 'now()', integer => '7',
	bigint => '7', numeric => '1.5', 'double precision' => '0.5', text => "'daily'", name => "'authenticated'", boolean => 'true',
	interval => "interval '1 hour'", 'numeric[]' => 'ARRAY[1.5]', 'double precision[]' => 'ARRAY[0.5::float8]', 'bigint[]' => 'ARRAY[7::bigint]',
	'integer[]' => 'ARRAY[1]', 'uuid[]' => "ARRAY[md5('w')::uuid]", 'text[]' => "ARRAY['a']", jsonb => "'{}'::jsonb", bytea => "''::bytea",
	'analytics.user_set' => "'{1,2}'::analytics.user_set", 'analytics.quantile_sketch' => '(SELECT analytics.quantile_sketch_agg(i::float8) FROM generate_series(1, 9) AS i)');
my ($called, @refused) = (0);
for my $line (split /\n/, $primary->safe_psql('postgres', q{
	SELECT p.oid::regproc, coalesce((SELECT string_agg(format_type(t, NULL), ',' ORDER BY n) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)), '')
	FROM pg_proc AS p
	WHERE p.pronamespace = 'analytics'::regnamespace AND p.prokind = 'f' AND p.provolatile <> 'v'
	  AND NOT ('internal'::regtype = ANY (p.proargtypes) OR 'cstring'::regtype = ANY (p.proargtypes) OR p.prorettype IN ('internal'::regtype, 'cstring'::regtype))
	ORDER BY 1, 2}))
{
	my ($function, $types) = split /\|/, $line, -1;
	my @values = map { $argument{$_} // "NULL::$_" } split /,/, $types;
	my (undef, $error) = run_on_standby("SELECT count(*) FROM (SELECT * FROM $function(" . join(', ', @values) . ')) AS t');
	push @refused, "$function($types): $error" if $error =~ /25006|XX000|server closed/;
	++$called;
}
is(join("\n", @refused), '', "$called functions that read run on the standby");
cmp_ok($called, '>', 50, 'there are many');

# What a refresh by changes has written is there after a crash and on the standby, and what it has not committed is nowhere.
my $refresh = q{UPDATE analytics.agent_performance SET total_runs = total_runs + 7; UPDATE analytics.daily_metrics SET total_events = total_events * 3;
	SELECT count(*) FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;};
my $rows = q{SET enable_seqscan = off; SELECT * FROM analytics.mv_agent_usage_trends WHERE workspace_id = md5('w')::uuid; SELECT * FROM analytics.mv_workspace_summary ORDER BY workspace_id};
my $before = $primary->safe_psql('postgres', $rows);
is((split /\n/, $primary->safe_psql('postgres', $refresh))[-1], '5', 'all views are refreshed');
my $refreshed = $primary->safe_psql('postgres', $rows);
isnt($refreshed, $before, 'and changed');
my $unfinished = $primary->background_psql('postgres');
$unfinished->query_safe("BEGIN; $refresh CHECKPOINT");
$primary->stop('immediate');
$primary->start;
is($primary->safe_psql('postgres', $rows), $refreshed, 'a crash loses nothing that was committed and leaves nothing that was not');
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
is((run_on_standby($rows))[0], $refreshed, 'the standby has it, in table and index');

# The same answers as on the primary, through functions, views and row security.
for my $query (
	"SELECT * FROM analytics.get_workspace_metrics(md5('w')::uuid, current_date - 7, current_date)",
	"SELECT * FROM analytics.get_agent_insights(md5('a')::uuid, 7)",
	'SELECT analytics.calculate_percentiles(ARRAY[1.2, 2.3, 3.4, 4.5], ARRAY[0.5, 0.95, 0.99])',
	'SELECT * FROM analytics.mv_workspace_summary', 'SELECT * FROM analytics.mv_agent_usage_trends ORDER BY metric_date',
	'SELECT * FROM analytics.setting_values', 'SELECT * FROM analytics.retention_policy_values', 'SELECT table_name FROM analytics.table_sizes ORDER BY 1',
	'SELECT rollup, newest_bucket FROM analytics.freshness', 'SELECT check_name FROM analytics.health()', 'SELECT * FROM analytics.security_audit()',
	"SELECT * FROM analytics.get_active_users(md5('w')::uuid, current_date - 7, current_date - 1)",
	qq{BEGIN; SET LOCAL ROLE authenticated; SET LOCAL request.jwt.claim.sub = '@{[ $primary->safe_psql('postgres', q{SELECT md5('u')::uuid}) ]}';
	   SELECT metric_date, total_runs FROM analytics.daily_metrics; SELECT count(*) FROM analytics.workspace_summary; COMMIT})
{
	my ($out, $error) = run_on_standby($query);
	my $name = substr($query =~ s/\s+/ /gr, 0, 70);
	is($error, '', "$name");
	is($out, $primary->safe_psql('postgres', $query), 'the same as on the primary');
	isnt($out, '', 'and something') unless $query =~ /security_audit/;
}

# What writes.
for my $query (
	'SELECT analytics.aggregate_daily_metrics(current_date - 3)', 'SELECT analytics.aggregate_hourly_metrics(now())',
	'SELECT analytics.refresh_all_materialized_views()', 'SELECT * FROM analytics.cleanup_old_data()', 'SELECT * FROM analytics.evaluate_alert_rules()',
	"SELECT analytics.track('login', '{}', user_id => md5('u')::uuid)", q{SELECT * FROM analytics.track_batch('[{"event_type": "login", "user_id": "00000000-0000-0000-0000-000000000001"}]')},
	'SELECT analytics.create_partitions(current_date + 100, current_date + 101)', "SELECT analytics.forget_user(md5('u')::uuid)",
	'SELECT analytics.post_restore()', 'SELECT analytics.setup_roles()', 'SELECT analytics.aggregate_user_cohorts(\'daily\', current_date - 3)',
	'CALL analytics.maintain()', "CALL analytics.backfill(current_date - 3, current_date - 2)",
	"INSERT INTO analytics.settings VALUES ('currency', 'EUR')", "INSERT INTO analytics.user_activity (user_id, event_type) VALUES (md5('u')::uuid, 'login')")
{
	my (undef, $error) = run_on_standby($query);
	is($error, '25006', substr($query, 0, 70) . ': read_only_sql_transaction');
}

# Logical replication, here from one database to another of the same server.
$primary->safe_psql('postgres', q{CREATE DATABASE subscriber});
my $connection = $primary->connstr('postgres');
$primary->safe_psql('subscriber', qq{
	CREATE EXTENSION shadow_analytics;
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
	SELECT md5('r')::uuid, md5('u' || i)::uuid, 'login', date_trunc('day', now(), 'UTC') - i * interval '1 hour' FROM generate_series(1, 30) AS i;
	CALL analytics.maintain(); CALL analytics.maintain()});
$primary->safe_psql('postgres', q{
	CREATE PUBLICATION events FOR TABLE analytics.user_activity WITH (publish = 'insert, update', publish_via_partition_root = true)});
$primary->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('events', 'pgoutput')});
$primary->safe_psql('subscriber', qq{
	CREATE SUBSCRIPTION events CONNECTION \$c\$$connection\$c\$ PUBLICATION events WITH (slot_name = 'events', create_slot = false, copy_data = false)});
$primary->safe_psql('postgres', q{
	SELECT analytics.track(t.type, '{"run_id": "1", "status": "ok"}', md5('r')::uuid, md5('late')::uuid, page_path => '/a', ip_address => '203.0.113.77',
	                       user_agent => 'Mozilla/5.0 (X11) Firefox/120.0', created_at => date_trunc('day', now(), 'UTC') - interval '3 hours')
	FROM unnest('{agent_run,page_view}'::text[]) AS t (type);
	INSERT INTO analytics.settings VALUES ('ip_policy', 'keep');
	SELECT analytics.track('login', '{}', md5('r')::uuid, md5('late')::uuid, ip_address => '203.0.113.78', created_at => date_trunc('day', now(), 'UTC') - interval '3 hours');
	DELETE FROM analytics.settings WHERE name = 'ip_policy'});
$primary->wait_for_catchup('events');
my $events = q{SELECT id, user_id, event_type, page_path, ip_address, ip_hash, user_agent, metadata, created_at FROM analytics.user_activity
	WHERE user_id = md5('late')::uuid AND event_type <> 'login' ORDER BY id};
isnt($primary->safe_psql('subscriber', $events), '', 'events were replicated');
is($primary->safe_psql('subscriber', $events), $primary->safe_psql('postgres', $events), 'valid rows as they are');
is($primary->safe_psql('subscriber', q{SELECT ip_address FROM analytics.user_activity WHERE user_id = md5('late')::uuid AND event_type = 'login'}),
	'203.0.113.0/24', 'the policy of the subscriber');
is($primary->safe_psql('subscriber', 'SELECT count(DISTINCT metric_hour) FROM analytics.dirty_hours'), '1', 'late events are noted');
$primary->safe_psql('subscriber', 'CALL analytics.maintain()');
is($primary->safe_psql('subscriber', q{SELECT sum(total_events), sum(total_runs) FROM analytics.daily_metrics WHERE workspace_id = md5('r')::uuid}),
	'33|1', 'and counted');
$primary->safe_psql('subscriber', $_) for 'ALTER SUBSCRIPTION events DISABLE', 'ALTER SUBSCRIPTION events SET (slot_name = NONE)', 'DROP SUBSCRIPTION events';

$standby->stop;
$primary->stop;
unlike(slurp_file($standby->logfile), qr/TRAP:|PANIC:|terminated by signal/, 'no crash');
done_testing();

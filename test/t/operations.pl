# The entry points of an operator: database/run_migrations.sh and its files, pg_cron, a maintain() that is killed.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $database = "$FindBin::RealBin/../../database";
my $has_cron = -e `pg_config --pkglibdir` =~ s/\n//r . '/pg_cron.so';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nautovacuum = off\n");
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'app'\ncron.host = '" . $node->host . "'\n") if $has_cron;
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');

# run_migrations.sh: once, again, from the environment, and when something fails.
my $url = $node->connstr('app');
my ($out, $err) = run_command([ "$database/run_migrations.sh", $url ]);
is($err, '', 'no error');
like($out, qr/001_create_analytics_schema.*008_create_performance_indexes.*user_activity/s, 'migrations and sizes');
{
	local $ENV{DATABASE_URL} = $url;
	$node->command_ok(["$database/run_migrations.sh"], 'again, with DATABASE_URL');
}
{
	local $ENV{DATABASE_URL} = '';
	command_exit_is(["$database/run_migrations.sh"], 2, 'no URL');
}
$node->safe_psql('postgres', 'CREATE DATABASE occupied');
$node->safe_psql('occupied', 'CREATE SCHEMA analytics; CREATE TABLE analytics.mine (n integer)');
$node->command_checks_all([ "$database/run_migrations.sh", $node->connstr('occupied') ],
	1, [qr/001/], [ qr/schema "analytics" is not empty/, qr/STATEMENT: .*CREATE EXTENSION/s ],
	'a failing migration names its statement');

# The procedures, each as printed.
$node->safe_psql('app', q{INSERT INTO analytics.user_activity (user_id, event_type, created_at)
	SELECT md5('u' || i)::uuid, 'login', now() - i * interval '1 hour' FROM generate_series(0, 48) AS i});
for my $procedure ('aggregate_metrics', 'cleanup_old_data')
{
	$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-d', $url, '-f', "$database/procedures/$procedure.sql" ], $procedure);
}

# The whole server is killed while maintain() runs; the next run finishes the job.
my $wrong = q{
	SELECT count(*) FROM
	(SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n FROM analytics.user_activity GROUP BY 1) AS e
	FULL JOIN (SELECT metric_date AS day, total_events AS n FROM analytics.daily_metrics) AS d USING (day)
	WHERE e.n IS DISTINCT FROM d.n };
for my $delay (0.02, 0.1, 0.3)
{
	$node->safe_psql('app', q{DELETE FROM analytics.watermark; DELETE FROM analytics.job_runs; DELETE FROM analytics.daily_metrics});
	my $maintain = IPC::Run::start([ 'psql', '-X', '-q', '-d', $url, '-c', 'CALL analytics.maintain()' ], '>', \my $o, '2>', \my $e);
	select(undef, undef, undef, $delay);
	$node->stop('immediate');
	$maintain->finish;
	$node->start;
	$node->safe_psql('app', 'CALL analytics.maintain()');
	is($node->safe_psql('app', $wrong), '0', "killed after $delay s: every day is right after the next run");
	is($node->safe_psql('app', q{SELECT count(*) FROM analytics.job_runs WHERE outcome IN ('running', 'failed')}), '0', 'no run is left open');
}

# Two at once: the second says so and returns.
my $holder = $node->background_psql('app');
$holder->query_safe(q{BEGIN; SELECT analytics_internal.try_lock('maintenance')});
my (undef, undef, $notice) = $node->psql('app', 'CALL analytics.maintain()');
like($notice, qr/already running in another session/, 'the second maintain() returns');
$holder->query_safe('ROLLBACK');
$holder->quit;

# One real tick, and the seed's four statements.
SKIP:
{
	skip 'pg_cron is not installed', 6 unless $has_cron;
	$node->safe_psql('app', 'CREATE EXTENSION pg_cron');
	$node->safe_psql('app', q{
		SELECT cron.schedule('aggregate-daily-metrics', '0 1 * * *', 'SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1)');
		SELECT cron.schedule('refresh-mv', '0 2 * * *', 'SELECT analytics.refresh_all_materialized_views()');
		SELECT cron.schedule('cleanup-old-data', '0 3 * * 0', 'SELECT analytics.cleanup_old_data()');
		SELECT cron.schedule('aggregate-hourly-metrics', '5 * * * *',
			'SELECT analytics.aggregate_hourly_metrics(DATE_TRUNC(''hour'', NOW() - INTERVAL ''1 hour''))')});
	is($node->safe_psql('app', q{SELECT analytics.schedule_jobs(); SELECT job_name FROM analytics.schedule_jobs(); SELECT count(*) FROM cron.job}),
		"(shadow-analytics-maintain,\"* * * * *\",\"CALL analytics.maintain()\")\nshadow-analytics-maintain\n5", 'scheduled once');
	# The same four, due at once, by an operator who is no superuser and owns nothing.
	$node->safe_psql('app', q{
		CREATE ROLE operator LOGIN;
		SELECT analytics.grant_operator('operator');
		GRANT USAGE ON SCHEMA cron TO operator;
		SET SESSION AUTHORIZATION operator;
		SELECT cron.schedule('daily', '* * * * *', 'SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1)');
		SELECT cron.schedule('views', '* * * * *', 'SELECT analytics.refresh_all_materialized_views()');
		SELECT cron.schedule('cleanup', '* * * * *', 'SELECT analytics.cleanup_old_data()');
		SELECT cron.schedule('hourly', '* * * * *',
			'SELECT analytics.aggregate_hourly_metrics(DATE_TRUNC(''hour'', NOW() - INTERVAL ''1 hour''))')});
	$node->safe_psql('app', q{DELETE FROM analytics.job_runs});
	ok($node->poll_query_until('app', q{SELECT EXISTS (SELECT FROM cron.job_run_details AS d JOIN cron.job AS j USING (jobid)
		WHERE j.jobname = 'shadow-analytics-maintain' AND d.status = 'succeeded')}), 'a tick of pg_cron succeeded');
	is($node->safe_psql('app', q{SELECT DISTINCT outcome FROM analytics.job_runs WHERE step = 'maintain'}), 'done', 'and is recorded');
	ok($node->poll_query_until('app', q{SELECT count(DISTINCT d.command) = 4 FROM cron.job_run_details AS d
		WHERE d.username = 'operator' AND d.status IN ('succeeded', 'failed')}), 'the four jobs of the operator ran');
	is($node->safe_psql('app', q{SELECT status, return_message FROM cron.job_run_details WHERE username = 'operator' AND status = 'failed'}), '', 'without an error');
	is($node->safe_psql('app', q{SELECT analytics.unschedule_jobs(); SELECT analytics.unschedule_jobs()}), "1\n0", 'unscheduled');
}

$node->stop;
done_testing();

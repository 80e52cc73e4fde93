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
$node->init(extra => [ '--auth-local', 'peer', '--auth-host', 'scram-sha-256' ]); # as pg_createcluster does
$node->append_conf('postgresql.conf', "restart_after_crash = on\nautovacuum = off\nlisten_addresses = 'localhost'\n");
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'app'\n") if $has_cron;
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
	1, [qr/001/], [ qr/schema "analytics" is not empty/, qr/HINT: .*doc\/migrate\.md/, qr/STATEMENT: .*CREATE EXTENSION/s ],
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
(undef, undef, my $busy) = $node->psql('app', 'CALL analytics.maintain()');
like($busy, qr/already running in another session/, 'the second maintain() returns');
$holder->query_safe('ROLLBACK');
$holder->quit;

# Real ticks, and the four statements of database/README.md.
sub maintenance { return $node->safe_psql($_[0], q{SELECT concat_ws('|', status, detail, hint) FROM analytics.health() WHERE check_name = 'maintenance'}); }
SKIP:
{
	skip 'pg_cron is not installed', 18 unless $has_cron;
	$node->safe_psql('app', 'DELETE FROM analytics.job_runs; CREATE EXTENSION pg_cron');
	like(maintenance('app'), qr/^fail\|.*has never run.*\|SELECT analytics.schedule_jobs\(\)/, 'health: nobody calls it, and how to schedule it');

	# Debian's pg_hba.conf asks for a password, which pg_cron does not have.
	my $cure = qr/ALTER SYSTEM SET cron.use_background_workers = on, and restart PostgreSQL/;
	my (undef, $scheduled, $notice) = $node->psql('app', 'SELECT analytics.schedule_jobs()');
	is($scheduled, '(shadow-analytics-maintain,"* * * * *","CALL analytics.maintain()")', 'scheduled');
	like($notice, qr/NOTICE:  scheduled, but the runs will fail: pg_cron connects to "localhost" by TCP as "\w+", for whom pg_hba.conf says scram-sha-256\nHINT:  $cure/,
		'with settings that cannot work');
	ok($node->poll_query_until('app', "SELECT EXISTS (SELECT FROM cron.job_run_details WHERE status = 'failed')"), 'a run fails');
	like(maintenance('app'), qr/^fail\|.*scheduled with pg_cron, but its runs fail: connection failed\|pg_cron connects to .*$cure/, 'health says so, and the cure');
	$node->safe_psql('app', 'ALTER SYSTEM SET cron.use_background_workers = on');
	$node->restart;
	(undef, $scheduled, $notice) = $node->psql('app', 'SELECT analytics.schedule_jobs()');
	is($notice, '', 'cured');

	# pg_cron is in one database of a server: others are scheduled from there.
	$node->safe_psql('postgres', 'CREATE DATABASE "other-db"');
	$node->safe_psql('other-db', 'CREATE EXTENSION shadow_analytics');
	my (undef, undef, $error) = $node->psql('other-db', 'SELECT analytics.schedule_jobs()');
	like($error, qr/ERROR:  extension "pg_cron" is not installed in this database.*HINT:  In database app, where pg_cron is: SELECT cron.schedule_in_database/s, 'another database');
	my ($there) = maintenance('other-db') =~ /In database app, where pg_cron is: (SELECT cron\.schedule_in_database\(.+\))\./;
	$node->safe_psql('app', $there);

	$node->safe_psql('app', q{
		SELECT cron.schedule('aggregate-daily-metrics', '0 1 * * *', 'SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 1)');
		SELECT cron.schedule('refresh-mv', '0 2 * * *', 'SELECT analytics.refresh_all_materialized_views()');
		SELECT cron.schedule('cleanup-old-data', '0 3 * * 0', 'SELECT analytics.cleanup_old_data()');
		SELECT cron.schedule('aggregate-hourly-metrics', '5 * * * *',
			'SELECT analytics.aggregate_hourly_metrics(DATE_TRUNC(''hour'', NOW() - INTERVAL ''1 hour''))')});
	is($node->safe_psql('app', q{SELECT job_name FROM analytics.schedule_jobs(); SELECT count(*) FROM cron.job}),
		"shadow-analytics-maintain\n6", 'scheduled once');
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
	like(maintenance('app'), qr/^ok\|/, 'health is content');
	ok($node->poll_query_until('other-db', q{SELECT EXISTS (SELECT FROM analytics.job_runs WHERE step = 'maintain' AND outcome = 'done')}), 'the other database was maintained');
	like(maintenance('other-db'), qr/^ok\|/, 'and is content');
	is($node->safe_psql('app', q{SELECT analytics.unschedule_jobs(); SELECT analytics.unschedule_jobs()}), "1\n0", 'unscheduled');

	# CASCADE takes along what would fail without the extension.
	$node->safe_psql('app', q{SELECT analytics.schedule_jobs();
		SELECT cron.schedule('select-from', '0 0 1 1 *', 'SELECT * FROM analytics.cleanup_old_data()');
		SELECT cron.schedule('not-ours', '0 0 1 1 *', 'SELECT public.mine(''analytics.maintain()'')')});
	(undef, undef, $error) = $node->psql('app', 'DROP EXTENSION shadow_analytics');
	like($error, qr/ERROR:  cannot drop extension shadow_analytics because it holds data/, 'no removal without CASCADE');
	is($node->safe_psql('app', 'SELECT count(*) FROM cron.job'), 12, 'the jobs are there');
	$node->safe_psql('app', 'DROP EXTENSION shadow_analytics CASCADE');
	is($node->safe_psql('app', 'SELECT string_agg(jobname, $$, $$ ORDER BY jobname) FROM cron.job'), 'not-ours, shadow-analytics-maintain-other-db', 'the jobs went along');
}

$node->stop;
done_testing();

# The background worker: analytics.maintain() without any scheduler, through everything that can happen to a server.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', <<'CONF');
fsync = off
autovacuum = off
restart_after_crash = on
shared_preload_libraries = 'shadow_analytics'
shadow_analytics.databases = 'app, "Other Name", missing, impostor, app'
shadow_analytics.interval = '1s'
CONF
$primary->start;

sub log_of { my $node = shift; return slurp_file($node->logfile); }
sub count_in_log { my ($node, $pattern) = @_; return scalar(() = log_of($node) =~ /$pattern/g); }
sub runs { my ($node, $database) = @_; return $node->safe_psql($database, "SELECT count(*) FROM analytics.job_runs WHERE step = 'maintain' AND outcome = 'done'"); }
sub has_run { my ($node, $database, $what) = @_; ok($node->poll_query_until($database, "SELECT count(*) > $_[3] FROM analytics.job_runs WHERE step = 'maintain' AND outcome = 'done'"), $what); }
sub runs_again { my ($node, $database, $what) = @_; has_run($node, $database, $what, runs($node, $database)); }
sub wait_for { my ($what, $condition) = @_; for (1 .. 600) { return pass($what) if $condition->(); sleep(0.1); } return fail("timed out: $what"); }
sub set_list
{
	my ($list) = @_;
	$primary->safe_psql('postgres', "ALTER SYSTEM SET shadow_analytics.databases = $list");
	$primary->reload;
}
my $processes = "SELECT string_agg(backend_type, ', ' ORDER BY backend_type) FROM pg_stat_activity WHERE backend_type LIKE 'shadow_analytics%'";

# The launcher does its work although nobody has connected since the server started: the file with the indexes of shared
# catalogs is written by the first session. What stands in the way is said once.
wait_for('a missing database is told', sub { count_in_log($primary, qr/cannot maintain database "missing": it does not exist/) });
is(count_in_log($primary, qr/FATAL/), 0, 'by a launcher that nothing ends');
is($primary->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'shadow_analytics launcher'"), 1, 'the launcher is there');

# Databases that come later.
$primary->safe_psql('postgres', $_) for 'CREATE DATABASE app', 'CREATE DATABASE "Other Name"', 'CREATE DATABASE impostor', 'CREATE ROLE somebody';
wait_for('a missing extension is told', sub { count_in_log($primary, qr/cannot maintain database "app": the extension shadow_analytics is not installed/) });
$primary->safe_psql($_, 'CREATE EXTENSION shadow_analytics') for 'app', 'Other Name';
has_run($primary, 'app', 'maintain() runs', 1);
has_run($primary, 'Other Name', 'also in a database whose name must be quoted', 1);
is($primary->safe_psql('app', "SELECT count(*) > 1 FROM pg_inherits WHERE inhparent = 'analytics.user_activity'::regclass"), 't', 'with its effects');
is(count_in_log($primary, qr/FATAL:  database "missing" does not exist/), 0, 'nobody tries to connect to what is missing');
is(count_in_log($primary, qr/cannot maintain database "missing"/), 1, 'it is told once');
is(count_in_log($primary, qr/cannot maintain database "app": the extension/), 1, 'so is the extension');

# Nobody but the extension is called: the worker is a superuser.
$primary->safe_psql('impostor', q{
	CREATE SCHEMA analytics AUTHORIZATION somebody;
	CREATE PROCEDURE analytics.maintain() LANGUAGE sql AS 'CREATE TABLE public.called ()'});
runs_again($primary, 'app', 'time passes') for 1 .. 2;
is($primary->safe_psql('impostor', "SELECT to_regclass('public.called') IS NULL"), 't', 'a procedure of that name alone is not called');
$primary->safe_psql('impostor', 'DROP SCHEMA analytics CASCADE; CREATE EXTENSION shadow_analytics; ALTER PROCEDURE analytics.maintain OWNER TO somebody');
wait_for("somebody else's is told", sub { count_in_log($primary, qr/cannot maintain database "impostor": analytics.maintain\(\) does not belong to a superuser/) });
is(runs($primary, 'impostor'), 0, 'and not called');
$primary->safe_psql('impostor', 'ALTER PROCEDURE analytics.maintain OWNER TO CURRENT_USER');
has_run($primary, 'impostor', 'the own one is', 0);

# Extension and database dropped and created again, with nothing but the usual statements.
$primary->safe_psql('app', 'DROP EXTENSION shadow_analytics CASCADE');
wait_for('the lost extension is told', sub { count_in_log($primary, qr/cannot maintain database "app": the extension/) == 2 });
$primary->safe_psql('app', 'CREATE EXTENSION shadow_analytics');
has_run($primary, 'app', 'back with the extension', 0);
$primary->safe_psql('postgres', 'DROP DATABASE app');
wait_for('the lost database is told', sub { count_in_log($primary, qr/cannot maintain database "app": it does not exist/) == 2 });
$primary->safe_psql('postgres', 'CREATE DATABASE app TEMPLATE "Other Name"');
runs_again($primary, 'app', 'back with the database');
$primary->safe_psql('postgres', 'ALTER DATABASE app ALLOW_CONNECTIONS false');
wait_for('a closed database is told', sub { count_in_log($primary, qr/cannot maintain database "app": it does not exist, or does not accept/) == 3 });
$primary->safe_psql('postgres', 'ALTER DATABASE app ALLOW_CONNECTIONS true');
runs_again($primary, 'app', 'back when it is open');

# A step that takes long: an aggregation whose rollup waits in a trigger.
$primary->safe_psql('app', q{
	CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1000); RETURN NULL; END $$;
	CREATE TRIGGER dawdle AFTER INSERT ON analytics.daily_metrics FOR EACH STATEMENT EXECUTE FUNCTION public.dawdle()});
my $hang = "INSERT INTO analytics.user_activity (workspace_id, user_id, event_type) VALUES (md5('w')::uuid, md5('u')::uuid, 'login');
	DELETE FROM analytics.job_runs WHERE step = 'aggregate_open'";
my $worker = "FROM pg_stat_activity WHERE backend_type = 'shadow_analytics worker' AND datname = 'app' AND wait_event = 'PgSleep'";
sub make_hang
{
	my ($node) = @_;
	$node->safe_psql('app', $hang);
	ok($node->poll_query_until('app', "SELECT EXISTS (SELECT $worker)"), 'a long step');
}
make_hang($primary);
is($primary->safe_psql('app', "SELECT application_name || ', ' || query $worker"), 'shadow_analytics: aggregate_open, CALL analytics.maintain()', 'pg_stat_activity shows it');
is($primary->safe_psql('app', "SELECT string_agg(step, ', ' ORDER BY step) FROM analytics.job_progress"), 'aggregate_open, maintain', 'so does job_progress');
my (undef, undef, $notice) = $primary->psql('app', 'CALL analytics.maintain()');
like($notice, qr/maintenance is already running in another session/, 'there is never another one');
my $elsewhere = runs($primary, 'Other Name');
has_run($primary, 'Other Name', 'other databases do not wait', $elsewhere);

# Removed from the list: it stops in the midst. Lists that are none are refused, names that come are taken at once.
set_list(q{'"Other Name"'});
ok($primary->poll_query_until('app', "SELECT NOT EXISTS (SELECT $worker)"), 'a reload without the database ends its worker');
for my $wrong ("'a b, c'", "'" . join(',', 'a' .. 'cz') . "'", "'a,,b'")
{
	my (undef, undef, $error) = $primary->psql('postgres', "ALTER SYSTEM SET shadow_analytics.databases = $wrong");
	like($error, qr/invalid value for parameter "shadow_analytics.databases".*\nDETAIL:  (List syntax is invalid|At most 64 databases can be listed)\./, 'no list');
}
set_list(q{'app', '"Other Name"'});
ok($primary->poll_query_until('app', "SELECT EXISTS (SELECT $worker)"), 'back on the list');

# Cancelled, terminated, killed.
$primary->safe_psql('app', "SELECT pg_cancel_backend(pid) $worker");
wait_for('a cancelled one', sub { count_in_log($primary, qr/canceling statement due to user request/) });
ok($primary->poll_query_until('app', "SELECT EXISTS (SELECT $worker)"), 'comes back');
$primary->safe_psql('app', "SELECT pg_terminate_backend(pid) $worker");
wait_for('a terminated one', sub { count_in_log($primary, qr/terminating background worker "shadow_analytics worker"/) });
ok($primary->poll_query_until('app', "SELECT EXISTS (SELECT $worker)"), 'comes back');
my $launcher = $primary->safe_psql('postgres', "SELECT pg_terminate_backend(pid)::text || pid FROM pg_stat_activity WHERE backend_type = 'shadow_analytics launcher'");
ok($primary->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'shadow_analytics launcher' AND 'true' || pid <> '$launcher')"),
	'so does the launcher');
my $pid = $primary->safe_psql('app', "SELECT pid $worker LIMIT 1");
kill 'KILL', $pid;
wait_for('the server restarts after a kill -9', sub { count_in_log($primary, qr/all server processes terminated; reinitializing/) });
ok($primary->poll_query_until('app', "SELECT EXISTS (SELECT $worker)"), 'the worker is back after it');
is($primary->safe_psql('app', "SELECT count(*) > 0 FROM analytics.job_runs WHERE outcome = 'interrupted'"), 't', 'what was broken off is marked');

# A standby is quiet until it is promoted.
$primary->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'backup', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));
sleep(3);
is($standby->safe_psql('postgres', $processes), '', 'nothing on a standby');

# Shutdown in the midst of a long step, and of a wait for a lock.
my $began = time();
$primary->stop('fast');
cmp_ok(time() - $began, '<', 30, 'the server stops in the midst of a long step');
$standby->promote;
ok($standby->poll_query_until('app', "SELECT EXISTS (SELECT $worker)"), 'the promoted one works');
$standby->safe_psql('app', "SELECT pg_terminate_backend(pid) $worker");
my ($in, $out, $err) = ("BEGIN; LOCK TABLE analytics.job_runs; SELECT 'locked';\n", '', '');
my $locker = IPC::Run::start([ 'psql', '-XqAt', '-d', $standby->connstr('app') ], '<', \$in, '>', \$out, '2>', \$err);
wait_for('a lock is held', sub { $locker->pump_nb; $out =~ /locked/ });
ok($standby->poll_query_until('app', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'shadow_analytics worker' AND wait_event_type = 'Lock')"), 'the worker waits for it');
$began = time();
$standby->stop('fast');
cmp_ok(time() - $began, '<', 30, 'a server whose worker waits for a lock stops');
$locker->finish;

# Without preloading the settings do nothing, and everything else works.
$primary->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$primary->start;
sleep(2);
is($primary->safe_psql('postgres', $processes), '', 'nothing runs');
$primary->safe_psql('app', 'DROP TRIGGER dawdle ON analytics.daily_metrics');
is(($primary->psql('app', 'CALL analytics.maintain()'))[0], 0, 'maintain() does');
$primary->stop;
unlike(log_of($_), qr/TRAP:|PANIC:|terminated by signal (?!9)/, 'no crash') for $primary, $standby;
done_testing();

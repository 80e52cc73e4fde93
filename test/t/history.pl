# make check-history: years of history with PostgreSQL's default settings, at a cost per day that does not grow with
# their number. HISTORY_DAYS: how many.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $days = $ENV{HISTORY_DAYS} or plan skip_all => 'slow: make check-history';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# What decides about the table of locks is as PostgreSQL has it by default; the test's cluster has fewer connections.
$node->append_conf('postgresql.conf', "fsync = off\nwal_level = replica\nmax_wal_senders = 10\nmax_connections = 100\nmax_locks_per_transaction = 64\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION shadow_analytics');
# As maintenance runs every minute, imported events are late ones.
$node->safe_psql('postgres', 'CALL analytics.maintain()') for 1 .. 3;
$node->safe_psql('postgres', qq{
	INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('user_activity', NULL);
	CREATE TABLE history AS SELECT (now() AT TIME ZONE 'UTC')::date - $days AS first_day, (now() AT TIME ZONE 'UTC')::date - 1 AS last_day;
	-- Not in the order of time.
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
	SELECT md5('w' || n / $days % 2)::uuid, md5('u' || n % 500)::uuid, 'feature_use', first_day + n % $days + n % 24 * interval '1 hour'
	FROM history, generate_series(0, 7 * $days - 1) AS n});

my $started = time;
my $made = $node->safe_psql('postgres', q{SELECT analytics.create_partitions(first_day, last_day) FROM history});
note sprintf('%d partitions in %.1f s', $made, time - $started);
is($node->safe_psql('postgres', 'SELECT count(*) FROM analytics.user_activity_default'), '0', 'every day has a partition');

# The first tenth, what follows, the tenth before the last 100 days, and those, whose hours are aggregated as well.
my $tenth = int($days / 10);
my $last = $days - 100;
sub backfill
{
	my ($from, $to) = @_;
	my $start = time;
	$node->safe_psql('postgres', qq{SELECT format('CALL analytics.backfill(%L, %L)', first_day + $from, first_day + $to - 1) FROM history \\gexec});
	return 1000 * (time - $start) / ($to - $from);
}
my @times = (backfill(0, $tenth), backfill($tenth, $last - $tenth), backfill($last - $tenth, $last), backfill($last, $days));
note sprintf('a day took %.1f ms in the first tenth, %.1f ms, %.1f ms in the last tenth, %.1f ms in the last 100 days', @times);
cmp_ok($times[2], '<', 3 * $times[0], 'the last days cost no more than the first');

is($node->safe_psql('postgres', q{
	SELECT count(*) FROM (SELECT workspace_id, (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n FROM analytics.user_activity GROUP BY 1, 2) AS e
	FULL JOIN (SELECT workspace_id, metric_date AS day, total_events AS n FROM analytics.daily_metrics) AS d USING (workspace_id, day)
	WHERE e.n IS DISTINCT FROM d.n}), '0', 'every day is right');
is($node->safe_psql('postgres', 'CALL analytics.maintain()' . q{; SELECT count(*) FROM analytics.job_runs WHERE outcome = 'failed'}), '0', 'maintenance runs');
my $locks = $node->safe_psql('postgres', q{
	BEGIN;
	SELECT count(*) FROM analytics.user_activity WHERE user_id = md5('u')::uuid \g /dev/null
	SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid();
	COMMIT});
note "a query over everything takes $locks locks";
cmp_ok($locks, '<', 2000, 'a query over everything takes few locks');
$node->command_ok([ 'pg_dump', '-f', '/dev/null', '-d', $node->connstr('postgres') ], 'a dump has room for its locks');

# All of it expires: whole partitions go.
$node->safe_psql('postgres', q{UPDATE analytics.retention_policies SET keep_days = 90; INSERT INTO analytics.settings VALUES ('import_grace_hours', '0')});
$started = time;
for (1 .. 20)
{
	my $note = $node->safe_psql('postgres', q{SELECT note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity'});
	last if $note !~ /the next call goes on/;
}
note sprintf('cleanup took %.1f s', time - $started);
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity WHERE created_at < now() - interval '91 days'}), '0', 'cleanup removes what is old');
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.daily_metrics WHERE metric_date < now() - interval '91 days'}), 2 * ($days - 90), 'and no rollup');

$node->stop;
done_testing();

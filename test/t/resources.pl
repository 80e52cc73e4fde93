# When the disk or the memory is full: a clean error, nothing half made, and the server goes on. No root needed: a
# small tmpfs in a mount namespace of the server's own, and ulimit.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Starts the server within a shell command of our own, to which it is handed as "$@".
sub start_within
{
	my ($node, $shell) = @_;
	my $ok = PostgreSQL::Test::Utils::system_log('sh', '-c', $shell, 'sh',
		'pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile, 'start') == 0;
	$node->_update_pid($ok ? 1 : 0);
	return $ok;
}

sub sqlstate
{
	my ($node, $query) = @_;
	my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$query");
	return $error =~ /ERROR:\s+(\w{5})/ ? $1 : $error;
}

my $events = q{INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
	SELECT md5('w' || i % 3)::uuid, md5('u' || i)::uuid, 'agent_run',
	       jsonb_build_object('agent_id', md5('a' || i), 'run_id', i, 'status', 'failed', 'runtime', i, 'error_message', md5('e' || i) || repeat('x', 100)),
	       TIMESTAMPTZ '2026-01-02 00:00+00' + i * interval '1 second' FROM generate_series(1, %d) AS i};
# Disk: everything but the events lies on 3 MB.
sub test_full_disk
{
	my $node = PostgreSQL::Test::Cluster->new('disk');
	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
	my $mount = $node->basedir . '/small';
	mkdir $mount;
	# As root of a user namespace for mount(8), then as anybody, since the server refuses root.
	my $namespaces = qq{exec unshare --user --map-root-user --mount sh -c 'mount -t tmpfs -o size=3m,mode=777 tmpfs "\$0" && exec unshare --user --map-user=1000 "\$@"' '$mount' "\$@"};
	if (system("sh -c '\$0' true > /dev/null 2>&1; sh -c '" . ($namespaces =~ s/'/'\\''/gr) . "' sh true > /dev/null 2>&1") != 0)
	{
		plan skip_all => 'no user namespaces here';
		return;
	}
	ok(start_within($node, $namespaces), 'the server starts beside a tiny disk') or return;
	$node->safe_psql('postgres', qq{
		CREATE EXTENSION shadow_analytics;
		INSERT INTO analytics.settings VALUES ('import_grace_hours', '0');
		CREATE TABLESPACE small LOCATION '$mount';
		SELECT analytics.create_partitions('2026-01-02', '2026-01-02')});
	my @tables = split /\n/, $node->safe_psql('postgres', q{SELECT oid::regclass FROM pg_class
		WHERE relnamespace = 'analytics'::regnamespace AND relkind = 'r' AND relname !~ '^user_activity|^job_runs|^watermark'});
	$node->safe_psql('postgres', "ALTER TABLE $_ SET TABLESPACE small") for @tables;
	$node->safe_psql('postgres', sprintf($events, 20000));

	my $state = q{SELECT (SELECT count(*) FROM analytics.daily_metrics), (SELECT count(*) FROM analytics.agent_performance),
		(SELECT count(*) FROM analytics.users), (SELECT count(*) FROM analytics.daily_errors)};
	is(sqlstate($node, q{SELECT analytics.aggregate_daily_metrics('2026-01-02')}), '53100', 'a rollup that does not fit is a disk_full error');
	is($node->safe_psql('postgres', $state), '0|0|0|0', 'and leaves nothing behind');
	my (undef, undef, $warning) = $node->psql('postgres', 'CALL analytics.maintain()');
	like($warning, qr/steps of maintenance failed: .*close_buckets/, 'maintain() says which step failed');
	is($node->safe_psql('postgres', q{SELECT left(error, 5) FROM analytics.job_runs WHERE step = 'close_buckets' AND outcome = 'failed'}),
		'53100', 'and why');
	is($node->safe_psql('postgres', q{SELECT status FROM analytics.health() WHERE check_name = 'failed_steps'}), 'fail', 'health() shows it');
	is($node->safe_psql('postgres', $state), '0|0|0|0', 'still nothing is half made');
	is($node->safe_psql('postgres', 'SELECT count(*) FROM analytics.user_activity'), '20000', 'and events past their retention wait');

	# Room again: the same call finishes the job.
	$node->safe_psql('postgres', "ALTER TABLE $_ SET TABLESPACE pg_default") for @tables;
	$node->safe_psql('postgres', 'CALL analytics.maintain()');
	is($node->safe_psql('postgres', 'SELECT sum(total_events), (SELECT count(*) FROM analytics.user_activity) FROM analytics.daily_metrics'),
		'20000|0', 'with room again maintain() aggregates and removes them');
	$node->stop;
	unlike(slurp_file($node->logfile), qr/PANIC:|terminated by signal/, 'no crash');
}

# Memory: with little address space left, whatever grows fails cleanly.
sub test_memory
{
	my $node = PostgreSQL::Test::Cluster->new('memory');
	$node->init;
	$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nshared_buffers = 16MB\nwork_mem = 1GB\n"
		. "max_parallel_workers_per_gather = 0\njit = off\n");
	ok(start_within($node, 'ulimit -v 150000; exec "$@"'), 'the server starts with little memory') or return;
	$node->safe_psql('postgres', q{
		CREATE EXTENSION shadow_analytics;
		SELECT analytics.create_partitions('2026-01-02', '2026-01-02');
		CREATE TABLE n AS SELECT i FROM generate_series(1, 300000) AS i});
	$node->safe_psql('postgres', sprintf($events, 30000));

	my %hungry = (
		percentiles => 'SELECT analytics.percentiles(x.i::float8, ARRAY[0.5]) FROM n AS x, generate_series(1, 25)',
		'percentiles of numeric' => 'SELECT analytics.percentiles(x.i::numeric, ARRAY[0.5]) FROM n AS x, generate_series(1, 20)',
		session_summary => q{SELECT analytics.session_summary(TIMESTAMPTZ '2026-01-01' + x.i * interval '1 s') FROM n AS x, generate_series(1, 5)},
		user_set => 'SELECT analytics.user_set_agg(x.i::bigint * 65537 % 4294967296) FROM n AS x',
		'a day' => q{SELECT analytics.aggregate_daily_metrics('2026-01-02')});
	for my $what (sort keys %hungry)
	{
		# In one session: the error, and the session goes on.
		my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY sqlstate\n$hungry{$what};\nSELECT 'alive'", on_error_stop => 0);
		like($out, qr/alive$/, "$what: the session goes on");
		like($error, $what =~ /percentiles/ ? qr/ERROR:\s+53200/ : qr/^$|ERROR:\s+53200/, "$what: " . ($error ? 'out_of_memory' : 'enough memory'));
	}
	$node->stop;
	unlike(slurp_file($node->logfile), qr/PANIC:|terminated by signal/, 'no crash');
}

subtest 'full disk' => \&test_full_disk;
subtest 'memory' => \&test_memory;
done_testing();

# Cleanup beside readers and writers, the archive function, and the archive-and-restore recipe of doc/operations.md.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION shadow_analytics;
	INSERT INTO analytics.settings VALUES ('import_grace_hours', '0');
	SELECT analytics.create_partitions((now() - interval '95 days')::date, (now() - interval '85 days')::date);
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
	SELECT md5('w' || n % 3)::uuid, md5('u' || n % 7)::uuid, 'agent_run', jsonb_build_object('status', 'completed', 'runtime_seconds', n, 'agent_id', md5('a')::uuid),
	       now() - interval '95 days' + n * interval '1 hour' FROM generate_series(0, 239) AS n});
my $cleanup = q{SELECT rows_deleted, note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity'};

# Somebody reads: cleanup gives up after two seconds, and meanwhile nobody waits behind it.
my $reader = $node->background_psql('postgres');
$reader->query_safe(q{BEGIN; SELECT count(*) FROM analytics.user_activity});
my $run = IPC::Run::start([ 'psql', '-X', '-At', '-d', $node->connstr('postgres'), '-c', $cleanup ], '>', \my $out, '2>', \my $error);
my ($inserts, $slowest) = (0, 0);
while ($run->pumpable && $inserts < 1000)
{
	my $started = time;
	$node->safe_psql('postgres', q{SET statement_timeout = '2s'; INSERT INTO analytics.user_activity (user_id, event_type) VALUES (md5('u')::uuid, 'login')});
	$slowest = time - $started if time - $started > $slowest;
	$inserts++;
	$run->pump_nb;
}
$run->finish;
like($out, qr/no partition was dropped, as user_activity was in use/, 'cleanup says that it has to wait');
cmp_ok($inserts, '>', 3, 'events are written meanwhile');
note "$inserts inserts, the slowest in $slowest s";
$reader->query_safe('ROLLBACK');
$reader->quit;
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.sealed_days WHERE event_day < (now() AT TIME ZONE 'UTC')::date - 90}), '0', 'and seals nothing that it leaves');

# A writer in an expired day: that day is left.
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES (md5('w0')::uuid, md5('late')::uuid, 'login', now() - interval '94 days')});
like($node->safe_psql('postgres', $cleanup), qr/^\d+\|(partitions in use were left|no partition was dropped)/, 'a day that is written is left');
$writer->query_safe('COMMIT');
$writer->quit;

# Cancelled, it leaves everything as it was.
my $events = $node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity});
$node->psql('postgres', "SET statement_timeout = '15ms'; $cleanup");
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity}), $events, 'a cancelled cleanup removes nothing');

# The archive function of the documentation keeps partitions as tables.
my $doc = slurp_file("$FindBin::RealBin/../../doc/operations.md");
my ($function) = $doc =~ /```sql\n(CREATE SCHEMA archive;.*?)```/s;
$node->safe_psql('postgres', $function);
my $expired = $node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity WHERE created_at < date_trunc('day', now() - interval '90 days', 'UTC')});
like($node->safe_psql('postgres', $cleanup), qr/^\d+\|$/, 'nothing is in the way any more');
is($node->safe_psql('postgres', q{SELECT sum((xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', c.oid::regclass), false, true, '')))[1]::text::integer)
	FROM pg_class AS c WHERE relnamespace = 'archive'::regnamespace AND relkind = 'r'}), $expired, 'detached instead of dropped');
is($node->safe_psql('postgres', q{SELECT (SELECT sum(events) FROM analytics.sealed_days)
	+ (SELECT count(*) FROM analytics.user_activity WHERE workspace_id <> '00000000-0000-0000-0000-000000000000')}), '241', 'the days are sealed with exact counts');
is($node->safe_psql('postgres', q{SELECT sum(total_events) FROM analytics.daily_metrics WHERE workspace_id <> '00000000-0000-0000-0000-000000000000' AND metric_date < now() - interval '2 days'}), '241', 'after they were aggregated');

# The recipe for rollups, as printed.
$node->safe_psql('postgres', q{
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
	SELECT md5('w' || n % 3)::uuid, md5('u' || n % 7)::uuid, 'agent_run', jsonb_build_object('status', 'failed', 'error_type', 'it''s "odd", \ ' || n, 'runtime_seconds', n, 'agent_id', md5('a' || n % 2)::uuid),
	       '2024-12-28 12:00+00'::timestamptz + n * interval '3 hours' FROM generate_series(0, 59) AS n;
	SELECT analytics.aggregate_daily_metrics(d::date) FROM generate_series('2024-12-28'::date, '2025-01-05', '1 day') AS d});
my $content = q{SELECT md5(string_agg(d::text, E'\n' ORDER BY d::text)) FROM analytics.daily_metrics AS d; SELECT md5(string_agg(d::text, E'\n' ORDER BY d::text)) FROM analytics.agent_performance AS d};
my $rows = q{SELECT count(*) FILTER (WHERE metric_date < '2025-01-01') > 5, count(*) > 20 FROM analytics.daily_metrics};
my $original = $node->safe_psql('postgres', $content);
is($node->safe_psql('postgres', $rows), 't|t', 'there is something to archive');
my ($archive) = $doc =~ /```sql\n(-- Archive.*?)```/s;
my ($restore) = $doc =~ /```sql\n(-- Restore.*?)```/s;
mkdir $node->basedir . '/files';
chdir $node->basedir . '/files';
$node->safe_psql('postgres', $archive);
is($node->safe_psql('postgres', $rows), 'f|t', 'archived rows are gone');
cmp_ok(scalar(split /\n/, slurp_file('daily_metrics_2024.csv')), '>', 5, 'and in the file');
$node->safe_psql('postgres', $restore);
is($node->safe_psql('postgres', $content), $original, 'restored rows are the same');

$node->stop;
done_testing();

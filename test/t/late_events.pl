# Writers, late writers, deleters and movers against closing and repair, at random: at the end every rollup equals
# a plain count of the events. The watermark moves an hour at a time through three days in the past while they
# are written.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seconds = $ENV{SHADOW_TEST_SECONDS} // 6;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION shadow_analytics;
	SELECT analytics.create_partitions('2024-01-01', '2024-01-03');
	INSERT INTO analytics.retention_policies VALUES ('hourly_metrics', NULL);
	INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (md5('w1')::uuid, 'Asia/Kolkata'), (md5('w2')::uuid, 'America/Los_Angeles')});

my $dir = $node->basedir;
sub script
{
	my ($name, $text) = @_;
	append_to_file("$dir/$name.sql", $text);
	return "$dir/$name.sql";
}

my $insert = q{INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
	SELECT md5('w' || :w)::uuid, md5('u' || random() * 5)::uuid, 'login', TIMESTAMPTZ '2024-01-01 00:00+00' + :minute * interval '1 minute'
	FROM generate_series(1, 3);
};
my $variables = "\\set w random(1, 3)\n\\set minute random(0, 4319)\n\\set ms random(0, 30)\n";
my $write = script('write', $variables . $insert);
my $slow = script('slow', "${variables}BEGIN;\n$insert\\sleep :ms ms\n$insert" . "COMMIT;\n");
my $old = script('old', "${variables}BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n\\sleep :ms ms\n$insert" . "COMMIT;\n");
my $aborted = script('aborted', "${variables}BEGIN;\nSAVEPOINT s;\n${insert}ROLLBACK TO s;\n${insert}\\sleep :ms ms\nCOMMIT;\n");
my $delete = script('delete', $variables . q{DELETE FROM analytics.user_activity
	WHERE created_at = TIMESTAMPTZ '2024-01-01 00:00+00' + :minute * interval '1 minute' AND workspace_id = md5('w' || :w)::uuid;
});
my $move = script('move', $variables . q{UPDATE analytics.user_activity SET created_at = created_at + interval '7 minutes'
	WHERE created_at = TIMESTAMPTZ '2024-01-01 00:00+00' + :minute * interval '1 minute' AND created_at < '2024-01-03 23:00+00' AND workspace_id = md5('w' || :w)::uuid;
});
# Just ahead of the mark and open while it passes, each in a workspace where no later event would repair a loss.
my $edge = script('edge', $variables . q{BEGIN;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT gen_random_uuid(), md5('u')::uuid, 'login', w.marked_until + random() * interval '2 hours' FROM analytics.watermark AS w;
\sleep :ms ms
COMMIT;
});
my $advance = q{SELECT analytics_internal.advance_watermark(least('2024-01-05 00:00+00', coalesce(
	(SELECT marked_until FROM analytics.watermark), '2024-01-01 00:00+00') + interval '1 hour'));
};
my $close = script('close', $advance . "SELECT analytics_internal.close_next();\nSELECT analytics_internal.repair_all();\n");

my $closer = IPC::Run::start([ 'pgbench', '-n', '-c', '1', '-T', $seconds, '-f', $close, $node->connstr('postgres') ], '>', \my $closer_out, '2>', \my $closer_error);
# What another has just moved to another day fails, and may be repeated.
my ($writers_out, $writers_error);
ok(IPC::Run::run([ 'pgbench', '-n', '-c', '6', '-T', $seconds, '--max-tries=10', map({ ('-f', $_) } $write, $slow, $old, $aborted, $delete, $move, "$edge\@4"), $node->connstr('postgres') ],
	'>', \$writers_out, '2>', \$writers_error), 'writers ran') or diag $writers_error;

ok($closer->finish, 'closing and repair ran') or diag $closer_error;

my $reached = $node->safe_psql('postgres', q{SELECT closed_until FROM analytics.watermark});
note "closed until $reached, " . $node->safe_psql('postgres', 'SELECT count(*) FROM analytics.user_activity') . ' events';
cmp_ok($reached, 'gt', '2024-01-01', 'buckets were closed meanwhile');

# Nobody writes any more: finish.
for (1 .. 1000)
{
	$node->safe_psql('postgres', $advance =~ s/2024-01-05/2024-01-07/r);
	$node->safe_psql('postgres', 'SELECT analytics_internal.close_next()');
	last if $node->safe_psql('postgres', q{SELECT closed_until >= '2024-01-07' FROM analytics.watermark}) eq 't';
}
1 while $node->safe_psql('postgres', 'SELECT analytics_internal.repair_all()') > 0;

is($node->safe_psql('postgres', q{
	SELECT workspace_id, day, e.n, d.n FROM
	(SELECT workspace_id, (created_at AT TIME ZONE analytics.workspace_time_zone(workspace_id, created_at))::date AS day, (count(*), count(DISTINCT user_id)) AS n
	 FROM analytics.user_activity GROUP BY 1, 2) AS e
	FULL JOIN (SELECT workspace_id, metric_date AS day, (total_events, active_users) AS n FROM analytics.daily_metrics) AS d USING (workspace_id, day)
	WHERE e.n IS DISTINCT FROM d.n}), '', 'every day equals a count of its events');
is($node->safe_psql('postgres', q{
	SELECT workspace_id, hour, e.n, h.n FROM
	(SELECT workspace_id, date_trunc('hour', created_at) AS hour, count(DISTINCT user_id) AS n FROM analytics.user_activity GROUP BY 1, 2) AS e
	FULL JOIN (SELECT workspace_id, metric_hour AS hour, active_users AS n FROM analytics.hourly_metrics) AS h USING (workspace_id, hour)
	WHERE e.n IS DISTINCT FROM h.n}), '', 'every hour too');

$node->stop;
done_testing();

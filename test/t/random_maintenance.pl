# Writers, late writers, deleters and movers while maintain() is called again and again and hours pass like seconds: at
# the end every rollup equals the plain-SQL calculation. SHADOW_TEST_SECONDS=60 for a long run.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use SimulatedClock;
use Test::More;

my $seconds = $ENV{SHADOW_TEST_SECONDS} // 8;
my $node = SimulatedClock::start('main', "synchronous_commit = off\n");
$node->safe_psql('postgres', q{SELECT clock.set('2025-03-07 18:00+00')});
$node->safe_psql('postgres', q{
	CREATE EXTENSION shadow_analytics;
	INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (md5('w1')::uuid, 'Asia/Kolkata'), (md5('w2')::uuid, 'America/Los_Angeles');
	INSERT INTO analytics.settings VALUES ('open_day_interval_minutes', '1');
	-- The statement's now() is the time that the trigger knows too.
	CREATE FUNCTION write_events(at timestamptz) RETURNS void LANGUAGE sql AS $$
		INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
		SELECT md5('w' || floor(random() * 3 + 1))::uuid, md5('u' || floor(random() * 12))::uuid, t.type, 'n',
		       CASE WHEN t.type = 'login' THEN '{"revenue": 2}' ELSE jsonb_build_object('run_id', floor(random() * 40), 'credits', floor(random() * 9),
		            'status', (ARRAY['completed', 'failed', 'running', 'cancelled'])[floor(random() * 4 + 1)], 'runtime_seconds', floor(random() * 99),
		            'agent_id', md5('a' || floor(random() * 3))::uuid) END, at
		FROM unnest(ARRAY['agent_run', 'error', 'login']) AS t (type) WHERE random() < 0.6 $$;
	-- What fails for a partition that is being attached may be repeated, and pgbench repeats what fails like this.
	CREATE FUNCTION attempt(statement text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE statement;
	EXCEPTION WHEN check_violation THEN
		RAISE serialization_failure USING MESSAGE = SQLERRM;
	END $$;});

my $dir = $node->basedir;
sub script
{
	my ($name, $text) = @_;
	append_to_file("$dir/$name.sql", "\\set late random_exponential(0, 3 * 1440, 5)\n\\set ms random(0, 60)\n\\set w random(1, 3)\n$text");
	return "$dir/$name.sql";
}

sub attempt { return "SELECT attempt(\$\$$_[0]\$\$);\n" }
my $late = attempt(q{SELECT write_events(now() - :late * interval '1 minute')});
my @writers = (
	script('now', attempt('SELECT write_events(now())')),
	script('late', $late),
	script('slow', "BEGIN;\n$late\\sleep :ms ms\n${late}COMMIT;\n"),
	script('old', "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\n\\sleep :ms ms\n${late}COMMIT;\n"),
	script('aborted', "BEGIN;\nSAVEPOINT s;\n${late}ROLLBACK TO s;\n${late}\\sleep :ms ms\nCOMMIT;\n"),
	script('delete', q{DELETE FROM analytics.user_activity WHERE workspace_id = md5('w' || :w)::uuid
	AND created_at BETWEEN now() - :late * interval '1 minute' AND now() - :late * interval '1 minute' + interval '5 minutes';
}),
	# In primary key order: two movers do not deadlock.
	script('move', attempt(q{UPDATE analytics.user_activity AS e SET created_at = e.created_at - interval '7 minutes', user_id = md5('u1')::uuid
	FROM (SELECT workspace_id, created_at, id FROM analytics.user_activity WHERE workspace_id = md5('w' || :w)::uuid
	      AND created_at BETWEEN now() - :late * interval '1 minute' AND now() - :late * interval '1 minute' + interval '5 minutes'
	      ORDER BY 1, 2, 3 FOR UPDATE SKIP LOCKED) AS k
	WHERE (e.workspace_id, e.created_at, e.id) = (k.workspace_id, k.created_at, k.id)})));
my $maintain = script('maintain', "SELECT clock.advance('20 minutes');\nCALL analytics.maintain('100 milliseconds');\n");
my $schedule = script('schedule', "SELECT analytics.aggregate_hourly_metrics(now() - interval '1 hour');\n\\sleep 300 ms\n");

# Several times where a busy machine comes to close nothing in one.
my $closed = q{SELECT closed_until > '2025-03-07 20:00+00' FROM analytics.watermark};
for (1 .. 10)
{
	my @maintainers = map {
		my ($file, $error) = ($_, '');
		[ IPC::Run::start([ 'pgbench', '-n', '-c', '1', '-T', $seconds, '-f', $file, $node->connstr('postgres') ], '>', \my $out, '2>', \$error), \$error ]
	} $maintain, $schedule;
	# So may what another has just moved to another day.
	my ($out, $error);
	ok(IPC::Run::run([ 'pgbench', '-n', '-c', '5', '-R', '150', '-T', $seconds, '--max-tries=10', map({ ('-f', $_) } @writers), $node->connstr('postgres') ],
		'>', \$out, '2>', \$error), 'writers ran') or diag $error;
	ok($_->[0]->finish, 'maintenance ran') or diag ${ $_->[1] } for @maintainers;
	last if $node->safe_psql('postgres', $closed) eq 't';
}

is($node->safe_psql('postgres', q{SELECT DISTINCT step, error FROM analytics.job_runs WHERE outcome = 'failed'}), '', 'no step failed');
note $node->safe_psql('postgres', q{SELECT format('%s events, %s, closed until %s', count(*), now(), (SELECT closed_until FROM analytics.watermark)) FROM analytics.user_activity});
is($node->safe_psql('postgres', $closed), 't', 'hours were closed meanwhile');

# The clock is three days ahead for some calls, and events of before its time come meanwhile.
$node->safe_psql('postgres', $_) for q{SELECT clock.advance('3 days')}, ('CALL analytics.maintain()') x 3, q{SELECT write_events(now() - interval '3 days')},
	q{SELECT clock.advance('-3 days')};
is($node->safe_psql('postgres', q{SELECT closed_until > now() + interval '2 days' FROM analytics.watermark}), 't', 'days to come were closed');
is($node->safe_psql('postgres', q{SELECT status FROM analytics.health() WHERE check_name = 'clock'}), 'fail', 'health() says so');
$node->psql('postgres', 'CALL analytics.maintain()', stderr => \my $warning);
like($warning, qr/WARNING:  the clock has gone back/, 'maintain() warns');
$node->safe_psql('postgres', 'SELECT write_events(now()) FROM generate_series(1, 20)');
is($node->safe_psql('postgres', q{SELECT closed_until <= now() FROM analytics.watermark}), 't', 'mended by itself');
is($node->safe_psql('postgres', q{SELECT status, detail LIKE '%up to % days %' FROM analytics.health() WHERE check_name = 'clock'}), 'warn|t', 'and told');

# Nobody writes any more: two days later all is final.
$node->safe_psql('postgres', q{SELECT clock.advance('2 days')});
for (1 .. 200)
{
	$node->safe_psql('postgres', 'CALL analytics.maintain()');
	last if $node->safe_psql('postgres', q{SELECT closed_until = analytics_internal.next_mark() AND NOT EXISTS (SELECT FROM analytics.dirty_hours) FROM analytics.watermark}) eq 't';
}
$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../sql/include/oracle.sql"));
$node->safe_psql('postgres', 'SET jit = off; SELECT oracle.load()');
is($node->safe_psql('postgres', q{SELECT * FROM oracle.difference_by_column LIMIT 20}), '', 'every rollup equals the calculation');
is($node->safe_psql('postgres', q{SELECT * FROM oracle.user_differences LIMIT 20}), '', 'new, returning and total users too');
is($node->safe_psql('postgres', q{SELECT count(*) > 3, bool_and(is_final) FROM analytics.daily_metrics}), 't|t', 'all days are final');
is($node->safe_psql('postgres', q{
	SELECT * FROM (SELECT workspace_id, (created_at AT TIME ZONE 'UTC')::date AS event_day, count(*) AS events FROM analytics.user_activity GROUP BY 1, 2) AS e
	FULL JOIN analytics.closed_days AS c USING (workspace_id, event_day) WHERE COALESCE(e.events, 0) <> COALESCE(c.events, 0)}), '', 'events counted for cleanup');

$node->stop;
done_testing();

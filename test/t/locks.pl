# Everybody who writes against everybody else: nobody deadlocks, nobody queues for long, and the numbers are right
# at the end. First what once went wrong, step by step; then all of them at random.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

$ENV{PG_TEST_TIMEOUT_DEFAULT} = 60;
my $seconds = $ENV{SHADOW_TEST_SECONDS} // 8;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\ndeadlock_timeout = 100ms\n");
$node->start;

sub database
{
	my ($name, $prepare) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, "CREATE EXTENSION shadow_analytics; SELECT analytics.create_partitions(current_date - 6, current_date - 1);" . ($prepare // ''));
}

# A session that goes on by itself; finish() gives what it said.
sub background
{
	my ($name, @statements) = @_;
	my $session = { out => '', err => '' };
	$session->{run} = IPC::Run::start([ 'psql', '-X', '-q', '-A', '-t', '-d', $node->connstr($name), map { ('-c', $_) } @statements ], '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}

sub finish
{
	my $session = shift;
	$session->{run}->finish;
	return $session->{err};
}

sub wait_until
{
	my ($name, $condition, $what) = @_;
	$node->poll_query_until($name, "SELECT $condition") or BAIL_OUT("not reached: $what");
}
my $is_blocked = q{EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')};

# forget_user(), held up in the midst, and an aggregation.
my $events = q{
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
	SELECT md5('w')::uuid, md5('u')::uuid, 'login', current_date - d + interval '5 hours' FROM generate_series(1, 4) AS d;
	SELECT analytics_internal.aggregate_daily_metrics(current_date - d, md5('w')::uuid) FROM generate_series(2, 4) AS d;};
database('forget', $events);
my $holder = $node->background_psql('forget');
$holder->query_safe('BEGIN; LOCK TABLE analytics.alert_rules IN EXCLUSIVE MODE');
my $forget = background('forget', q{SELECT analytics.forget_user(md5('u')::uuid)});
wait_until('forget', $is_blocked, 'forget_user() is held up');
my $aggregate = background('forget', q{SELECT analytics_internal.aggregate_daily_metrics(current_date - 1, md5('w')::uuid)});
wait_until('forget', q{(SELECT count(*) = 2 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')
	OR (SELECT bool_or(total_events > 0) FROM analytics.daily_metrics WHERE metric_date = current_date - 1)}, 'the aggregation too, or it is over');
$holder->query_safe('COMMIT');
is(finish($forget) . finish($aggregate), '', 'forget_user() held up in the midst, and an aggregation');

# forget_user() behind a transaction that aggregates several days.
database('transaction', $events);
$holder = $node->background_psql('transaction');
$holder->query_safe(q{BEGIN; SELECT analytics_internal.aggregate_daily_metrics(current_date - 4, md5('w')::uuid)});
$forget = background('transaction', q{SELECT analytics.forget_user(md5('u')::uuid)});
wait_until('transaction', $is_blocked, 'forget_user() waits');
$holder->query_safe(q{SELECT analytics_internal.aggregate_daily_metrics(current_date - 1, md5('w')::uuid); COMMIT});
is(finish($forget), '', 'forget_user() behind a transaction of several aggregations');

# One workspace after the other, and the other way round.
$holder->query_safe(q{BEGIN; SELECT analytics_internal.aggregate_daily_metrics(current_date - 2, md5('w')::uuid)});
my $other = background('transaction', q{BEGIN; SELECT analytics_internal.aggregate_hourly_metrics(now() - interval '1 hour', md5('v')::uuid);
	SELECT analytics_internal.aggregate_daily_metrics(current_date - 2, md5('w')::uuid); COMMIT});
wait_until('transaction', $is_blocked, 'the other aggregation waits');
$holder->query_safe(q{SELECT analytics_internal.aggregate_hourly_metrics(now() - interval '1 hour', md5('v')::uuid); COMMIT});
is(finish($other), '', 'transactions that aggregate in different orders');

# Who takes locks out of order gives way.
$holder->quit;
$holder = $node->background_psql('transaction', on_error_stop => 0);
$holder->query_safe(q{BEGIN; SELECT count(*) FROM analytics.evaluate_alert_rules()});
$forget = background('transaction', q{SELECT analytics.forget_user(md5('v')::uuid)});
wait_until('transaction', $is_blocked, 'forget_user() waits for alerts');
$holder->query(q{SELECT analytics_internal.aggregate_daily_metrics(current_date - 1, md5('w')::uuid)});
like($holder->{stderr}, qr/lock "rollups" is in use/, 'who comes out of order says so');
$holder->query('ROLLBACK');
is(finish($forget), '', 'and who waits in order goes on');
$holder->quit;

# create_partitions() by two who have read events, and behind a long reader.
database('partitions');
my $reader = $node->background_psql('partitions');
$reader->query_safe('BEGIN; SELECT count(*) FROM analytics.user_activity');
my $made = background('partitions', q{SELECT analytics.create_partitions('2020-01-02', '2020-01-02')});
select(undef, undef, undef, 0.3);
is($node->psql('partitions', q{SET statement_timeout = '1500ms'; SELECT count(*) FROM analytics.user_activity;
	INSERT INTO analytics.user_activity (user_id, event_type) VALUES (md5('u')::uuid, 'login')}), 0, 'nobody queues behind create_partitions()');
$reader->query_safe(q{SELECT analytics.create_partitions('2020-01-01', '2020-01-01'); COMMIT});
unlike(finish($made), qr/deadlock/, 'create_partitions() by two who have read events');
$node->safe_psql('partitions', 'CALL analytics.maintain()') for 1 .. 3;
$node->safe_psql('partitions', q{DROP TABLE analytics.user_activity_} . $node->safe_psql('partitions', q{SELECT to_char(now() AT TIME ZONE 'UTC' + interval '7 days', 'YYYYMMDD')}));
$reader->query_safe('BEGIN; SELECT count(*) FROM analytics.user_activity');
my ($code, undef, $error) = $node->psql('partitions', q{SELECT analytics.create_partitions('2020-01-03', '2020-01-03')});
like($error, qr/no partition can be made while user_activity is in use.*HINT/s, 'behind a long reader it gives up');

# maintain() skips what is in use and says so, and does the rest; backfill() waits, and goes on by itself.
my $outcomes = q{SELECT DISTINCT ON (step) step, outcome, detail FROM analytics.job_runs WHERE step IN ('create_partitions', 'maintain', 'repair_buckets') ORDER BY step, started_at DESC};
my (undef, undef, $said) = $node->psql('partitions', q{CALL analytics.maintain(show_steps => true)});
like($said, qr/NOTICE:  create_partitions: skipped: no partition can be made/, 'maintain() skips a step behind a reader');
unlike($said, qr/WARNING/, 'which is no failure');
is($node->safe_psql('partitions', $outcomes), "create_partitions|skipped|no partition can be made while user_activity is in use\nmaintain|partial|", 'and is recorded');
is($node->safe_psql('partitions', q{SELECT status FROM analytics.health() WHERE check_name IN ('failed_steps', 'skipped_steps')}), "ok\nok", 'nothing to worry about yet');
my $busy = $node->background_psql('partitions');
my $pid = $busy->query_safe(q{BEGIN; SELECT pg_backend_pid() FROM analytics_internal.lock('rollups')});
$node->safe_psql('partitions', q{INSERT INTO analytics.user_activity (user_id, event_type, created_at) VALUES (md5('u')::uuid, 'login', now() - interval '3 days')});
(undef, undef, $said) = $node->psql('partitions', q{CALL analytics.maintain(show_steps => true)});
like($said, qr/NOTICE:  repair_buckets: skipped: .*rollups is held by process $pid /, 'what waits for a lock names its holder');
is($node->safe_psql('partitions', q{SELECT analytics_internal.lock_holders() LIKE 'rollups is held by process %', analytics_internal.lock_holders('1 hour') IS NULL}), 't|t', 'health() asks for those who hold one for long');
$busy->query_safe('COMMIT');
$busy->quit;
my $backfill = background('partitions', q{CALL analytics.backfill('2020-01-03', '2020-01-03')});
wait_until('partitions', q{EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%backfill(%' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL)}, 'backfill() runs');
$backfill->{run}->pump until $backfill->{err} =~ /backfill goes on/;
pass('backfill() says what it waits for');
$reader->query_safe('COMMIT');
unlike(finish($backfill), qr/ERROR/, 'and ends without an error');
$reader->quit;

# All at random.
database('storm', q{
	INSERT INTO analytics.retention_policies VALUES ('user_activity', 5), ('alert_history', 1);
	INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (md5('w1')::uuid, 'Asia/Kolkata'), (md5('w2')::uuid, 'America/Los_Angeles');
	INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, evaluation_window_minutes)
	SELECT md5('w' || w)::uuid, 'rule ' || r, 'active_users', 'greater_than', r * 10, 60 FROM generate_series(1, 3) AS w, generate_series(1, 5) AS r;
	CREATE SEQUENCE day;
	CREATE FUNCTION one_of(kind integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		CASE kind
			WHEN 0 THEN PERFORM analytics.aggregate_daily_metrics(current_date - 1);
			WHEN 1 THEN PERFORM analytics.aggregate_hourly_metrics(now(), md5('w1')::uuid);
			WHEN 2 THEN PERFORM analytics.aggregate_user_cohorts('daily', current_date - 2);
			WHEN 3 THEN PERFORM count(*) FROM analytics.evaluate_alert_rules();
			WHEN 4 THEN PERFORM analytics.forget_user(md5('u' || (random() * 20)::integer)::uuid, md5('w1')::uuid);
			WHEN 5 THEN PERFORM count(*) FROM analytics.refresh_all_materialized_views();
			WHEN 6 THEN PERFORM count(*) FROM analytics.user_activity;
			ELSE PERFORM analytics.aggregate_daily_metrics(current_date - 2, md5('w2')::uuid);
		END CASE;
	END $$});
my $some_events = q{INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
	SELECT md5('w' || (1 + random() * 2)::integer)::uuid, md5('u' || (random() * 20)::integer)::uuid, 'error',
		jsonb_build_object('error_message', 'for ' || md5('u' || (random() * 20)::integer)::uuid), now() - random() * %s FROM generate_series(1, 5);};
my %writers = (
	maintain => q{CALL analytics.maintain('2 seconds');},
	forget => q{SELECT analytics.forget_user(md5('u' || (random() * 20)::integer)::uuid);},
	cleanup => 'SELECT analytics.cleanup_old_data();',
	backfill => 'CALL analytics.backfill(current_date - 3, current_date - 1);',
	cohorts => q{SELECT analytics.aggregate_user_cohorts('daily', current_date - 3);},
	refresh => 'SELECT analytics.refresh_all_materialized_views();',
	alerts => q{SELECT analytics.evaluate_alert_rules(); UPDATE analytics.alert_rules SET threshold_value = 1 + (random() * 50)::integer WHERE name = 'rule 3';},
	late => sprintf($some_events, q{interval '4 days'}),
	transaction => 'BEGIN;' . sprintf($some_events, q{interval '4 days'}) . 'SELECT pg_sleep(0.02);' . sprintf($some_events, q{interval '400 days'}) . 'COMMIT;',
	track => q{SELECT analytics.track('login', user_id => md5('u' || (random() * 20)::integer)::uuid);},
	partitions => q{SELECT analytics.create_partitions(d, d) FROM (SELECT date '2001-01-01' + nextval('day')::integer AS d) AS n; SELECT analytics_internal.index_closed_partitions();},
	mixed => 'BEGIN; SELECT one_of((random() * 7)::integer); SELECT one_of((random() * 7)::integer); SELECT one_of((random() * 7)::integer); COMMIT;',
	backwards => 'BEGIN; SELECT one_of((random() * 7)::integer); SELECT one_of((random() * 7)::integer); SELECT one_of((random() * 7)::integer); COMMIT;');
my %outputs = map { $_ => '' } keys %writers;
my %calls = map { $_ => '' } keys %writers;
my @runs;
for my $writer (sort keys %writers)
{
	my $file = $node->basedir . "/$writer.sql";
	append_to_file($file, $writers{$writer});
	push @runs, IPC::Run::start([ 'bash', '-c', q{n=0; end=$((SECONDS + $1)); while [ $SECONDS -lt $end ]; do psql -X -q -A -t -d "$2" -f "$3" > /dev/null; n=$((n + 1)); done; echo $n}, 'bash', $seconds, $node->connstr('storm'), $file ],
		'>', \$calls{$writer}, '2>', \$outputs{$writer});
}
$_->finish for @runs;
note join ', ', map { "$_ " . $calls{$_} =~ s/\s//gr } sort keys %calls;
for my $writer (sort keys %writers)
{
	# In use, out of order, moved to a new partition at that moment: each is told, and may be repeated.
	my @unexpected = grep { /ERROR|FATAL|WARNING/ && !/ is in use|lock timeout|no partition can be made|partition constraint|other days could not be finished/ } split /\n/, $outputs{$writer};
	is(join("\n", grep { !/current transaction is aborted/ } @unexpected), '', "$writer: no error");
	cmp_ok($calls{$writer}, '>', 0, "$writer ran");
}
unlike(slurp_file($node->logfile), qr/deadlock detected/, 'nobody deadlocked');

# Nobody writes any more: everything is counted.
$node->safe_psql('storm', 'CALL analytics.maintain()') for 1 .. 4;
$node->safe_psql('storm', 'SELECT analytics.aggregate_daily_metrics((now() AT TIME ZONE \'UTC\')::date)');
is($node->safe_psql('storm', q{
	SELECT workspace_id, day, e.n, d.n FROM
	(SELECT workspace_id, (created_at AT TIME ZONE analytics.workspace_time_zone(workspace_id, created_at))::date AS day, (count(*), count(DISTINCT user_id)) AS n
	 FROM analytics.user_activity GROUP BY 1, 2) AS e
	JOIN (SELECT workspace_id, metric_date AS day, (total_events, active_users) AS n FROM analytics.daily_metrics) AS d USING (workspace_id, day)
	WHERE e.n IS DISTINCT FROM d.n AND day BETWEEN current_date - 3 AND current_date - 2}), '', 'every day equals a count of its events');

$node->stop;
done_testing();

# analytics.distribute(): a coordinator and two workers of Citus against one plain server that is fed the same random
# events. Their rollups must be the same, to the last bit; who reads and writes through Citus must notice nothing.
# SEED repeats a run.
use strict;
use warnings;

use Digest::MD5 qw(md5_hex);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

chomp(my $share = `pg_config --sharedir`);
plan skip_all => 'Citus is not installed' unless -e "$share/extension/citus.control";

$ENV{PG_TEST_TIMEOUT_DEFAULT} = 120;
my $seed = $ENV{SEED} // int(rand(1e6));
note("SEED=$seed");
my %node;
for my $name (qw(coordinator worker1 worker2 worker3 plain))
{
	$node{$name} = PostgreSQL::Test::Cluster->new($name);
	$node{$name}->init;
	$node{$name}->append_conf('postgresql.conf', "fsync = off\njit = off\nautovacuum = off\nmax_prepared_transactions = 50\nmax_locks_per_transaction = 256\nmax_connections = 60\nwal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\n"
		. ($name eq 'plain' ? '' : "shared_preload_libraries = 'citus'\ncitus.local_hostname = '" . $node{$name}->host . "'\n"));
	$node{$name}->start;
}
my ($coordinator, $plain) = @node{qw(coordinator plain)};
my @both = ($plain, $coordinator);
my @workers = @node{qw(worker1 worker2)};

sub sql { my ($on, $query) = @_; return $on->safe_psql('postgres', $query) }
sub add_node { my $added = shift; return sprintf q{SELECT citus_add_node('%s', %d)}, $added->host, $added->port }

# SQLSTATE and hint of what must fail.
sub refusal
{
	my ($on, $query) = @_;
	my (undef, undef, $error) = $on->psql('postgres', "\\set VERBOSITY verbose\n$query");
	my ($state) = $error =~ /ERROR:\s+(\w{5})/;
	my ($hint) = $error =~ /HINT:\s+(.*)/;
	return join ' | ', $state // "no error: $error", $hint // '';
}

# A session that goes on by itself; finish() gives what it said.
sub background
{
	my ($on, $query) = @_;
	my $session = { out => '', err => '' };
	$session->{run} = IPC::Run::start([ 'psql', '-X', '-qAt', '-v', 'ON_ERROR_STOP=1', '-d', $on->connstr('postgres'), '-c', $query ], '>', \$session->{out}, '2>', \$session->{err});
	return $session;
}
sub finish { my $session = shift; $session->{run}->finish; return $session->{err} =~ /ERROR/ ? $session->{err} : '' }

# What both servers are given. All days are over everywhere, so no rollup is provisional.
my @events = qw(id workspace_id user_id event_type event_name session_id ip_address created_at metadata);
my $columns = join ', ', @events;
my $feed_file = $plain->basedir . '/feed';
my $zones = q{
	CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid, PRIMARY KEY (workspace_id, user_id));
	INSERT INTO public.workspace_members SELECT md5('w' || i)::uuid, md5('member')::uuid FROM generate_series(1, 2) AS i;
	INSERT INTO analytics.workspace_settings (workspace_id, time_zone)
	SELECT md5('w' || i)::uuid, (ARRAY['Asia/Tokyo', 'America/New_York', 'Pacific/Apia', 'America/Havana'])[1 + i % 4] FROM generate_series(1, 8) AS i;
	CREATE TABLE public.feed (part integer, id uuid, workspace_id uuid, user_id uuid, event_type text, event_name text, session_id uuid, ip_address inet, created_at timestamptz, metadata jsonb)};
sql($plain, "CREATE EXTENSION shadow_analytics; $zones");
sql($plain, qq{
	SELECT setseed($seed / 1e6);
	INSERT INTO public.feed
	SELECT (random() * 3)::int, md5(random()::text)::uuid, md5('w' || (random() * 25)::int)::uuid, md5('u' || (random() * 60)::int)::uuid,
	       (ARRAY['agent_run', 'page_view', 'login', 'error', 'feature_use'])[1 + (random() * 4)::int], (ARRAY['a', 'b', NULL])[1 + (random() * 2)::int], md5('s' || (random() * 900)::int)::uuid,
	       '10.1.2.3', date_trunc('day', now(), 'UTC') - interval '3 days' - random() * interval '5 days',
	       jsonb_build_object('agent_id', md5('a' || (random() * 5)::int), 'status', (ARRAY['success', 'failed'])[1 + random()::int], 'runtime', round((random() * 100)::numeric, 3),
	                          'credits', round((random() * 10)::numeric, 2), 'amount', round((random() * 50)::numeric, 2), 'error_type', 'e' || (random() * 4)::int)
	FROM generate_series(1, 6000);
	COPY public.feed TO '$feed_file'});
my $own_database = refusal($plain, 'SELECT analytics.distribute()');
like($own_database, qr/^55000 \| .*citus_set_coordinator_host/, 'without Citus: an error that says what to do');

# The coordinator has rows before it is one.
sql($coordinator, "CREATE EXTENSION citus; CREATE EXTENSION shadow_analytics; $zones; COPY public.feed FROM '$feed_file'");
sql($_, "INSERT INTO analytics.user_activity ($columns) SELECT $columns FROM public.feed WHERE part = 0; INSERT INTO analytics.settings VALUES ('ip_policy', 'drop')") for @both;
settle();
like(refusal($coordinator, 'SELECT analytics.distribute()'), qr/^55000 \| .*citus_add_node/, 'no worker: refused');
sql($_, 'CREATE EXTENSION citus') for @node{qw(worker1 worker2 worker3)};
sql($coordinator, sprintf q{SELECT citus_set_coordinator_host('%s', %d)}, $coordinator->host, $coordinator->port);
sql($coordinator, add_node($_)) for @workers;
like(refusal($coordinator, 'SELECT analytics.distribute()'), qr/^55000 \| .*create_reference_table\('/, 'members known to one server only: refused');
sql($coordinator, q{SELECT create_reference_table('public.workspace_members')});
is(sql($coordinator, 'SET citus.shard_count = 4; SELECT count(*) FROM analytics.distribute()'), sql($coordinator, 'SELECT count(*) FROM analytics_internal.table_placements()'), 'distributed');
is(sql($coordinator, 'SELECT count(*) FROM analytics.distribute()'), '0', 'again: nothing to do');
is(sql($coordinator, q{SELECT string_agg(c.relname, ', ') FROM pg_class AS c JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
	WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'job_runs'}), '', 'no table was forgotten');
like(refusal($workers[0], 'SELECT analytics.distribute()'), qr/^0A000 \| On the coordinator/, 'not on a worker');

# Triggers keep their state, here and on shards.
my $states = q{SELECT string_agg(DISTINCT t.tgrelid::regclass::text || ' ' || t.tgname || ' ' || t.tgenabled::text, ', ') FROM pg_trigger AS t
	WHERE t.tgrelid IN (SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND NOT c.relispartition) AND t.tgenabled <> 'O' AND NOT t.tgisinternal};
is(sql($coordinator, $states), sql($plain, $states), 'ALWAYS triggers are still such');
cmp_ok(sql($workers[0], q{SELECT count(*) FROM pg_trigger AS t WHERE t.tgname ~ '^note_insert_[0-9]+$' AND t.tgenabled = 'A'}), '>=', 6, 'on shards too');

# Rollups as text, without when they were written. Users have numbers in the order in which they are aggregated, so
# their ids stand for them.
my @rollups = qw(hourly_metrics daily_metrics agent_performance daily_event_counts daily_error_types users daily_users daily_user_revenue user_cohorts closed_days);
sub contents
{
	my ($on) = @_;
	my $script = 'CREATE TEMP TABLE person AS SELECT workspace_id, user_number, user_id FROM analytics.users;';
	for my $table (@rollups, 'user_activity', 'dirty_hours')
	{
		my @columns = split /\n/, sql($plain, qq{SELECT attname FROM pg_attribute WHERE attrelid = 'analytics.$table'::regclass AND attnum > 0
			AND attname NOT IN ('updated_at', 'counted_at', 'grown_at', 'noted_at', 'ip_hash', 'source_state')} . ($table =~ /^(user_activity|users)$/ ? '' : q{ AND attname NOT IN ('created_at', 'id')}));
		my $list = join ', ', @columns;
		my $person = 'person AS u WHERE u.workspace_id = t.workspace_id AND u.user_number';
		my $values = join ', ', map {
			/^(?:new_)?users$/ && $table =~ /daily_users|counts|agent/ ? "(SELECT string_agg(u.user_id::text, ',' ORDER BY u.user_id) FROM $person IN (SELECT e.* FROM analytics.user_set_elements(t.$_) AS e))"
			: $_ eq 'user_number' ? "(SELECT u.user_id FROM $person = t.user_number)" : "t.$_" } @columns;
		my $some = $table eq 'closed_days' ? 'WHERE events > 0' : ''; # days without events are noted where a repair came by
		$script .= qq{CREATE TEMP TABLE "copy of $table" AS SELECT $list FROM analytics.$table $some;
			SELECT '$table ' || r.v FROM (SELECT ROW($values)::text AS v FROM "copy of $table" AS t) AS r ORDER BY r.v COLLATE "C";};
	}
	my %rows;
	push @{ $rows{(split / /)[0]} }, $_ for split /\n(?=[a-z_]+ \()/, sql($on, $script);
	return \%rows;
}

# Counts and digests are compared; of what differs the first rows are shown.
sub compare
{
	my ($got, $expected, $what) = @_;
	my ($got_digest, $expected_digest) = map { my $rows = $_; join "\n", map { "$_ " . scalar(@{ $rows->{$_} }) . ' ' . md5_hex(join "\n", @{ $rows->{$_} }) } sort keys %$rows } $got, $expected;
	is($got_digest, $expected_digest, $what) and return;
	for my $table (keys %$expected)
	{
		my %other = map { $_ => 1 } @{ $got->{$table} };
		my %own = map { $_ => 1 } @{ $expected->{$table} };
		diag($_) for grep { defined } (map { "expected $_" } grep { !$other{$_} } @{ $expected->{$table} })[0 .. 2], (map { "got $_" } grep { !$own{$_} } @{ $got->{$table} })[0 .. 2];
	}
}

# Until nothing is left to do, cohorts at last: they may have been made in the midst of a repair.
sub settle
{
	for my $on (@both)
	{
		sql($on, 'CALL analytics.maintain()');
		$_->psql('postgres', q{DELETE FROM analytics.job_runs WHERE step = 'aggregate_cohorts'}) for $on, $on == $coordinator ? @node{qw(worker1 worker2 worker3)} : ();
		sql($on, 'CALL analytics.maintain()');
	}
}
sub same_rollups
{
	my ($what) = @_;
	my @contents;
	for (1 .. 2) # once more if an hour has ended meanwhile
	{
		my $hour = sql($plain, q{SELECT date_trunc('hour', now() - interval '1 minute')});
		settle();
		@contents = map { contents($_) } @both;
		last if $hour eq sql($plain, q{SELECT date_trunc('hour', now() - interval '1 minute')});
	}
	compare($contents[1], $contents[0], $what);
	return $contents[0];
}
compare(contents($coordinator), contents($plain), 'rows moved along, and no trigger took them for new or late ones');
sql($coordinator, 'CALL analytics.maintain()'); # what workers lack they get by then
my $functions = q{SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid::regprocedure::text COLLATE "C") FROM pg_proc AS p WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)};
is(sql($_, $functions), sql($coordinator, $functions), $_->name . ' has every function') for @workers;

# Late events, in all ways, through the coordinator and through a worker.
my $insert = "INSERT INTO analytics.user_activity ($columns) SELECT $columns FROM public.feed";
sql($coordinator, q{SELECT create_reference_table('public.feed')});
sql($_, "$insert WHERE part = 1") for @both;
my $part_file = $plain->basedir . '/part';
sql($plain, "COPY (SELECT $columns FROM public.feed WHERE part = 2) TO '$part_file'; COPY analytics.user_activity ($columns) FROM '$part_file'");
sql($workers[0], "COPY analytics.user_activity ($columns) FROM '$part_file'");
sql($_, "$insert WHERE part = 3") for $plain, $workers[1];
sql($_, q{DELETE FROM analytics.user_activity WHERE id < '08000000-0000-0000-0000-000000000000'}) for @both;
sql($_, q{UPDATE analytics.user_activity SET event_name = 'changed' WHERE id > 'f8000000-0000-0000-0000-000000000000'}) for $plain, $workers[0];
my $batch = q{SELECT jsonb_agg(jsonb_build_object('id', md5('b' || i)::uuid, 'event_type', CASE i WHEN 7 THEN 'bad' ELSE 'login' END, 'user_id', md5('u' || i)::uuid, 'workspace_id', CASE WHEN i % 3 > 0 THEN md5('w' || i)::uuid END,
	'created_at', date_trunc('day', now(), 'UTC') - interval '80 hours')) FROM generate_series(1, 20) AS i};
is(sql($_, "SELECT * FROM analytics.track_batch(($batch))"), sql($plain, "SELECT * FROM analytics.track_batch(($batch))") =~ s/^0\|19/19|0/r, 'a batch with a refused event') for $workers[0];
sql($_, q{SELECT analytics.track('login', user_id => md5('u1')::uuid, id => md5('t')::uuid, created_at => date_trunc('day', now(), 'UTC') - interval '4 days')}) for @both;
is(sql($coordinator, q{SELECT count(*) FROM (SELECT DISTINCT workspace_id, metric_hour FROM analytics.dirty_hours) AS d}),
	sql($plain, q{SELECT count(*) FROM (SELECT DISTINCT workspace_id, metric_hour FROM analytics.dirty_hours) AS d}), 'the same hours are noted as dirty');
cmp_ok(sql($coordinator, 'SELECT count(*) FROM analytics.dirty_hours WHERE removed > 0'), '>', 5, 'deletions too');
my $rollups = same_rollups('the same rollups after the repair');
isnt($rollups->{$_}, undef, "$_ has rows") for @rollups;
is(sql($coordinator, q{SELECT outcome || coalesce(error, '') FROM analytics.job_runs WHERE step = 'maintain_cells' ORDER BY started_at DESC LIMIT 1}), 'done', 'the coordinator tells of the cells');

# The views, whose tables the cells fill.
my @views = qw(active_users top_agents workspace_summary error_trends agent_usage_trends);
sub view_digests { my $on = shift; return join ', ', map { "$_ " . sql($on, "SELECT count(*) || ' ' || md5(string_agg(v::text, ',' ORDER BY v::text)) FROM analytics.$_ AS v") } @views }
sub same_views
{
	my ($what) = @_;
	my $refresh = q{SELECT view, rows, error FROM analytics.refresh_all_materialized_views() ORDER BY 1};
	is(sql($coordinator, $refresh), sql($plain, $refresh), "$what: views are refreshed");
	is(view_digests($_), view_digests($plain), "$what: the same rows on " . $_->name) for $coordinator, $workers[0];
}
same_views('after the repair');
unlike(view_digests($plain), qr/ 0 /, 'no view is empty');
sql($_, q{INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, metadata, created_at)
	SELECT md5('late' || i)::uuid, md5('w' || i % 5)::uuid, md5('u' || i)::uuid, 'agent_run', jsonb_build_object('agent_id', md5('new agent'), 'status', 'failed'), date_trunc('day', now(), 'UTC') - interval '85 hours' FROM generate_series(1, 20) AS i}) for @both;
settle();
same_views('after late events');

# Everything once more from the beginning, as a server does that gets history.
sql($_, 'DELETE FROM analytics.watermark') for @both;
same_rollups('the same rollups when the watermark is deleted');
is(sql($coordinator, q{SELECT count(*), count(*) FILTER (WHERE shard = 'analytics.watermark_' || get_shard_id_for_distribution_column('analytics.watermark', w.cell))
	FROM (SELECT w.cell, w.tableoid::regclass::text AS shard FROM analytics.watermark AS w OFFSET 0) AS w}), '4|4', 'each cell has one again, and it is found');

# Single buckets, in the caller's transaction.
for my $on (@both)
{
	my $call = q{SELECT total_events FROM analytics.daily_metrics WHERE workspace_id = md5('w1')::uuid AND metric_date = current_date - 6;};
	my @totals = split /\n/, sql($on, qq{BEGIN; $call
		INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) SELECT md5('w1')::uuid, md5('u1')::uuid, 'login', day_start FROM analytics_internal.workspace_day_bounds(md5('w1')::uuid, current_date - 6);
		SELECT 'one ' || analytics.aggregate_daily_metrics(current_date - 6, md5('w1')::uuid); $call
		SELECT 'all ' || analytics.aggregate_hourly_metrics(now() - interval '5 days'); ROLLBACK; $call});
	is($totals[1], 'one 1', $on->name . ': a day of one workspace');
	is($totals[2] - $totals[0], 1, 'it counts what the transaction has written');
	is($totals[-1], $totals[0], 'and is rolled back with it');
}
for my $call (q{aggregate_daily_metrics(current_date - 5); SET DateStyle = 'SQL, DMY'; SELECT analytics.aggregate_daily_metrics(current_date - 5)}, q{aggregate_hourly_metrics(now() - interval '5 days')}, q{aggregate_user_cohorts('daily', current_date - 6)}, q{aggregate_user_cohorts('weekly', current_date - 9, md5('w1')::uuid)})
{
	is(sql($coordinator, "SELECT analytics.$call"), sql($plain, "SELECT analytics.$call"), $call);
}
for my $call (q{aggregate_daily_metrics(NULL)}, q{aggregate_daily_metrics('2100-01-01')}, q{aggregate_user_cohorts('hourly', current_date)})
{
	is(refusal($coordinator, "SELECT analytics.$call"), refusal($plain, "SELECT analytics.$call"), "$call: the same error");
}

# Reading. Questions are answered where the workspace is.
my $w1 = q{md5('w1')::uuid};
my @questions = ("raw_events_since($w1)", "get_trend($w1, as_of => now())", qq{get_trend($w1, '[{"event": "login", "measure": "users"}]', 'weekly', compare => true)}, qq{get_funnel($w1, '["page_view", "agent_run"]', breakdown => 'metadata.agent_id')},
	qq{get_conversion_times($w1, '["page_view", "agent_run"]')}, qq{get_event_retention($w1, '"login"')}, "get_stickiness($w1)", "get_event_lifecycle($w1)", qq{get_attribution($w1, '"login"')},
	qq{get_experiment($w1, '"login"', 'metadata.agent_id', '"agent_run"')}, qq{get_run_metrics($w1, 'agent_id')}, qq{get_user_timeline($w1, md5('u1')::uuid)}, qq{get_trend($w1, '"login"', user_set => analytics.users_who($w1, '{"did": "error"}'))});
sql($_, qq{INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES ($w1, md5('a1')::uuid, 'An agent')}) for @both;
for my $query (q{get_workspace_metrics(md5('w1')::uuid, fill_gaps => true)}, q{get_workspace_summary(md5('w2')::uuid)}, q{get_usage_by_hour(md5('w3')::uuid)}, q{get_agent_insights(md5('a1')::uuid)},
	q{get_active_users(md5('w1')::uuid)}, q{get_retention_matrix(md5('w1')::uuid, 'daily')}, q{get_lifecycle(md5('w1')::uuid)}, q{get_feature_usage(md5('w1')::uuid)}, @questions)
{
	my $select = "SELECT * FROM analytics.$query AS t ORDER BY t::text";
	isnt(sql($plain, $select), '', "$query has an answer");
	is(sql($coordinator, $select), sql($plain, $select), $query);
}
my $report = qq{SELECT analytics.report($w1, current_date - 10, current_date - 1) - '{generated_at,freshness}'::text[]};
is(sql($coordinator, $report), sql($plain, $report), 'report()');
like(refusal($coordinator, qq{SELECT * FROM analytics.get_funnel($w1, '["nonsense", 1]')}), qr/^22023/, 'a malformed question: the error of its cell');
my $person = q{SELECT analytics.export_user(md5('u1')::uuid) - '{events,audit_log,users,revenue}'::text[]};
is(sql($coordinator, $person), sql($plain, $person), 'export_user()');

# Settings reach sessions that are open, on every server; the secret is the same everywhere.
my $session = $coordinator->background_psql('postgres');
my $address = q{INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, ip_address) SELECT md5('w' || i)::uuid, md5('u1')::uuid, 'login', '1.2.3.4' FROM generate_series(1, 25) AS i;
	SELECT count(ip_address) || ' ' || count(DISTINCT ip_hash) FROM analytics.user_activity WHERE created_at > now() - interval '1 hour' AND id NOT IN (SELECT id FROM public.seen);
	INSERT INTO public.seen SELECT id FROM analytics.user_activity WHERE created_at > now() - interval '1 hour'};
sql($coordinator, 'CREATE TABLE public.seen (id uuid)');
is($session->query_safe($address), '0 0', 'addresses are dropped');
sql($coordinator, q{UPDATE analytics.settings SET value = 'hash' WHERE name = 'ip_policy'});
is($session->query_safe($address), '0 1', 'then hashed');
sql($coordinator, q{DELETE FROM analytics.settings WHERE name = 'ip_policy'});
is($session->query_safe($address), '25 0', 'then cut');
$session->quit;
is(sql($coordinator, q{SELECT string_agg(action || ' ' || object, ', ' ORDER BY happened_at) FROM analytics.audit_log WHERE object = 'analytics.settings'}),
	'insert analytics.settings, update analytics.settings, delete analytics.settings', 'each change is logged once');
sql($coordinator, q{INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES (md5('w20')::uuid, 'Europe/Berlin')});
is(sql($coordinator, q{SELECT object FROM analytics.audit_log WHERE workspace_id = md5('w20')::uuid}), 'analytics.workspace_settings', 'the log names the table, not the shard');
sql($coordinator, q{DELETE FROM analytics.workspace_settings WHERE workspace_id = md5('w20')::uuid});
sql($coordinator, q{DELETE FROM analytics.user_activity WHERE created_at > now() - interval '1 hour'});

# Tenants.
sql($_, 'SELECT analytics.setup_roles()') for @both;
sql($coordinator, 'SELECT analytics.distribute(); ALTER ROLE authenticated LOGIN');
my $member = sql($plain, q{SELECT md5('member')::uuid});
sub as_member { my ($on, $query) = @_;
	return sql($on, 'BEGIN; SET LOCAL ROLE authenticated;' . ($on == $plain ? '' : q{SET LOCAL citus.propagate_set_commands = 'local';}) . qq{SET LOCAL request.jwt.claim.sub = '$member'; $query; ROLLBACK}) }
for my $query (q{SELECT workspace_id, sum(total_events) FROM analytics.daily_metrics GROUP BY 1 ORDER BY 1}, q{SELECT workspace_id, sum(total_runs) FROM analytics.agent_usage_trends GROUP BY 1 ORDER BY 1}, q{SELECT count(*) FROM analytics.user_activity}, q{SELECT count(*) FROM analytics.get_workspace_metrics(md5('w3')::uuid)},
	q{SELECT analytics.track('login', workspace_id => md5('w1')::uuid) IS NOT NULL}, (map { "SELECT * FROM analytics.$_ AS t ORDER BY t::text" } @questions[1, 3, 10]), "SELECT count(*) FROM analytics.get_trend(md5('w3')::uuid)", $report,
	q{SELECT count(*) FROM analytics.get_user_timeline(md5('w1')::uuid, md5('member')::uuid)},
	q{SELECT accepted, duplicates, jsonb_array_length(rejected), rejected -> 0 ->> 'sqlstate' FROM analytics.track_batch(jsonb_build_array(jsonb_build_object('event_type', 'login', 'workspace_id', md5('w2')::uuid), jsonb_build_object('event_type', 'login', 'workspace_id', md5('w3')::uuid)))})
{
	my $answer = as_member($plain, $query);
	is(as_member($_, $query), $answer, $_->name . " as a member: $query") for $coordinator, $workers[1];
	isnt($answer, '', 'and there is an answer');
}
is(sql($coordinator, q{BEGIN; SET LOCAL ROLE authenticated; SET LOCAL citus.propagate_set_commands = 'local'; SELECT count(*) FROM analytics.daily_metrics; ROLLBACK}), '0', 'nobody in particular sees nothing');

# What members may insert column by column: the other columns are filled as on a single server, also where the claims name a
# manager, and nothing else may be written there.
sql($_, qq{ALTER TABLE public.workspace_members ADD COLUMN role text; UPDATE public.workspace_members SET role = 'owner'; UPDATE analytics.membership SET role_column = 'role';
	INSERT INTO analytics.settings VALUES ('annotations_per_workspace', '1'), ('email_domains_allowed', 'example.org')}) for @both;
for (['segments', 'name, definition', q{'s', '{"did": "error"}'}], ['annotations', 'title', q{'t'}], ['alert_rules', 'name, metric_type, condition, threshold_value', q{'r', 'failed_runs', 'greater_than', 1}],
	['notification_destinations', 'name, channel, address', q{'d', 'webhook', 'https://example.org/'}])
{
	my ($table, $list, $values) = @$_;
	my $insert = "INSERT INTO analytics.$table (workspace_id, $list) VALUES ($w1, $values)";
	my $made = $table eq 'notification_destinations' ? 'is_verified, created_at IS NOT NULL, updated_at IS NOT NULL'
		: $table eq 'alert_rules' ? 'created_by, trigger_count, created_at IS NOT NULL, updated_at IS NOT NULL' : 'created_by, created_at IS NOT NULL, updated_at IS NOT NULL';
	my $written = as_member($plain, "$insert RETURNING $made");
	like($written, qr/t\|t$/, "members insert into $table");
	is(as_member($_, "$insert RETURNING $made"), $written, 'on ' . $_->name) for $coordinator, $workers[1];
	like(refusal($coordinator, qq{BEGIN; SET LOCAL ROLE authenticated; SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL request.jwt.claim.sub = '$member'; }
		. $insert =~ s/md5\('w1'\)/md5('w3')/r), qr/^42501/, 'not into workspaces of others');
	like(refusal($coordinator, qq{BEGIN; SET LOCAL ROLE authenticated; SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL request.jwt.claim.sub = '$member'; }
		. "INSERT INTO analytics.$table (workspace_id, created_at, $list) VALUES ($w1, now(), $values)"), qr/^42501/, 'nor columns that are not theirs');
}
is(as_member($_, qq{SELECT analytics.set_notification_destination($w1, 'mine', 'email', 'me\@example.org')}), '', 'set_notification_destination() on ' . $_->name) for @both;
my $two = qq{BEGIN; SET LOCAL ROLE authenticated; SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL request.jwt.claim.sub = '$member'; INSERT INTO analytics.annotations (workspace_id, title) VALUES ($w1, 'a'), ($w1, 'b')};
like(refusal($coordinator, $two), qr/^54000 \| .*annotations_per_workspace/, 'a workspace has its limits here too');

# Readers. What is taken from one is taken on every server.
sql($_, q{CREATE ROLE "Reads all" LOGIN; CREATE ROLE reads_one LOGIN}) for @both;
sql($_, qq{SELECT analytics.grant_reader('Reads all'); SELECT analytics.grant_reader('reads_one', $w1)}) for @both;
sql($coordinator, 'CALL analytics.maintain()');
for my $role ('Reads all', 'reads_one')
{
	for my $query (q{SELECT workspace_id, sum(total_events) FROM analytics.daily_metrics GROUP BY 1 ORDER BY 1}, q{SELECT workspace_id, sum(total_runs) FROM analytics.agent_usage_trends GROUP BY 1 ORDER BY 1}, 'SELECT count(*) FROM ' . "analytics.get_active_users(md5('w3')::uuid)")
	{
		my $answer = $plain->safe_psql('postgres', $query, extra_params => [ '-U', $role ]);
		isnt($answer, '', "$role: $query");
		is($_->safe_psql('postgres', $query, extra_params => [ '-U', $role ]), $answer, 'on ' . $_->name) for $coordinator, $workers[0];
	}
	my ($result, undef, $error) = $workers[0]->psql('postgres', 'SELECT count(*) FROM analytics.user_activity', extra_params => [ '-U', $role ]);
	like($error, qr/permission denied/, 'but no events');
}
# On workers roles may use analytics_internal, so nothing may be executable there that is not on the coordinator.
my $executable = q{SELECT string_agg(p.oid::regprocedure::text || ' ' || coalesce(a.grantee, 0)::regrole, ', ' ORDER BY p.oid::regprocedure::text COLLATE "C", coalesce(a.grantee, 0)::regrole::text COLLATE "C")
	FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)};
my $same_grants = sub { my $what = shift; is(md5_hex(sql($_, $executable)), md5_hex(sql($coordinator, $executable)), $_->name . ": $what") for @workers };
$same_grants->('the same functions for the same roles');
is(sql($workers[0], q{SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc AS p WHERE p.pronamespace = 'analytics_internal'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE')
	AND (p.prosecdef OR p.provolatile <> 'i' AND p.pronargs > 0 AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.oid = ANY (p.proargtypes) AND t.typtype = 'p'))}), '', 'PUBLIC only computes there');
is(sql($coordinator, 'SELECT analytics_internal.are_workers_prepared()'), 't', 'maintain() leaves functions and views as they are where nothing changed');
sql($_, q{SELECT analytics.revoke_reader('Reads all'); SELECT analytics.revoke_reader('reads_one')}) for @both;
is(sql($coordinator, 'SELECT analytics_internal.are_workers_prepared()'), 'f', 'where something has');
sql($coordinator, 'CALL analytics.maintain()');
$same_grants->('the same after revoke_reader()');
is(sql($_, q{SELECT count(*) FROM pg_policy WHERE polname = 'reader_reads'}), '0', $_->name . ': no policy is left') for $coordinator, @workers;
sql($_, q{DROP ROLE "Reads all", reads_one}) for @both;

# Where the cell of a workspace is.
my @cells = map { [ split /\|/ ] } split /\n/, sql($coordinator, q{SELECT s.shardid, n.nodename, n.nodeport, shard_name(s.logicalrelid, s.shardid) FROM pg_dist_shard AS s JOIN pg_dist_placement AS p USING (shardid) JOIN pg_dist_node AS n USING (groupid)
	WHERE s.logicalrelid = 'analytics.workspace_settings'::regclass ORDER BY 1});
my $home = sql($coordinator, q{SELECT get_shard_id_for_distribution_column('analytics.workspace_settings', md5('w1')::uuid)});
my ($cell) = grep { $_->[0] == $home } @cells;
my ($from) = grep { $_->host eq $cell->[1] && $_->port == $cell->[2] } @workers;
my ($to) = grep { $_ != $from } @workers;

# A shard that moves while a cell is at work waits for it: without the lock the row would go into what was left behind.
my $in_cell = $from->background_psql('postgres');
$in_cell->query_safe(qq{BEGIN; SELECT analytics_internal.enter_cell($home, true); INSERT INTO analytics.pending_buckets (workspace_id, kind, metric_date) VALUES (md5('w1')::uuid, 'totals', '2020-01-01')});
my $move = background($coordinator, sprintf q{SELECT citus_move_shard_placement(%d, '%s', %d, '%s', %d, 'block_writes')}, $home, map { ($_->host, $_->port) } $from, $to);
my $waited = $coordinator->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT citus_move%' AND state = 'active' AND clock_timestamp() > query_start + interval '4 seconds')
	OR NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT citus_move%' AND state = 'active')});
is(sql($coordinator, q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT citus_move%' AND state = 'active'}), '1', 'the move waits for the cell');
$in_cell->query_safe('COMMIT');
$in_cell->quit;
is(finish($move), '', 'then it goes on');
is(sql($coordinator, q{SELECT count(*) FROM analytics.pending_buckets WHERE kind = 'totals' AND workspace_id = md5('w1')::uuid}), '1', 'and nothing is lost');
sql($coordinator, q{DELETE FROM analytics.pending_buckets});
like(refusal($from, "SELECT analytics_internal.enter_cell($home, true)"), qr/^55000 \| Call analytics.maintain/, 'the old server has the cell no longer');
sql($_, q{INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, created_at) VALUES (md5('moved')::uuid, md5('w1')::uuid, md5('u9')::uuid, 'login', date_trunc('day', now(), 'UTC') - interval '90 hours')}) for @both;
is(sql($coordinator, 'SELECT count(*) FROM analytics.dirty_hours'), '1', 'an event is late on the new server too');
same_rollups('the same rollups after the move');

# A worker that comes later.
sql($coordinator, add_node($node{worker3}));
is(sql($coordinator, 'SELECT count(*) FROM analytics.distribute()'), '0', 'a new worker');
sql($coordinator, sprintf q{SELECT citus_move_shard_placement(%d, '%s', %d, '%s', %d, 'block_writes')}, $home, map { ($_->host, $_->port) } $to, $node{worker3});
sql($_, q{INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, created_at) VALUES (md5('third')::uuid, md5('w1')::uuid, md5('u9')::uuid, 'login', date_trunc('day', now(), 'UTC') - interval '90 hours')}) for $plain, $node{worker3};
same_rollups('the same rollups with a cell on the new worker');
is(as_member($node{worker3}, q{SELECT count(DISTINCT workspace_id) FROM analytics.daily_metrics}), '2', 'members read there');

# While it moves without stopping writers, nothing that they write is lost, nor that it is late.
my $writes = q{INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, created_at)
	SELECT md5('moving ' || i || ' ' || n)::uuid, md5('w' || n)::uuid, md5('u9')::uuid, 'login', date_trunc('day', now(), 'UTC') - interval '91 hours' FROM generate_series(1, 8) AS n};
my $writer = background($coordinator, qq{DO \$\$ BEGIN FOR i IN 1 .. 100 LOOP $writes; COMMIT; PERFORM pg_sleep(0.1); END LOOP; END \$\$});
sql($coordinator, sprintf q{SELECT citus_move_shard_placement(%d, '%s', %d, '%s', %d, 'force_logical')}, $home, map { ($_->host, $_->port) } $node{worker3}, $from);
is(finish($writer), '', 'writers go on while the cell moves');
sql($plain, qq{DO \$\$ BEGIN FOR i IN 1 .. 100 LOOP $writes; END LOOP; END \$\$});
same_rollups('the same rollups after the move beside writers');

# Imported history, in a partition that is made for it.
sql($_, q{INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, created_at) SELECT md5('history' || i)::uuid, md5('w' || i % 9)::uuid, md5('u' || i)::uuid, 'login', date_trunc('day', now(), 'UTC') - interval '40 days' FROM generate_series(1, 60) AS i;
	DELETE FROM analytics.dirty_hours}) for @both;
sql($_, q{SET DateStyle = 'SQL, DMY'; CALL analytics.backfill(current_date - 41, current_date - 39)}) for @both;
my $backfilled = q{SELECT outcome, done, rows, error FROM analytics.job_runs WHERE step = 'backfill'};
is(sql($coordinator, $backfilled), sql($plain, $backfilled), 'backfill()');
my $history = q{SELECT workspace_id, metric_date, total_events FROM analytics.daily_metrics WHERE metric_date < current_date - 30 ORDER BY 1, 2};
is(sql($coordinator, $history), sql($plain, $history), 'the same history');
isnt(sql($plain, $history), '', 'and there is some');

# History of several days without a partition, which maintain() makes.
sql($_, q{INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, created_at) SELECT md5('days' || i)::uuid, md5('w' || i % 9)::uuid, md5('u' || i)::uuid, 'login', date_trunc('day', now(), 'UTC') - (43 + i % 3) * interval '1 day' FROM generate_series(1, 60) AS i}) for @both;
settle();
is(sql($_, q{SELECT count(*) FROM analytics.user_activity_default}) . sql($_, $history), '0' . sql($plain, $history), $_->name . ': maintain() makes partitions of several days') for @both;
is(sql($coordinator, q{SELECT count(*) FROM analytics.job_runs WHERE outcome = 'failed'}), '0', 'nothing failed so far');

# Retention: partitions that all cells can spare go, and the rollups of their days stay. Who reads events is not waited for.
sql($_, q{INSERT INTO analytics.retention_policies (table_name, keep_days) VALUES ('user_activity', 6); INSERT INTO analytics.settings VALUES ('import_grace_hours', '0')}) for @both;
my $reading = $workers[0]->background_psql('postgres');
$reading->query_safe('BEGIN; SELECT count(*) FROM analytics.user_activity');
my $cleanup = q{SELECT rows_deleted, note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity'};
like(sql($coordinator, $cleanup), qr/user_activity was in use/, 'no partition is dropped that is being read');
$reading->query_safe('COMMIT');
$reading->quit;
my $kept = q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'analytics.user_activity'::regclass};
my $partitions = sql($coordinator, $kept);
is(sql($_, $cleanup) =~ /^\d+\|$/, 1, $_->name . ': nothing else keeps them') for @both;
cmp_ok(sql($coordinator, $kept), '<', $partitions, 'partitions are gone');
for my $query ($kept, q{SELECT count(*) FROM analytics.user_activity}, q{SELECT event_day, count(*), sum(events) FROM analytics.sealed_days GROUP BY 1 ORDER BY 1})
{
	is(sql($coordinator, $query), sql($plain, $query), $query);
}
same_rollups('the same rollups after cleanup');

# A cell that is split, and a workspace that gets a shard of its own. Of two halves one has no watermark: what it gets meanwhile
# is late nevertheless.
sub events_of { my ($id, $hours) = @_;
	return qq{INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, created_at) SELECT md5('$id' || n)::uuid, md5('w' || n)::uuid, md5('u8')::uuid, 'login', date_trunc('day', now(), 'UTC') - interval '$hours hours' FROM generate_series(1, 25) AS n} }
my ($split) = grep { $_->[0] != $home } @cells;
sql($_, events_of('before', 80)) for @both;
sql($coordinator, sprintf q{SELECT citus_split_shard_by_split_points(%1$d, ARRAY[(SELECT ((s.shardminvalue::bigint + s.shardmaxvalue::bigint) / 2)::text FROM pg_dist_shard AS s WHERE s.shardid = %1$d)],
	(SELECT array_agg(n.nodeid::integer ORDER BY n.nodeid) FROM (SELECT n.nodeid FROM pg_dist_node AS n WHERE n.groupid > 0 ORDER BY 1 LIMIT 2) AS n), 'block_writes')}, $split->[0]);
sql($plain, 'DELETE FROM analytics.watermark'); # as in the new cells, whose rollups get the names that agents have by now
sql($coordinator, q{SELECT isolate_tenant_to_new_shard('analytics.workspace_settings', md5('w1')::uuid, 'CASCADE', shard_transfer_mode => 'block_writes')});
sql($_, events_of('after', 81) . q{; DELETE FROM analytics.user_activity WHERE id = md5('before1')::uuid}) for @both;
is(sql($coordinator, q{SELECT status || ' ' || detail FROM analytics.health() WHERE check_name = 'cells'}), 'ok 7 cells answer', 'each part is a cell');
sql($_, events_of('asked', 82)) for @both;
same_rollups('the same rollups after cells were split');
same_views('after cells were split');
is(sql($coordinator, q{SELECT count(*), count(*) FILTER (WHERE shard = 'analytics.watermark_' || get_shard_id_for_distribution_column('analytics.watermark', w.cell))
	FROM (SELECT w.cell, w.tableoid::regclass::text AS shard FROM analytics.watermark AS w OFFSET 0) AS w}), '7|7', 'each has a watermark, where it is found');
$home = sql($coordinator, q{SELECT get_shard_id_for_distribution_column('analytics.workspace_settings', md5('w1')::uuid)});
my $settle = q{SELECT analytics.settle_day((now() AT TIME ZONE 'UTC')::date - 7, 'keep')};
is(sql($coordinator, $settle), sql($plain, $settle), 'settle_day()');
cmp_ok(sql($plain, $settle), '>', 0, 'of several workspaces');
is(sql($coordinator, q{SELECT outcome || coalesce(error, '') FROM analytics.job_runs WHERE step = 'cleanup' ORDER BY started_at DESC LIMIT 1}), 'done', 'maintain() cleans up too');

# A person is forgotten everywhere, or in one workspace. What stays gets other ids on each server, so no rollups are compared
# from here on.
for my $on (@both)
{
	is(sql($on, q{SELECT analytics.forget_user(md5('u9')::uuid, md5('w1')::uuid) > 0}), 't', $on->name . ': forgotten in a workspace');
	my $events = sql($on, q{SELECT count(*) FROM analytics.user_activity WHERE user_id = md5('u9')::uuid});
	is(sql($on, q{SELECT analytics.forget_user(md5('u9')::uuid)}), $events, 'and elsewhere');
	is(sql($on, q{SELECT count(*) FROM analytics.user_activity WHERE user_id = md5('u9')::uuid}) . sql($on, q{SELECT count(*) FROM analytics.users WHERE user_id = md5('u9')::uuid}), '00', 'nothing is left');
}
is(sql($coordinator, q{SELECT count(*) FROM analytics.audit_log WHERE action = 'forget_user'}), '2', 'each call is logged once');

# A day that is dropped by hand keeps its rollups.
my $totals = q{SELECT count(*), sum(total_events), sum(total_runs) FROM analytics.daily_metrics};
my $before = sql($coordinator, $totals);
sql($coordinator, sprintf 'DROP TABLE analytics.user_activity_%s; CALL analytics.maintain()', sql($plain, q{SELECT to_char((now() AT TIME ZONE 'UTC')::date - 5, 'YYYYMMDD')}));
is(sql($coordinator, $totals), $before, 'rollups of a day without its partition stay');

# Alert rules of workspaces are evaluated where their events are.
sql($_, q{SELECT analytics.set_notification_destination(md5('w' || i)::uuid, 'hook', 'webhook', 'https://example.org/' || i) FROM generate_series(1, 20) AS i}) for @both;
sql($_, q{INSERT INTO analytics.alert_rules (id, workspace_id, name, metric_type, condition, threshold_value, for_minutes, evaluation_window_minutes, notification_channels, notification_recipients)
	SELECT md5('r' || i)::uuid, md5('w' || i)::uuid, 'failures', 'failed_runs', 'greater_than', i % 3, 0, 60, '["webhook"]', '["hook"]' FROM generate_series(1, 20) AS i;
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at) SELECT md5('w' || i)::uuid, md5('u1')::uuid, 'agent_run', jsonb_build_object('agent_id', md5('a'), 'status', 'failed'), now() - interval '10 minutes' FROM generate_series(1, 20) AS i, generate_series(0, i % 4)}) for @both;
sql($_, 'CALL analytics.maintain()') for @both;
my $alerts = q{SELECT workspace_id, alert_rule_id, metric_value FROM analytics.alert_history ORDER BY 1};
is(sql($coordinator, $alerts), sql($plain, $alerts), 'the same alerts');
isnt(sql($plain, $alerts), '', 'and there are some');
my $destinations = q{SELECT name, masked_address, count(*) FROM analytics.notification_destination_list GROUP BY 1, 2 ORDER BY 2};
is(as_member($coordinator, $destinations), as_member($plain, $destinations), 'destinations with masked addresses');
isnt(as_member($plain, $destinations), '', 'and there are some');
my $tried = q{SELECT triggered, metric_value, reason FROM analytics.test_alert_rule(md5('r1')::uuid)};
is(sql($coordinator, $tried), sql($plain, $tried), 'test_alert_rule()');
my $nothing = q{SELECT analytics.acknowledge_alert(md5('nothing')::uuid)};
like(refusal($coordinator, $nothing), qr/^P0002/, 'an alert that does not exist');
# The notifier sends what waits in any cell.
my $claim = q{SELECT workspace_id, attempt, channel, address, subject FROM analytics_internal.claim_notifications('a notifier', 100, '1 minute') ORDER BY 1};
my $messages = sql($plain, $claim);
is(sql($coordinator, $claim), $messages, 'the notifier gets the same messages');
isnt($messages, '', 'and there are some');
is(sql($coordinator, $claim), '', 'each once');
is(sql($coordinator, q{SELECT string_agg(DISTINCT analytics_internal.record_delivery('a notifier', o.workspace_id, o.id, true, false, 200, 10, NULL, NULL), ', ') FROM (SELECT workspace_id, id FROM analytics.notification_outbox OFFSET 0) AS o}), 'delivered', 'and what has become of them is noted');
is(sql($coordinator, q{SELECT DISTINCT status FROM analytics.notification_outbox}), 'delivered', 'in their cells');
is(sql($coordinator, 'SELECT count(*) FROM analytics.freshness WHERE closed_until IS NOT NULL'), '3', 'freshness tells of the cell that is behind most');

# What an operator looks at is of all servers.
my $checks = q{SELECT string_agg(check_name, ', ' ORDER BY check_name) FROM analytics.health() WHERE check_name <> 'cells'};
is(sql($coordinator, $checks), sql($plain, $checks), 'health() has all checks');
is(sql($coordinator, q{SELECT status || ' ' || detail FROM analytics.health() WHERE check_name = 'cells'}), 'ok 7 cells answer', 'of all cells');
is(sql($coordinator, q{SELECT string_agg(check_name || ' ' || detail, ', ') FROM analytics.health() WHERE status = 'fail'}), '', 'nothing fails');
sql($coordinator, q{INSERT INTO analytics.pending_buckets (workspace_id, kind, metric_date, attempts, error, next_attempt_at, day_start, day_end) VALUES (md5('w1')::uuid, 'day', current_date - 1, 1, 'broken', now() + interval '1 hour', now(), now())});
like(sql($coordinator, q{SELECT status || ' ' || detail FROM analytics.health() WHERE check_name = 'failed_days'}), qr/^fail cell $home: 1 days of workspaces.*: broken \(attempts: 1, [^;]*$/, 'a failure in one cell is told of, and only that');
is(sql($coordinator, 'SELECT analytics.retry_failed_days()'), '1', 'retry_failed_days()');
is(sql($coordinator, 'SELECT next_attempt_at <= now() FROM analytics.pending_buckets'), 't', 'in its cell');
sql($coordinator, q{DELETE FROM analytics.pending_buckets});
my $size = q{SELECT table_bytes > 0 AND index_bytes > 0 AND total_bytes >= table_bytes + index_bytes, partitions FROM analytics.table_sizes WHERE table_name = 'daily_metrics'};
is(sql($_, $size), $_ == $plain ? 't|1' : 't|7', $_->name . ': sizes') for @both;
cmp_ok(sql($coordinator, q{SELECT total_bytes FROM analytics.table_sizes WHERE table_name = 'daily_metrics'}), '>', sql($plain, q{SELECT total_bytes FROM analytics.table_sizes WHERE table_name = 'daily_metrics'}), 'of all shards');

# What is not offered says so.
is(sql($coordinator, 'SELECT analytics.post_restore()'), '0', 'post_restore()');
same_views('after post_restore()');
for (['SELECT analytics.evaluate_alert_rules()', 'maintain'], ['SELECT analytics.prepare_restore()', 'single server'], ['TRUNCATE analytics.user_activity', 'DELETE'],
	[q{INSERT INTO analytics.alert_rules (name, scope, metric_type, condition, threshold_value) VALUES ('all', 'platform', 'failed_runs', 'greater_than', 1)}, 'rule for each workspace'])
{
	my ($query, $instead) = @$_;
	like(refusal($coordinator, $query), qr/^0A000 \| .*$instead/, "refused: $query");
}
like(refusal($workers[0], 'CALL analytics.maintain()'), qr/^0A000 \| .*coordinator/, 'maintain() on a worker');

# Removal leaves nothing, as doc/scale.md says it.
sql($coordinator, 'SET client_min_messages = warning; DROP SCHEMA analytics CASCADE');
sql($coordinator, 'CALL citus_cleanup_orphaned_resources()');
is(sql($_, q{SELECT count(*) FROM pg_class AS c WHERE c.relnamespace::regnamespace::text LIKE 'analytics%'}) . sql($_, q{SELECT count(*) FROM pg_extension WHERE extname = 'shadow_analytics'}), '00', $_->name . ': nothing is left')
	for $coordinator, @workers;

$_->stop for values %node;
unlike(slurp_file($_->logfile), qr/TRAP:|PANIC:|terminated by signal/, $_->name . ': no crash') for values %node;
done_testing();

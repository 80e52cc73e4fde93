# Thousands of generated queries, run as tenants over data in which every value betrays its tenant: none may show
# a value of a workspace that the user is no member of. SEED and QUERIES in the environment repeat or prolong it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed    = srand($ENV{SEED} // 20261122);
my $queries = $ENV{QUERIES} // 3000;
my %member  = (1 => [ 1, 2 ], 2 => [ 2, 3 ], 3 => [3], 4 => [], 5 => [ 1, 2, 3, 4 ]);

my $node = PostgreSQL::Test::Cluster->new('isolation');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;

# Values of workspace k: uuids a000000k-…, texts TENANTk, numbers 70000k….
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION shadow_analytics;
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
SELECT analytics.setup_roles();
CREATE FUNCTION public.w(k int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('a000000%s-0000-4000-8000-000000000000', k)::uuid $$;
CREATE FUNCTION public.u(k int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('b000000%s-0000-4000-8000-000000000000', k)::uuid $$;
CREATE FUNCTION public.run_of(k int) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'TENANT' || k || '1' $$;
CREATE FUNCTION public.person(k int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('c000000%s-0000-4000-8000-000000000001', k)::uuid $$;
INSERT INTO public.workspace_members
VALUES (w(1), u(1)), (w(2), u(1)), (w(2), u(2)), (w(3), u(2)), (w(3), u(3)), (w(1), u(5)), (w(2), u(5)), (w(3), u(5)), (w(4), u(5));
INSERT INTO analytics.settings VALUES ('raw_events_visible_to', 'members');

INSERT INTO analytics.daily_metrics (workspace_id, metric_date, total_runs, total_credits_consumed, credits_by_model, currency, is_final)
SELECT w(k), CURRENT_DATE - i, 700000 * 1000 + k * 1000 + i, 700000 * 1000 + k * 1000 + i, jsonb_build_object('TENANT' || k, i), 'TENANT' || k, true
FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.hourly_metrics (workspace_id, metric_hour, total_runs, is_final)
SELECT w(k), TIMESTAMPTZ '2025-01-01 00:00Z' + i * interval '1 hour', 700000 * 1000 + k * 1000 + i, true
FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.agent_performance (workspace_id, agent_id, metric_date, total_runs, error_types, is_final)
SELECT w(k), w(k), CURRENT_DATE - i, 700000 * 1000 + k * 1000 + i, jsonb_build_object('TENANT' || k, i), true
FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.daily_event_usage (workspace_id, metric_date, event_type, event_names, events, users)
SELECT w(k), CURRENT_DATE - i, 'click', ARRAY['TENANT' || k], ARRAY[700000 * 1000 + k * 1000 + i], '{"{1}"}'
FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata)
SELECT w(k), w(k), 'click', 'TENANT' || k, jsonb_build_object('TENANT' || k, i)
FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, page_path, referrer, session_id, metadata, created_at)
SELECT w(k), format('c000000%s-0000-4000-8000-00000000000%s', k, i % 7)::uuid, (ARRAY['page_view', 'feature_use', 'agent_run'])[1 + i % 3], 'TENANT' || k, '/TENANT' || k || '/' || i % 3,
       'https://TENANT' || k || '.example', w(k), jsonb_build_object('run_id', 'TENANT' || k || i % 5, 'parent_run_id', 'TENANT' || k || i % 4, 'model', 'TENANT' || k,
       'agent_id', w(k), 'status', 'failed', 'error_type', 'TENANT' || k, 'cost', 700000 * 1000 + k * 1000 + i), now() - i * interval '1 hour'
FROM generate_series(1, 4) AS k, generate_series(1, 60) AS i;
INSERT INTO analytics.credit_prices (workspace_id, model, price, currency)
SELECT w(k), 'TENANT' || k, 700000 * 1000 + k * 1000, 'USD' FROM generate_series(1, 4) AS k;
INSERT INTO analytics.token_prices (workspace_id, model, input_price, output_price, currency)
SELECT w(k), 'TENANT' || k, 700000 * 1000 + k * 1000, 1, 'USD' FROM generate_series(1, 4) AS k;
INSERT INTO analytics.daily_error_types (workspace_id, metric_date, error_type, errors)
SELECT w(k), CURRENT_DATE - i, 'TENANT' || k, ARRAY[('TENANT' || k, 700000 * 1000 + k * 1000 + i, '{}', ARRAY['TENANT' || k])::analytics.error_count] FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.users (workspace_id, user_id, user_number, first_date, last_date, first_seen, last_seen)
SELECT w(k), w(k), 700000 * 1000 + k * 1000, CURRENT_DATE, CURRENT_DATE, now(), now() FROM generate_series(1, 4) AS k;
INSERT INTO analytics.daily_users (workspace_id, metric_date, users, new_users, is_final)
SELECT w(k), CURRENT_DATE - i, format('{%s}', 700000 * 1000 + k * 1000)::analytics.user_set, '{}', true FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.daily_user_revenue (workspace_id, metric_date, user_number, revenue)
SELECT w(k), CURRENT_DATE - i, 700000 * 1000 + k * 1000, 700000 * 1000 + k * 1000 FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.user_cohorts (workspace_id, cohort_period, cohort_date, initial_users, retention_data, retention_unbounded, avg_revenue_per_user, is_final, counted_until, source_state)
SELECT w(k), 'daily', CURRENT_DATE - i, 700000 * 1000 + k * 1000, '{}', '{}', 0, true, CURRENT_DATE, 0 FROM generate_series(1, 4) AS k, generate_series(1, 40) AS i;
INSERT INTO analytics.alert_rules (workspace_id, id, name, metric_type, condition, threshold_value)
SELECT w(k), w(k), 'TENANT' || k, 'failed_runs', 'greater_than', 1 FROM generate_series(1, 4) AS k;
INSERT INTO analytics.alert_history (workspace_id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason)
SELECT workspace_id, id, name, severity, now(), metric_type, condition, name FROM analytics.alert_rules;
INSERT INTO analytics.alert_rule_states (workspace_id, alert_rule_id, state, since, alert_id) SELECT workspace_id, alert_rule_id, 'firing', now(), id FROM analytics.alert_history;
INSERT INTO analytics.segments (workspace_id, name, definition, description) SELECT w(k), n.name, n.definition, 'TENANT' || k
FROM generate_series(1, 4) AS k, (VALUES ('clickers', '{"did": "click", "from": "2020-01-01"}'::jsonb), ('others', '{"not": {"segment": "clickers"}}')) AS n (name, definition);
INSERT INTO analytics.annotations (workspace_id, title, details) SELECT w(k), 'TENANT' || k, 'TENANT' || k FROM generate_series(1, 4) AS k;
INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address) SELECT w(k), 'TENANT' || k, 'webhook', 'https://TENANT' || k || '.example.org' FROM generate_series(1, 4) AS k;
SELECT analytics.refresh_all_materialized_views();
INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
SELECT w(k), 'UTC', '-infinity' FROM generate_series(1, 4) AS k;
TRUNCATE analytics.audit_log;
INSERT INTO analytics.audit_log (workspace_id, database_role, action, object)
SELECT w(k), 'x', 'x', 'TENANT' || k FROM generate_series(1, 4) AS k;
ANALYZE;

-- What an attacker brings along: a cheap function that tells everything it is shown.
CREATE SCHEMA attack;
GRANT USAGE, CREATE ON SCHEMA attack TO authenticated;
GRANT USAGE ON SCHEMA public TO authenticated;
SET ROLE authenticated;
CREATE FUNCTION attack.leak(value text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
AS $$ BEGIN RAISE NOTICE 'leak %', value; RETURN true; END $$;
CREATE FUNCTION attack.is_equal(a uuid, b uuid) RETURNS boolean LANGUAGE plpgsql COST 0.0000001
AS $$ BEGIN RAISE NOTICE 'leak % %', a, b; RETURN true; END $$;
CREATE OPERATOR attack.= (FUNCTION = attack.is_equal, LEFTARG = uuid, RIGHTARG = uuid);
SQL

my %columns = (
	daily_metrics      => [qw(workspace_id metric_date total_runs total_credits_consumed credits_by_model currency)],
	hourly_metrics     => [qw(workspace_id metric_hour total_runs)],
	agent_performance  => [qw(workspace_id agent_id metric_date total_runs error_types)],
	daily_event_counts => [qw(workspace_id metric_date event_name events)],
	daily_event_usage  => [qw(workspace_id metric_date event_names events)],
	user_activity      => [qw(workspace_id user_id event_name metadata)],
	credit_prices      => [qw(workspace_id model price)],
	token_prices       => [qw(workspace_id model input_price)],
	workspace_settings => [qw(workspace_id time_zone)],
	daily_error_types  => [qw(workspace_id error_type errors)],
	daily_errors       => [qw(workspace_id error_type sample_messages)],
	users              => [qw(workspace_id user_id user_number)],
	daily_users        => [qw(workspace_id metric_date users)],
	daily_user_revenue => [qw(workspace_id user_number revenue)],
	user_cohorts       => [qw(workspace_id cohort_date initial_users)],
	alert_rules        => [qw(workspace_id id name)],
	alert_history      => [qw(workspace_id rule_name reason)],
	segments           => [qw(workspace_id definition description)],
	annotations        => [qw(workspace_id title details)],
	active_alerts      => [qw(workspace_id rule_name reason)],
	notification_destination_list => [qw(workspace_id name masked_address)],
	active_users       => [qw(workspace_id activity_date daily_active_users)],
	top_agents         => [qw(workspace_id agent_id total_runs_30d)],
	workspace_summary  => [qw(workspace_id total_runs_30d total_credits_30d)],
	error_trends       => [qw(workspace_id error_type sample_messages)],
	agent_usage_trends => [qw(workspace_id agent_id total_runs)],
	audit_log          => [qw(workspace_id object)]);
my @tables = sort keys %columns;

sub one_of { return $_[ int rand @_ ] }

sub predicate
{
	my ($t, $c) = @_;
	my $k = 1 + int rand 4;
	return one_of(
		'true', "attack.leak($t.$c\::text)", "attack.leak($t\::text)", "NOT attack.leak(($t.*)::text)",
		"$t.workspace_id = public.w($k)", "$t.workspace_id OPERATOR(attack.=) public.w($k)",
		"$t.$c\::text LIKE '%$k%'", "$t.$c\::text::int > 0", "$t.$c IS NOT NULL",
		"$t.workspace_id = ANY (ARRAY[public.w($k), public.w(4)])",
		"EXISTS (SELECT FROM analytics." . one_of(@tables) . " AS e WHERE e.workspace_id = $t.workspace_id AND attack.leak(e\::text))",
		"1 / (CASE WHEN $t.$c\::text ~ '$k' THEN 0 ELSE 1 END) = 1",
		"$t.workspace_id IN (SELECT workspace_id FROM analytics." . one_of(@tables) . ")",
		"set_config('request.jwt.claims', current_setting('request.jwt.claims', true), true) IS NOT NULL");
}

# The questions about events, with arguments of every kind; none of their texts names a tenant.
my @events   = ('"*"', '"page_view"', '"click"', '["feature_use", "agent_run"]', '{"event_type": "agent_run", "where": {"status": "failed"}}', '{"where": {"page_path": {"like": "%/1"}}}');
my @segments = ('{"did": "*", "from": "2020-01-01"}', '{"first_did": "click", "to": "2100-01-01"}', '{"segment": "clickers"}', '{"any": [{"segment": "others"}, {"users": "{0-4294967295}"}]}',
	'{"not": {"first_seen": {"from": "2100-01-01"}}}', '{"funnel": {"steps": ["page_view", "agent_run"], "start_date": "2020-01-01", "segment": {"not": {"users": "{3}"}}}, "step": 1}', '{"all": [{"nonsense": 1}]}');
my @sets = ("'{0-4294967295}'", "'{}'", '(SELECT analytics.user_set_union_agg(users) FROM analytics.daily_users)', "analytics.users_who(public.w(%d), '{\"did\": \"*\"}')");

sub question
{
	my $w = sprintf 'public.w(%d)', 1 + int rand 4;
	my ($e, $f, $g) = map { one_of(@events) } 1 .. 3;
	my $days = one_of('start_date => CURRENT_DATE - 40, end_date => CURRENT_DATE + 1', 'start_date => CURRENT_DATE - 5');
	my $p = one_of(qw(event_name page_path referrer_host model error_type agent_id metadata.run_id session_id));
	my $limits = join '', map { one_of('', $_) }
		", segment => '" . one_of(@segments) . "'", ", filter => '" . one_of('{}', '{"event_name": {"exists": true}}', '{"page_path": {"not_like": "%/2"}}') . "'",
		', user_set => ' . sprintf(one_of(@sets), 1 + int rand 4), one_of(", as_of => now()", ", as_of => now() - interval '1 day'");
	return one_of(
		"get_trend($w, '[{\"event\": $e, \"measure\": \"" . one_of('events', 'users', 'sessions', 'sum(cost)') . "\"}]', '" . one_of('daily', 'weekly', 'total') . "', $days, breakdown => '$p', compare => true$limits)",
		"get_funnel($w, '[$e, $f, $g]', $days, breakdown => '$p', exclusions => '[{\"event\": \"click\"}]', hold_constant => ARRAY['$p'], attribution => '" . one_of('first_step', 'each_value') . "'$limits)",
		"get_conversion_times($w, '[$e, $f]', $days, hold_constant => ARRAY['$p']$limits)",
		"get_event_retention($w, '$e', '$f', 'daily', $days, breakdown => '$p'$limits)", "get_stickiness($w, '$e', 'daily', $days$limits)", "get_event_lifecycle($w, '$e', 'weekly', $days$limits)",
		"get_paths($w, events => '$e', node => '$p', node_groups => ARRAY['%/1'], $days$limits)", "get_pages($w, $days, page_groups => ARRAY['%/2']$limits)",
		"get_attribution($w, '$e', '$p', $days, touches => '$f', ignore => ARRAY['%/2']$limits)", "get_experiment($w, '$e', '$p', '$f', $days$limits)",
		"get_run_metrics($w, '$p', $days$limits)", "get_run_tree($w, public.run_of(" . (1 + int rand 4) . "), $days)",
		"get_user_timeline($w, public.person(" . (1 + int rand 4) . "))", "raw_events_since($w)",
		"user_set_elements(analytics.users_who($w, '" . one_of(@segments) . "'))",
		"get_pages(public.w((SELECT 1 + extract(second FROM now())::integer % 4)), $days$limits)");
}

sub query
{
	my ($t, $other) = (one_of(@tables), one_of(@tables));
	my $c = one_of(@{ $columns{$t} });
	my $from = "analytics.$t";
	my $where = join(one_of(' AND ', ' OR '), map { predicate($t, one_of(@{ $columns{$t} })) } 1 .. 1 + int rand 3);
	return one_of(
		"SELECT $c FROM $from WHERE $where",
		"SELECT * FROM $from WHERE $where ORDER BY $c\::text LIMIT 5",
		"SELECT min($c\::text), max($c\::text), count(*) FROM $from WHERE $where",
		"SELECT string_agg(DISTINCT $c\::text, ' ') FROM $from WHERE $where",
		"SELECT $c, count(*) FROM $from WHERE $where GROUP BY $c HAVING attack.leak($c\::text)",
		"SELECT $t.$c, o.* FROM $from JOIN analytics.$other AS o USING (workspace_id) WHERE $where LIMIT 20",
		"SELECT $t.$c, o.workspace_id FROM $from LEFT JOIN analytics.$other AS o ON attack.leak(o\::text) WHERE $where LIMIT 20",
		"SELECT $t.$c, o.workspace_id FROM $from, LATERAL (SELECT * FROM analytics.$other AS i WHERE i.workspace_id <> $t.workspace_id LIMIT 3) AS o WHERE $where LIMIT 20",
		"SELECT first_value($c) OVER (ORDER BY $c\::text) FROM $from WHERE $where LIMIT 5",
		"WITH q AS MATERIALIZED (SELECT * FROM $from) SELECT $c FROM q AS $t WHERE $where LIMIT 20",
		"SELECT row_to_json($t) FROM $from WHERE $where LIMIT 20",
		"SELECT workspace_id FROM $from WHERE $where UNION SELECT workspace_id FROM analytics.$other",
		"TABLE $from",
		"SELECT * FROM analytics." . one_of(map { sprintf $_, 1 + int rand 4 }
			'get_workspace_metrics(public.w(%d), CURRENT_DATE - 20, CURRENT_DATE - 1)', 'get_workspace_summary(public.w(%d))', 'get_agent_insights(public.w(%d))',
			'get_active_users(public.w(%d), CURRENT_DATE - 20, CURRENT_DATE - 1)', 'get_lifecycle(public.w(%d), \'daily\', CURRENT_DATE - 20, CURRENT_DATE - 1)',
			'get_feature_usage(public.w(%d), CURRENT_DATE - 20, CURRENT_DATE - 1)', 'get_retention_matrix(public.w(%d), \'daily\', CURRENT_DATE - 20, CURRENT_DATE - 1)',
			'export_user(public.w(%d))') . " AS f WHERE attack.leak(f\::text)",
		(map { "SELECT * FROM analytics." . question() . " AS f WHERE attack.leak(f\::text)" } 1 .. 3),
		"SELECT f.*, $t.$c FROM $from, LATERAL analytics." . question() . " AS f WHERE $where LIMIT 20",
		"SELECT f.* FROM generate_series(1, 4) AS k, LATERAL analytics.get_pages(public.w(k), CURRENT_DATE - 5, CURRENT_DATE) AS f",
		"SELECT * FROM analytics.get_user_workspaces() AS g, $from WHERE g <> $t.workspace_id AND $where LIMIT 20");
}

my $prepared = 0;

# A query in one of the ways to run it.
sub statement
{
	my $q = query();
	my $s = one_of(
		"$q;", "$q;", "$q;",
		"EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, SUMMARY OFF) $q;",
		"COPY ($q) TO STDOUT;",
		"COPY analytics." . one_of(@tables) . " TO STDOUT;",
		"$q FOR UPDATE;", "$q FOR KEY SHARE;",
		"BEGIN; DECLARE c CURSOR FOR $q; FETCH 3 FROM c; MOVE 1 IN c; FETCH ALL FROM c; COMMIT;",
		"BEGIN; DECLARE c SCROLL CURSOR WITH HOLD FOR $q; COMMIT; FETCH ALL FROM c; CLOSE c;",
		sub { ++$prepared; "PREPARE p$prepared AS $q; EXECUTE p$prepared; EXECUTE p$prepared;" },
		"BEGIN; UPDATE analytics." . one_of(@tables) . " SET workspace_id = workspace_id WHERE attack.leak(workspace_id::text) RETURNING *;",
		"BEGIN; DELETE FROM analytics." . one_of(@tables) . " WHERE attack.leak(workspace_id::text) RETURNING *;",
		"DO \$do\$ DECLARE r record; BEGIN FOR r IN $q LOOP RAISE NOTICE 'row %', r; END LOOP; END \$do\$;",
		"CREATE TEMP TABLE copied AS $q; TABLE copied; DROP TABLE copied;",
		"SET enable_indexscan = off; SET enable_bitmapscan = off; $q; RESET enable_indexscan; RESET enable_bitmapscan;",
		"SET plan_cache_mode = force_generic_plan; SET search_path = attack, pg_catalog; $q; RESET search_path;");
	return ref $s ? $s->() : $s;
}

sub header
{
	my %seen;
	my ($user, @workspaces) = @_;
	return "== " . join ',', $user, grep { !$seen{$_}++ } @workspaces;
}

sub be
{
	my $k = shift;
	my $sub = sprintf 'b000000%d-0000-4000-8000-000000000000', $k;
	return one_of(
		"SELECT set_config('request.jwt.claim.sub', '', false), set_config('request.jwt.claims', '{\"sub\":\"$sub\"}', false) \\g /dev/null",
		"SELECT set_config('request.jwt.claim.sub', '$sub', false), set_config('request.jwt.claims', '', false) \\g /dev/null");
}

# Blocks of "== user: what he may see", then what he is shown. Statements prepared under one user are executed
# under the next ones too.
my @headers = map { header($_, @{ $member{$_} }) } 1 .. 5;

# One plan, kept by PL/pgSQL, for one user after the other.
sub loop_over_users
{
	my $back = shift;
	my ($q, $notices) = (query(), join "','", @headers);
	return <<"SQL";
DO \$do\$
DECLARE
    r record;
    headers text[] := ARRAY['$notices'];
BEGIN
    FOR k IN 1 .. 5 LOOP
        PERFORM set_config('request.jwt.claim.sub', '', false),
                set_config('request.jwt.claims', format('{"sub":"b000000%s-0000-4000-8000-000000000000"}', k), false);
        RAISE NOTICE '%', headers[k];
        BEGIN
            FOR r IN $q LOOP
                RAISE NOTICE 'row %', r;
            END LOOP;
        EXCEPTION WHEN OTHERS THEN
            RAISE NOTICE 'error %', SQLERRM;
        END;
    END LOOP;
END \$do\$;
@{[ be($back) ]}
\\echo @{[ header($back, @{ $member{$back} }) ]}
SQL
}

# A cursor goes on after its user has changed: what it fetches is the opener's or the new user's.
sub change_under_cursor
{
	my $k = shift;
	my $j = 1 + int rand 5;
	return <<"SQL";
BEGIN;
DECLARE c CURSOR FOR @{[ query() ]};
FETCH 3 FROM c;
@{[ be($j) ]}
\\echo @{[ header($j, @{ $member{$k} }, @{ $member{$j} }) ]}
FETCH ALL FROM c;
ROLLBACK;
@{[ be($k) ]}
\\echo @{[ header($k, @{ $member{$k} }) ]}
SQL
}

my $script = "SET ROLE authenticated;\nSET statement_timeout = '20s';\n";
my $made = 0;
while ($made < $queries)
{
	my $k = 1 + int rand 5;
	$script .= be($k) . "\n\\echo @{[ header($k, @{ $member{$k} }) ]}\n";
	$script .= "EXECUTE p" . (1 + int rand $prepared) . ";\n" for $prepared > 0 ? 1 .. 2 : ();
	for (1 .. 1 + int rand 6)
	{
		$script .= statement() . "\nROLLBACK;\n";
		++$made;
	}
	$script .= one_of(loop_over_users($k), change_under_cursor($k), '', '', '');
}
# Errors and notices in one stream with the answers.
my $file = "$PostgreSQL::Test::Utils::tmp_check/isolation.sql";
PostgreSQL::Test::Utils::append_to_file($file, $script);
my $all = qx(psql -X -q -A -t -v ON_ERROR_STOP=0 -d '@{[ $node->connstr('postgres') ]}' -f '$file' 2>&1);

my ($user, %allowed, $query, @foreign);
my ($lines, $own, $leaks) = (0, 0, 0);
for my $line (split /\n/, $all)
{
	if ($line =~ /(?:^|NOTICE:  )== (\d)(?:,([\d,]+))?$/)
	{
		$user = $1;
		%allowed = map { $_ => 1 } split /,/, $2 // '';
		next;
	}
	# Texts of the queries themselves name workspaces: in plans, error positions and contexts.
	next if $line =~ /^(LINE \d|STATEMENT|CONTEXT|QUERY|PL\/pgSQL|SQL )|Filter:|Cond:|Output:|HINT:|Function Call:|^\s*->/;
	++$lines;
	++$leaks if $line =~ /leak /;
	# The attacker's operator is also shown the constant it compares with.
	my $data = $line =~ s/(leak a000000\S+) a000000\S+$/$1/r;
	for my $k ($data =~ /(?:[ac]000000(\d)-|TENANT(\d)|70000(\d)0\d\d)/gi)
	{
		next unless defined $k;
		if ($allowed{$k}) { ++$own }
		else { push @foreign, "user $user: $line" }
	}
}
cmp_ok($own, '>', 10 * $queries, 'tenants see their own values');
unlike($all, qr/ERROR:  (?:function|syntax error|there is no segment)/, 'every question is one');
cmp_ok($leaks, '>', $queries, 'leaky functions were called');
is(scalar @foreign, 0, "no foreign value in $lines lines of answers, errors and notices (SEED=$seed)")
  or diag(join "\n", @foreign[ 0 .. ($#foreign > 9 ? 9 : $#foreign) ]);

$node->stop;
done_testing();

# Every function that a member may call, also those of analytics_internal, as on workers of Citus, with hostile
# arguments: NULL, infinities, the ends of every type, long arrays and texts. None crashes, none is deaf to a timeout of 1 s, none takes more than half a gigabyte.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hostile_arguments');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nshared_buffers = 16MB\nlog_min_error_statement = panic\nlog_min_messages = panic\nmax_parallel_workers = 0\n");
$node->start;
my $user = '00000000-0000-4000-8000-000000000001';
my $workspace = '00000000-0000-4000-9000-000000000001';
# Events of a day long ago: bounds by the oldest data bound nothing.
$node->safe_psql('postgres', qq{
	CREATE EXTENSION shadow_analytics;
	CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
	INSERT INTO public.workspace_members VALUES ('$workspace', '$user');
	SELECT analytics.setup_roles();
	GRANT USAGE ON SCHEMA analytics_internal TO authenticated;
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
	SELECT '$workspace', '$user', 'agent_run', jsonb_build_object('agent_id', '$user', 'status', 'ok', 'runtime', 1), d
	FROM unnest('{1970-01-02 12:00Z, 2024-01-02 12:00Z}'::timestamptz[] || now()) AS d;
	SELECT analytics.aggregate_daily_metrics(d) FROM unnest('{1970-01-02, 2024-01-02}'::date[] || current_date) AS d});

# By type: what is plausible, then what is not.
my %values = (
	'uuid' => ["'$workspace'", "'$user'"],
	'date' => ["'2024-01-02'", "'-infinity'", "'infinity'", "'4714-11-24 BC'", "'0001-01-01'", "'1970-01-01'", "'9999-12-31'", "'5874897-12-31'"],
	'timestamp with time zone' => ["'2024-01-02 12:00Z'", "'-infinity'", "'infinity'", "'4714-11-24 00:00:00+00 BC'", "'294276-12-31 23:59:59.999999+00'"],
	'interval' => ["'1 day'", "'0'", "'178000000 years'", "'-178000000 years'", "'1 microsecond'"],
	'boolean' => ['true', 'false'],
	'integer' => ['1', '0', '-1', '-2147483648', '2147483647'],
	'bigint' => ['1', '0', "'-9223372036854775808'", '9223372036854775807'],
	'double precision' => ['0.5', '1', '0', "'-1e308'", '1e308', '1e-4', '1e4', '1e-308', "'NaN'", "'Infinity'", "'-Infinity'"],
	'numeric' => ['0.5', '1', '0', '1e131071', "'-1e131071'", '1e-16383', "'NaN'", "'Infinity'"],
	'text' => ["'daily'", "'weekly'", "'monthly'", "''", "repeat('x', 1000000)", "repeat('{', 100000)", "'{1e131071,1e-16000}'", "'{0.5,0.123456789}'"],
	'integer[]' => ["'{0,1}'", "'{}'", "array_fill(1, '{1000000}')", "'{-2147483648,2147483647,NULL}'"],
	'bigint[]' => ["'{3,2,1}'", "'{}'", "array_fill(9223372036854775807, '{1000000}')", "'{4294967295,0,NULL}'", "array_fill(4::bigint, '{30000}')", "9 || array_fill(4::bigint, '{30000}')"],
	'double precision[]' => ["'{0.5}'", "'{}'", "array_fill(0.5::double precision, '{1000000}')", "'{NaN,Infinity,-Infinity,NULL}'"],
	'numeric[]' => ["'{0.5}'", "'{}'", "array_fill(0.5, '{5000}')", "'{1e131071,1e-16000}'", "'{NaN,Infinity,-Infinity,NULL}'", "array_fill(0.5, '{1000000}')", "array_fill(1e-16000, '{1000}')"],
	'text[]' => ["'{a}'", "'{}'", "array_fill('x'::text, '{100000}')", "ARRAY[repeat('x', 1000000)]"],
	'interval[]' => ["'{1 day}'", "'{}'", "array_fill('1 day'::interval, '{100000}')", "'{178000000 years,-178000000 years}'"],
	'jsonb' => [qq{'{"event_type": "agent_run"}'}, "'{}'", "'[]'", "'null'", q{('[' || repeat('{},', 100000) || '{}]')}, q{(repeat('[', 5000) || repeat(']', 5000))},
		q{('[' || repeat('{"event_type": "agent_run"},', 30) || '{"event_type": "agent_run"}]')}, q{('[' || repeat('{"event_type": "agent_run"},', 1000) || '{"event_type": "agent_run"}]')}],
	'inet' => ["'192.0.2.1'", "'::/0'"],
	'bytea' => ["'\\x00'", q{convert_to(repeat('x', 1000000), 'UTF8')}],
	'analytics.user_set' => ["'{0,1,2}'", "'{}'", "'{0,4294967295}'"],
	'analytics.quantile_sketch' => [q{'{"accuracy": 0.01, "max_buckets": 2048, "count": 1, "sum": 0, "min": 0, "max": 0, "negative": {}, "zeros": 1, "positive": {}, "collapsed": "none"}'}],
);

my @functions = split /\n/, $node->safe_psql('postgres', q{
	SELECT p.oid::regproc || '|' || CASE WHEN p.prorettype = 'record'::regtype AND p.proargmodes IS NULL THEN 'r' ELSE p.prokind::text END || '|' || (SELECT coalesce(string_agg(format_type(t, NULL), ',' ORDER BY i), '')
	                                                      FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, i))
	FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension AS e ON e.oid = d.refobjid AND e.extname = 'shadow_analytics'
	WHERE has_function_privilege('authenticated', p.oid, 'EXECUTE') AND has_schema_privilege('authenticated', p.pronamespace, 'USAGE')
	  AND p.prokind IN ('f', 'a') AND NOT '{internal,cstring}'::regtype[]::oid[] && p.proargtypes::oid[]
	  AND p.prorettype NOT IN ('internal'::regtype, 'cstring'::regtype, 'trigger'::regtype)
	ORDER BY p.oid::regprocedure::text});
cmp_ok(scalar @functions, '>', 60, 'there are functions that members may call');

# One argument after the other takes each value; pairs of dates, and of what is long, take them together.
sub calls
{
	my ($name, $kind, @types) = @_;
	my @choices = map { [map { "$_" } @{ $values{$_} // [] }, 'NULL'] } @types;
	my @plausible = map { $choices[$_][0] } 0 .. $#types;
	my @lists = ([@plausible]);
	for my $i (0 .. $#types)
	{
		push @lists, [@plausible[0 .. $i - 1], $_, @plausible[$i + 1 .. $#types]] for @{ $choices[$i] };
		for my $j ($i + 1 .. $#types)
		{
			next unless $types[$i] =~ /^date|\[\]$|double|numeric|text/ && $types[$i] eq $types[$j];
			for my $a (@{ $choices[$i] })
			{
				push @lists, [@plausible[0 .. $i - 1], $a, @plausible[$i + 1 .. $j - 1], $_, @plausible[$j + 1 .. $#types]] for @{ $choices[$j] };
			}
		}
	}
	my %seen;
	my @calls = grep { !$seen{$_}++ } map { my $l = $_; "$name(" . join(', ', map { "$l->[$_]::$types[$_]" } 0 .. $#types) . ')' } @lists;
	return map { $kind eq 'a' ? "SELECT octet_length($_\::text)" : "SELECT count(*) FROM $_ AS t" . ($kind eq 'r' ? ' (v text)' : '') } @calls;
}

my @calls;
for my $function (@functions)
{
	my ($name, $kind, $types) = split /\|/, $function, 3;
	push @calls, calls($name, $kind, split /,/, $types);
}
# Whoever may call the engine of questions himself names other columns than those of the answer.
for my $columns ('a text', join(', ', map { "c$_ text" } 1 .. 7), join(', ', map { "c$_ bigint" } 1 .. 7))
{
	push @calls, qq{SELECT t::text FROM analytics_internal.answer('$workspace', 'get_trend', '{"series": "*"}', NULL, NULL) AS t ($columns)};
}
my $session = "SET ROLE authenticated; SET statement_timeout = '1s'; SELECT set_config('request.jwt.claims', '{\"sub\":\"$user\"}', false) \\g /dev/null\n";

# Runs calls in one session. Per call its SQLSTATE and milliseconds; and the most memory that the session held, in MB.
sub run_calls
{
	my @asked = @_;
	my $script = $session . "SELECT pg_backend_pid() AS pid \\gset\n\\setenv BACKEND :pid\n\\timing on\n";
	$script .= "$asked[$_] \\g /dev/null\n\\echo call $_ :SQLSTATE\n" for 0 .. $#asked;
	$script .= "\\! grep VmHWM /proc/\$BACKEND/status\n";
	my ($out, $error) = ('', '');
	IPC::Run::run(['psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', '-'], '<', \$script, '>', \$out, '2>', \$error);
	my (@results, $ms);
	for (split /\n/, $out)
	{
		$ms = $1 if /^Time: ([0-9.]+) ms/;
		$results[$1] = [$2, $ms] if /^call (\d+) (\w+)/;
	}
	return (\@results, $out =~ /VmHWM:\s+(\d+) kB/ ? $1 / 1024 : undef, $error);
}

my ($results, $memory, $error) = run_calls(@calls);
is(scalar @$results, scalar @calls, 'every call of ' . @calls . ' came back') or diag(substr $error, -2000);
my @internal = map { substr "$calls[$_]: $results->[$_][0]", 0, 300 } grep { $results->[$_][0] =~ /^XX/ } 0 .. $#$results;
is("@internal", '', 'no internal error');
# On a busy machine a call may be late once, but not every time.
my @late = map { $calls[$_] } grep { $results->[$_][1] > 2000 } 0 .. $#$results;
for (1 .. 3)
{
	@late or last;
	my ($again) = run_calls(@late);
	@late = map { $late[$_] } grep { $again->[$_][1] > 2000 } 0 .. $#$again;
}
is(join("\n", map { substr $_, 0, 300 } @late), '', 'every call ends within a second of its timeout');
if (!ok(defined $memory && $memory < 500, 'no call takes more than 500 MB: ' . ($memory // 'unknown')))
{
	for my $call (@calls)
	{
		my (undef, $taken) = run_calls($call);
		diag(sprintf '%.0f MB: %s', $taken, substr $call, 0, 300) if ($taken // 0) >= 500;
	}
}

# The limits say what they are.
for (["analytics_internal.trailing_users('$workspace', '1900-01-01', '2024-01-02')", '36525'],
	["analytics_internal.user_lifecycle('$workspace', 'daily', '1900-01-01', '2024-01-02')", '36525'],
	["analytics_internal.user_retention('$workspace', 'daily', '1970-01-01', '2024-01-02', '2024-01-03')", '20000000'],
	["analytics.calculate_percentiles('{1e131071,1e-16000}'::numeric[], array_fill(0.5, '{5000}'))", '10000000'],
	["analytics.fit_sbg(array_fill(4::bigint, '{40000}'))", '36525'],
	["analytics.get_workspace_metrics('$workspace', '1900-01-01', '2024-01-02', true)", '36525'])
{
	my ($call, $limit) = @$_;
	my $who = $call =~ /^analytics_internal/ ? '' : $session;
	my (undef, undef, $message) = $node->psql('postgres', "\\set VERBOSITY verbose\n$who SELECT count(*) FROM $call AS t");
	like($message, qr/ERROR:  54000: .*HINT:  At most $limit /s, "the limit of " . substr $call, 0, 60);
}
$node->stop;
done_testing();

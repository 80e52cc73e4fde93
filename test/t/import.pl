# shadow-analytics-import: the files in test/import/exports against counts of their own, odd files, a second run, a
# run that is killed, expired events, and memory. IMPORT_MB=1000 loads a file of that size (make check-import).
use strict;
use warnings;

use IPC::Run;
use JSON::PP qw(decode_json encode_json);
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $program = 'import/shadow-analytics-import';
system('make', '-s', 'WERROR=1', 'import') == 0 or BAIL_OUT('the import does not build');
my $exports = 'test/import/exports';
my $dir = PostgreSQL::Test::Utils::tempdir;

my $node = PostgreSQL::Test::Cluster->new('import');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION shadow_analytics');
my $database = $node->connstr('postgres');
sub sql { return $node->safe_psql('postgres', shift); }

my $workspaces = 0;
sub workspace { return sprintf('%08d-0000-4000-8000-000000000000', ++$workspaces); }

# (status, what it printed, its errors)
sub call
{
	my ($arguments, %with) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ $program, @$arguments ], '<', $with{input} // \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(300));
	return ($? >> 8, $out, $err);
}
sub import_files { my ($tool, $workspace, @more) = @_; return call([ '--from', $tool, '--database', $database, '--workspace', $workspace, @more ]); }

sub file
{
	my ($name, $bytes) = @_;
	open(my $f, '>:raw', "$dir/$name") or die;
	print $f $bytes;
	close $f;
	return "$dir/$name";
}

# The facts that expected.py prints, as the database has them.
sub facts
{
	my $w = shift;
	my $amount = 'rtrim(rtrim(to_char(coalesce(sum(%s), 0), \'FM999999990.000000\'), \'0\'), \'.\')';
	my $events = "SELECT * FROM analytics.user_activity WHERE workspace_id = '$w'";
	my $revenue = sprintf($amount, "coalesce(metadata ->> 'revenue', metadata ->> 'amount')::numeric");
	my $cost = sprintf($amount, "(metadata ->> 'cost')::numeric");
	my $tokens = sprintf($amount, "coalesce((metadata ->> 'tokens_used')::numeric, (metadata ->> 'input_tokens')::numeric + (metadata ->> 'output_tokens')::numeric,
		(metadata ->> 'prompt_tokens')::numeric + (metadata ->> 'completion_tokens')::numeric)");
	return sql(<<SQL);
WITH e AS ($events)
SELECT concat_ws(E'\\n', (SELECT concat('events ', count(*), E'\\nusers ', count(DISTINCT user_id), E'\\nsessions ', count(DISTINCT session_id)) FROM e),
    (SELECT string_agg(event_type || ' ' || n, E'\\n' ORDER BY event_type COLLATE "C") FROM (SELECT event_type, count(*) AS n FROM e GROUP BY 1) AS t),
    (SELECT concat('revenue ', $revenue, E'\\ncost ', $cost, E'\\ntokens ', $tokens) FROM e),
    (SELECT string_agg(concat_ws(' ', day, n, u), E'\\n' ORDER BY day)
     FROM (SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS n, count(DISTINCT user_id) AS u FROM e GROUP BY 1) AS d))
SQL
}
sub rollups { my $w = shift; return sql("SELECT string_agg(concat_ws(' ', metric_date, total_events, active_users), E'\\n' ORDER BY metric_date) FROM analytics.daily_metrics WHERE workspace_id = '$w' AND total_events > 0"); }
sub expected
{
	my ($tool, $name) = @_;
	my $out = '';
	IPC::Run::run([ '/usr/bin/python3', 'test/import/expected.py', $tool, "$exports/$name" ], '>', \$out) or die;
	chomp $out;
	return $out;
}

# What makes no sense is refused before anything is read.
my $any = workspace();
for my $wrong ([ '--from', 'matomo' ], [ '--from', 'ga4' ], [ '--from', 'ga4', '--workspace', 'mine' ],
	[ '--from', 'csv', '--workspace', $any, '--delimiter', 'ab' ], [ '--from', 'csv', '--workspace', $any, '--keep-days', '0' ], [])
{
	is((call($wrong))[0], 2, "refused: @$wrong");
}
for my $wrong ([ '--time-zone', 'Mars/Olympus' ], [ '--event-type', 'x=nonsense' ], [ '--encoding', 'klingon' ], [ '--mapping', '/no/such/file' ],
	[ '--database', 'postgresql://me:secret@localhost/x' ], [ '--database', 'host=/nowhere dbname=x' ], ['/no/such/file'])
{
	my @where = "@$wrong" =~ /--database/ ? () : ('--database', $database);
	my ($status, $out, $err) = call([ '--from', 'ga4', '--workspace', $any, "$exports/ga4.jsonl", @where, @$wrong ]);
	is($status, 1, "fails: @$wrong");
	unlike($err, qr/secret/, 'and tells no password') if $err =~ /password/;
}

# Old events: nothing is loaded until somebody says what is wanted. 90 days is the default.
my $expiring = workspace();
my ($status, $out, $err) = import_files('umami', $expiring, "$exports/umami.csv");
is($status, 1, 'expired events stop the import');
like($out, qr/^6 events are older than the 90 days .* the first of 2025-03-10/, 'they are counted');
is(sql('SELECT count(*) FROM analytics.user_activity'), 0, 'and nothing is loaded');
($status, $out) = import_files('umami', $expiring, '--allow-expired', "$exports/umami.csv");
is($status, 3, 'some records were refused');
like($out, qr/^8 records: 6 loaded, 0 there before, 1 refused, 1 left out$/m, 'the expired are loaded, too');
my $umami_days = join("\n", grep { /^2025/ } split /\n/, expected('umami', 'umami.csv'));
is(rollups($expiring), $umami_days, 'and counted');
sql('CALL analytics.maintain()');
is(sql("SELECT count(*) FROM analytics.user_activity WHERE workspace_id = '$expiring'"), 6, 'kept for a day');
sql("INSERT INTO analytics.settings VALUES ('import_grace_hours', '0')");
sql('SELECT count(*) FROM analytics.cleanup_old_data()');
is(sql("SELECT count(*) FROM analytics.user_activity WHERE workspace_id = '$expiring'"), 0, 'then removed');
($status, $out) = import_files('umami', $expiring, '--allow-expired', "$exports/umami.csv");
like($out, qr/^8 records: 0 loaded, 0 there before, 7 refused/m, 'a second run is refused');
like($out, qr/^refused: 6, a day whose events were removed after they had been counted$/m, 'and says why');
is(rollups($expiring), $umami_days, 'and changes no rollup');
sql("DELETE FROM analytics.settings WHERE name = 'import_grace_hours'");
($status, $out) = import_files('umami', workspace(), '--keep-days', '36500', "$exports/umami.csv");
like($out, qr/: 6 loaded/, 'or raw events are kept longer');
is(sql("SELECT keep_days FROM analytics.retention_policies WHERE table_name = 'user_activity'"), 36500, 'from now on');
import_files('umami', workspace(), '--keep-days', '30', "$exports/umami.csv");
is(sql("SELECT keep_days FROM analytics.retention_policies WHERE table_name = 'user_activity'"), 36500, 'never shorter');
sql("UPDATE analytics.retention_policies SET keep_days = NULL");

# Every tool: what the file holds is what the database has, its rollups too, and a second run adds nothing.
my %file_of = map { (/(\w+)\.\w+$/ => $_) } map { (split m{/})[-1] } glob("$exports/*");
is(join(' ', sort keys %file_of), 'ga4 langfuse mixpanel posthog segment umami', 'an export of each tool');
my %workspace_of;
for my $tool (sort keys %file_of)
{
	my $w = $workspace_of{$tool} = workspace();
	my $expected = expected($tool, $file_of{$tool});
	($status, $out, $err) = import_files($tool, $w, "$exports/$file_of{$tool}");
	is($status, 3, "$tool: loaded but for the broken records") or diag($err);
	is(facts($w), $expected, "$tool: as counted");
	is(rollups($w), join("\n", grep { /^2025/ } split /\n/, $expected), "$tool: rollups");
	my ($events) = $expected =~ /^events (\d+)$/m;
	($status, $out) = import_files($tool, $w, "$exports/$file_of{$tool}");
	like($out, qr/: 0 loaded, (\d+) there before/, "$tool: a second run adds nothing");
	is(facts($w), $expected, "$tool: and changes nothing");
}
is(sql('SELECT count(*) FROM analytics.user_activity_default'), 0, 'every day has its partition');
like((import_files('mixpanel', workspace(), "$exports/mixpanel.jsonl"))[1], qr/: 6 loaded, 1 there before/, 'a duplicate in a file is one event');

# Content that must not be kept: prompts, properties of persons.
is(sql("SELECT count(*) FROM analytics.user_activity WHERE metadata::text ~ 'secret|ann\@example'"), 0, 'no prompts, no persons');
is(sql("SELECT string_agg(metadata ->> 'parent_run_id', ' ' ORDER BY created_at) FROM analytics.user_activity WHERE workspace_id = '$workspace_of{posthog}' AND event_type = 'agent_run'"),
	'trace-1 trace-1 trace-1', 'calls of models are below their trace');

# The same records in other wrappings have the same ids.
sub slurp_bytes { my $name = shift; open(my $f, '<:raw', $name) or die; local $/; return scalar <$f>; }
sub convert { my ($bytes, @command) = @_; my $result; IPC::Run::run([@command], '<', \$bytes, '>', \$result) or die; return $result; }
my $lines = slurp_bytes("$exports/segment.jsonl");
my $csv = slurp_bytes("$exports/umami.csv");
my $python = 'import csv,sys; sys.stdin.reconfigure(newline="", encoding="utf-8"); sys.stdout.reconfigure(newline="", encoding="utf-8");'
	. 'rows=[r for r in csv.reader(sys.stdin) if len(r)>10]; csv.writer(sys.stdout, delimiter=sys.argv[1]).writerows(rows)';
my %variants = (
	segment => {
		'gzip' => convert($lines, 'gzip'),
		'a byte order mark' => "\xEF\xBB\xBF$lines",
		'CRLF' => $lines =~ s/\n/\r\n/gr,
		'UTF-16' => convert($lines, 'iconv', '-f', 'UTF-8', '-t', 'UTF-16'),
		'UTF-16 without a mark' => convert($lines, 'iconv', '-f', 'UTF-8', '-t', 'UTF-16LE'),
		'an array' => '[' . ($lines =~ s/\n(?!$)/,\n/gr) . ']',
	},
	umami => {
		'gzip' => convert($csv, 'gzip'),
		'a byte order mark' => "\xEF\xBB\xBF$csv",
		'LF' => $csv =~ s/\r\n/\n/gr,
		'semicolons' => convert($csv, '/usr/bin/python3', '-c', $python, ';'),
		'tabs' => convert($csv, '/usr/bin/python3', '-c', $python, "\t"),
		'UTF-16' => convert($csv, 'iconv', '-f', 'UTF-8', '-t', 'UTF-16'),
		'Latin-1' => convert($csv, 'iconv', '-f', 'UTF-8', '-t', 'LATIN1'),
	});
my %there = (segment => 5, umami => 6);
for my $tool (sort keys %variants)
{
	for my $variant (sort keys %{ $variants{$tool} })
	{
		my @encoding = $variant eq 'Latin-1' ? ('--encoding', 'LATIN1') : ();
		(undef, $out, $err) = import_files($tool, $workspace_of{$tool}, '--no-backfill', @encoding, file('variant', $variants{$tool}{$variant}));
		like($out, qr/: 0 loaded, $there{$tool} there before/, "$tool with $variant is the same") or diag($err);
	}
}
(undef, $out) = import_files('umami', $workspace_of{umami}, file('latin', $variants{umami}{'Latin-1'}));
like($out, qr/^refused: 1, not valid UTF-8 \(see --encoding\)$/m, 'Latin-1 that nobody told of is refused');
is(sql("SELECT count(*) FROM analytics.user_activity WHERE workspace_id = '$workspace_of{umami}' AND metadata ->> 'city' = U&'Orl\\00E9ans'"), 1, 'accents arrive');
($status, $out) = call([ '--from', 'segment', '--database', $database, '--workspace', $workspace_of{segment}, '--no-backfill' ], input => \$lines);
like($out, qr/: 0 loaded, 5 there before/, 'standard input is the same');

# A dry run shows and changes nothing, with a database or without.
($status, $out) = call([ '--from', 'ga4', '--workspace', workspace(), '--dry-run', '--show', '2', "$exports/ga4.jsonl" ]);
is($status, 0, 'dry run');
my @shown = grep { /^\{/ } split /\n/, $out;
is(scalar @shown, 2, 'shows as many rows as asked for');
is(decode_json($shown[1])->{page_path}, '/home?x=1', 'mapped');
like($out, qr/^7 records: 6 would be loaded, 1 refused, 0 left out$/m, 'and what would be refused');
my $before = sql('SELECT count(*) FROM analytics.user_activity');
import_files('ga4', workspace(), '--dry-run', "$exports/ga4.jsonl");
is(sql('SELECT count(*) FROM analytics.user_activity'), $before, 'and changes nothing');

# Rejects can be mended and loaded.
import_files('posthog', $workspace_of{posthog}, '--no-backfill', '--rejects', "$dir/rejects", "$exports/posthog.jsonl");
my @rejects = map { decode_json($_) } split /\n/, slurp_file("$dir/rejects");
is(join(', ', map { "$_->{record} $_->{reason}" } @rejects), '13 no time, 14 not valid JSON', 'rejects and reasons');
is((stat "$dir/rejects")[2] & 0777, 0600, 'for nobody else to read');
$rejects[0]{data}{timestamp} = '2025-03-12T00:00:00Z';
(undef, $out) = import_files('posthog', $workspace_of{posthog}, file('mended', encode_json($rejects[0]{data}) . "\n"));
like($out, qr/^1 records: 1 loaded/, 'a mended reject is loaded');

# Mixpanel's old projects write local times.
my $pacific = workspace();
import_files('mixpanel', $pacific, '--time-zone', 'America/Los_Angeles', "$exports/mixpanel.jsonl");
is(sql("SELECT min(created_at) AT TIME ZONE 'UTC' FROM analytics.user_activity WHERE workspace_id = '$pacific'"), '2025-03-10 15:00:00', 'local times');

# Our own columns, whoever the workspace is; a mapping file for the rest.
my ($own, $other) = (workspace(), workspace());
my $plain = file('plain.csv', "created_at,user_id,event_type,workspace_id,plan\n"
	. "2025-03-10T08:00:00Z,ann,page_view,,pro\n2025-03-10 08:00:00Z,bob,page view,$other,\n2025-03-10 08:00:00,bob,login,,\n2025-03-10 08:00:00Z,,login,,\n");
(undef, $out) = import_files('csv', $own, $plain);
like($out, qr/^4 records: 2 loaded, 0 there before, 2 refused/m, 'our own columns');
is(sql("SELECT count(*) FROM analytics.daily_metrics WHERE workspace_id IN ('$own', '$other') AND active_users = 1"), 2, 'in two workspaces');
(undef, $out) = import_files('csv', $own, '--time-zone', 'Europe/Berlin', '--default-user', 'nobody', $plain);
like($out, qr/: 2 loaded, 2 there before, 0 refused/, 'with a zone and somebody for the rest');
my $mapping = file('mapping.json', '{"columns": {"created_at": "when", "user_id": "who", "event_name": "what"}, "event_types": {"ran": "agent_run"},'
	. '"metadata": {"agent_id": "bot", "cost": "price.usd"}, "keep_rest": false, "time_zone": "UTC"}');
my $foreign = workspace();
import_files('jsonl', $foreign, '--mapping', $mapping, file('foreign', '{"when":"2025-03-10 08:00","who":"ann","what":"ran","bot":"helper","price":{"usd":0.5},"rest":1}' . "\n"));
is(sql("SELECT concat_ws(' ', event_type, event_name, metadata) FROM analytics.user_activity WHERE workspace_id = '$foreign'"),
	'agent_run ran {"cost": 0.5, "agent_id": "helper"}', 'a mapping file');

# A local day is not a UTC day: the rollups of both that an event's day touches are there.
my $berlin = workspace();
sql("INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES ('$berlin', 'Europe/Berlin')");
import_files('jsonl', $berlin, file('night', '{"created_at":"2025-03-10T23:30:00Z","user_id":"ann","event":"login"}' . "\n"));
is(rollups($berlin), '2025-03-11 1 1', 'local days');

# What is too long for metadata goes, the event stays.
my $long = workspace();
(undef, $out) = import_files('jsonl', $long, file('long', '{"created_at":"2025-03-10T08:00:00Z","user_id":"ann","event":"login","plan":"pro","page":"' . ('x' x 1_000_000) . '"}' . "\n"));
like($out, qr/^1 events lost their longest properties/m, 'a property of 1 MB');
is(sql("SELECT metadata FROM analytics.user_activity WHERE workspace_id = '$long'"), '{"plan": "pro", "import_dropped": ["page"]}', 'is named');

# A row that only the server knows to refuse spoils no other.
sql(<<'SQL');
CREATE FUNCTION public.refuse_thirteen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.metadata ->> 'n' = '13' THEN RAISE EXCEPTION 'thirteen' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse_thirteen BEFORE INSERT ON analytics.user_activity FOR EACH ROW EXECUTE FUNCTION public.refuse_thirteen();
SQL
sub events { my ($from, $to) = @_; return join('', map { sprintf("{\"id\":\"e%d\",\"created_at\":%d,\"user_id\":\"u%d\",\"event\":\"thing\",\"n\":%d}\n", $_, 1741600000 + 7 * $_, $_ % 97, $_) } $from .. $to); }
my $refusing = workspace();
(undef, $out) = import_files('jsonl', $refusing, '--rejects', "$dir/rejects", file('thirteen', events(1, 50)));
like($out, qr/^50 records: 49 loaded, 0 there before, 1 refused/m, 'the server refuses one row');
is(decode_json(slurp_file("$dir/rejects"))->{record}, 13, 'which is named');
sql('DROP TRIGGER refuse_thirteen ON analytics.user_activity');

# Killed in the middle, at whatever point: the second run brings what is missing and nothing twice.
my $total = 20_000;
my $many = file('many', events(1, $total));
sub start_import { my ($w, @more) = @_; return IPC::Run::start([ $program, '--from', 'jsonl', '--database', $database, '--workspace', $w, '--batch', '500', @more, $many ], '<', \undef, '>', \$out, '2>', \$err); }
sub count_of { my $w = shift; return sql("SELECT count(*) FROM analytics.user_activity WHERE workspace_id = '$w'"); }
sub wait_until
{
	my ($condition, $what) = @_;
	for (1 .. 2000)
	{
		return 1 if $condition->();
		usleep(10_000);
	}
	fail("timed out: $what");
	return 0;
}
# ... which waits before the row of this number, until the table "awake" is there.
my $asleep = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
sub start_and_stall
{
	my ($n, @import) = @_;
	sql("CREATE FUNCTION public.fall_asleep() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN
			WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = 'awake') LOOP PERFORM pg_sleep(0.5); END LOOP; RETURN NEW; END \$\$;
		CREATE TRIGGER fall_asleep BEFORE INSERT ON analytics.user_activity FOR EACH ROW WHEN (NEW.metadata ->> 'n' = '$n') EXECUTE FUNCTION public.fall_asleep()");
	my $run = start_import(@import);
	wait_until(sub { sql("SELECT count(*) $asleep") == 1 }, 'some events are loaded');
	return $run;
}
for my $with_state (0, 1)
{
	my $w = workspace();
	my @state = $with_state ? ('--state', "$dir/state", '--rejects', "$dir/rejects") : ();
	my $last = 1700 * (1 + $with_state); # in the midst of a batch
	my $run = start_and_stall($last, $w, @state);
	$run->signal('KILL');
	$run->finish;
	sql("SELECT pg_terminate_backend(pid, 60000) $asleep");
	sql('DROP FUNCTION public.fall_asleep() CASCADE');
	my $loaded = count_of($w);
	ok($loaded > 0 && $loaded < $last, "killed after $loaded of $total");
	ok(!$with_state || -s "$dir/state", 'how far it was is noted');
	($status, $out, $err) = import_files('jsonl', $w, '--batch', '500', @state, $many);
	is($status, 0, 'the second run ends well') or diag($err);
	like($out, qr/^$total records: /m, 'and has seen all records');
	is(sql("SELECT concat_ws(' ', count(*), count(DISTINCT id), sum((metadata ->> 'n')::bigint)) FROM analytics.user_activity WHERE workspace_id = '$w'"),
		join(' ', $total, $total, $total * ($total + 1) / 2), 'nothing twice, nothing missing');
	is(sql("SELECT sum(total_events) FROM analytics.daily_metrics WHERE workspace_id = '$w'"), $total, 'also in the rollups');
	my ($before) = $out =~ /(\d+) there before/;
	cmp_ok($before, '<=', 1000, 'and it went on where the first was') if $with_state;
	ok(!-e "$dir/state", 'the note is gone');
}

# Files that overlap, out of order: what is there already does not keep the rest away.
my $overlapping = workspace();
import_files('jsonl', $overlapping, '--batch', '100', '--no-backfill', file('part', join('', map { events(500 * $_, 500 * $_ + 99) } reverse 1 .. 5)));
(undef, $out) = import_files('jsonl', $overlapping, '--batch', '100', file('whole', join('', reverse split /^/, events(1, 3_000))));
like($out, qr/^3000 records: 2500 loaded, 500 there before, 0 refused/m, 'overlapping files');
is(sql("SELECT concat_ws(' ', count(*), sum((metadata ->> 'n')::bigint)) FROM analytics.user_activity WHERE workspace_id = '$overlapping'"), '3000 4501500', 'are all there');

# SIGTERM ends it after a batch; another import's note is not taken for its own.
my $stopped = workspace();
my $run = start_and_stall(1700, $stopped, '--state', "$dir/state");
$run->signal('TERM');
sql('CREATE TABLE public.awake ()');
$run->finish;
sql('DROP FUNCTION public.fall_asleep() CASCADE; DROP TABLE public.awake');
like($out, qr/^stopped after \d+ records; call it again to go on$/m, 'SIGTERM');
is(count_of($stopped) % 500, 0, 'with whole batches');
($status, undef, $err) = import_files('jsonl', $other, '--state', "$dir/state", $many);
is($status, 1, 'the state of another import is refused');
like($err, qr/is of another import/, 'and it says so');

# A big file costs no more memory than a small one: 30 MB here, the limit of the full size at make check-import.
my $megabytes = $ENV{IMPORT_MB} // 30;
my $big = "$dir/big";
{
	open(my $f, '>', $big) or die;
	my ($n, $properties) = (0, join(',', map { "\"property_$_\":\"the value of property $_\"" } 1 .. 40));
	printf $f "{\"uuid\":\"%08x-0000-4000-8000-%012x\",\"event\":\"\$pageview\",\"distinct_id\":\"u%d\",\"timestamp\":\"%s\",\"properties\":{%s}}\n",
		$n % 65536, $n, $n % 5000, strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(1741600000 + $n++)), $properties
		while tell($f) < $megabytes * 1_000_000;
}
{
	my $w = workspace();
	my $run = IPC::Run::start([ $program, '--from', 'posthog', '--database', $database, '--workspace', $w, '--no-backfill', $big ], '<', \undef, '>', \$out, '2>', \$err);
	my ($pid, $peak) = ($run->{KIDS}[0]{PID}, 0);
	while ($run->pumpable)
	{
		if (open(my $f, '<', "/proc/$pid/status"))
		{
			local $/;
			($peak) = (<$f> // '') =~ /VmHWM:\s+(\d+)/ ? $1 : $peak;
		}
		usleep(20_000);
		$run->pump_nb;
	}
	$run->finish;
	note(sprintf('%d MB of memory for a file of %d MB: %s', $peak / 1024, $megabytes, $out));
	like($out, qr/^(\d+) records: \1 loaded/, 'a big file');
	cmp_ok($peak, '>', 0, 'its memory was seen');
	cmp_ok($peak, '<', ($megabytes < 200 ? 128 : 256) * 1024, 'and is bounded');
}

$node->stop;
done_testing();

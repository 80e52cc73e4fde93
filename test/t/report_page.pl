# analytics.report_page(): the page is read from one place only, data never become markup, and whoever lacks the page
# learns how to get it. A page of the test's own: the real one is built by npm and tried in a browser (make check-report).
use strict;
use warnings;
use utf8;

use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use FindBin;
use lib $FindBin::RealBin;
use OwnInstallation;

my $installation = OwnInstallation::make(PostgreSQL::Test::Utils::tempdir());
my $file = "$installation->{extensions}/shadow_analytics_report.html";
my $node = PostgreSQL::Test::Cluster->new('report_page', install_path => $installation->{path});
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION shadow_analytics');

sub page_is
{
	my ($content) = @_;
	unlink $file;
	return unless defined $content;
	open my $page, '>:raw', $file or die "$file: $!";
	print $page $content;
	close $page;
}

my $query = "SELECT analytics.report_page('a0000000-0000-0000-0000-000000000001')";

sub refused
{
	my ($what, @patterns) = @_;
	my (undef, undef, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$query;");
	like($error, $_, $what) for @patterns;
}

page_is(undef);
refused('no page', qr/58P01: the report page is not installed/, qr/HINT: .*make report && make install-report/);
page_is('<html></html>');
refused('a page without a place for the data', qr/22P03: the report page is damaged/, qr/HINT: .*make report/);
page_is("\@REPORT\@\xe4");
refused('a page that is not ASCII', qr/the report page is damaged/);
page_is('x' x (17 * 1024 * 1024));
refused('a page that is too large', qr/the report page is no page/);
page_is(undef);
mkdir $file or die $!;
refused('a directory', qr/the report page is no page/);
rmdir $file;

# Names of every kind, from the table to the page: decoded they are what they were.
page_is('<p>before</p><script type="application/json">@REPORT@</script><p>after</p>');
my @names = ('</script><script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "<!-- & ]]> '", '@REPORT@ $& \\1', "a\\u0041\\", 'مرحبا', "\x{202e}drawkcab",
	"\x{1F600}\x{1F469}\x{200D}\x{1F4BB}", "\x{2028}\x{2029}", "\x{7f}\t\n");
for my $name (@names)
{
	my $literal = join ' || ', map { 'chr(' . ord($_) . ')' } split //, $name;
	my $page = $node->safe_psql('postgres', "INSERT INTO analytics.workspaces VALUES ('a0000000-0000-0000-0000-000000000001', $literal)
		ON CONFLICT (workspace_id) DO UPDATE SET name = EXCLUDED.name; $query");
	my ($json) = $page =~ m{\A<p>before</p><script type="application/json">([^<>&]*)</script><p>after</p>\z};
	my $shown = join ' ', map { sprintf '%x', ord } split //, $name;
	is(decode_json($json // '{}')->{workspace}{name}, $name, "name of $shown");
	unlike($page, qr/[^\x00-\x7f]/, "page with $shown is ASCII");
}

# Ten thousand names give a page of about the same length: lists are cut, and say so.
$node->safe_psql('postgres', q{
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
	SELECT 'a0000000-0000-0000-0000-000000000001', gen_random_uuid(), t.type, 'name ' || n,
	       jsonb_build_object('agent_id', md5(n::text), 'status', 'failed', 'error_type', 'error ' || n, 'model', 'model ' || n, 'credits', 1),
	       (CURRENT_DATE - 2)::timestamp AT TIME ZONE 'UTC' + n * interval '1 second'
	FROM generate_series(1, 10000) AS n, (VALUES ('feature_use'), ('agent_run')) AS t (type);
	SELECT analytics.aggregate_daily_metrics(CURRENT_DATE - 2)});
my $page = $node->safe_psql('postgres', $query);
my ($json) = $page =~ m{json">(.*)</script>}s;
my $report = decode_json($json);
cmp_ok(length $json, '<', 100_000, 'length with 10,000 names');
for ([ 'agents', 'total_runs', 10000 ], [ 'features', 'events', 20000 ], [ 'errors', 'errors', 10000 ], [ 'models', 'credits', 20000 ])
{
	my ($list, $amount, $all) = @$_;
	my $sum = $report->{$list}{more}{$amount};
	$sum += $_->{$amount} for @{ $report->{$list}{items} };
	is($sum, $all, "$list: nothing is lost");
	cmp_ok($report->{$list}{more}{items}, '>', 0, "$list: some are not shown");
}

is($node->safe_psql('postgres', 'SELECT analytics.report_page(NULL) IS NULL'), 't', 'no report, no page');

# Where the database's encoding is another one, the page is the same; where it has none, broken bytes are replaced.
for (['LATIN1', "'Z' || chr(252) || 'rich'", "Z\x{fc}rich"], ['SQL_ASCII', q{convert_from('\x5aff'::bytea, 'SQL_ASCII')}, "Z\x{fffd}"])
{
	my ($encoding, $name, $expected) = @$_;
	$node->safe_psql('postgres', "CREATE DATABASE other ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0");
	$node->safe_psql('other', "CREATE EXTENSION shadow_analytics; INSERT INTO analytics.workspaces VALUES ('a0000000-0000-0000-0000-000000000001', $name)");
	my ($data) = $node->safe_psql('other', $query) =~ m{json">(.*)</script>}s;
	is(decode_json($data // '{}')->{workspace}{name}, $expected, "a database of $encoding");
	$node->safe_psql('postgres', 'DROP DATABASE other');
}

$node->stop;
done_testing();

# Every block of README.md and doc/ that is SQL or shell, as printed, in the order of the document. README.md begins with
# a database that has the extension; the other documents begin with what README.md leaves. A block of text below SQL is
# what SQL returned. What cannot be tried here has "not-tested" after the block's language, and is listed below.
use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @not_tested = (
	'README.md: ./quickstart #',
	'README.md: ./quickstart --load',
	'README.md: sudo apt-get',
	'doc/alerts.md: sudo systemctl',
	'doc/import.md: shadow-analytics-import --from',
	'doc/operations.md: SELECT cron.schedule(\'aggregate-daily-metrics\',',    # pg_cron: test/t/operations.pl, original_blocks.pl
	'doc/operations.md: SELECT cron.schedule_in_database(\'shadow-analytics-maintain-mydb\',',
	'doc/performance.md: make bench',
	'doc/questions.md: a program',
	'doc/reading.md: sudo -u',    # test/t/report_page.pl has a page
	'doc/scale.md: CREATE EXTENSION',    # Citus: test/t/citus.pl
	'doc/scale.md: SET LOCAL',
	'doc/scale.md: SELECT citus_add_node(\'worker3.example\',',
	'doc/scale.md: SELECT citus_split_shard_by_split_points(102017,',
	'doc/scale.md: DROP SCHEMA');

my $root = abs_path("$FindBin::RealBin/../..");
my $node = PostgreSQL::Test::Cluster->new('documents');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\n");
$node->start;
my $work = $node->basedir . '/work';
mkdir $work or die;
chdir $work or die;
@ENV{qw(PGHOST PGPORT PGDATABASE PGTZ PGUSER)} = ($node->host, $node->port, 'mydb', 'UTC', $node->safe_psql('postgres', 'SELECT current_user'));
$ENV{PGOPTIONS} = '-c client_min_messages=error';
$ENV{PATH} = "$work:$ENV{PATH}";
# sudo -u postgres COMMAND: the server's owner runs the tests.
append_to_file("$work/sudo", qq{#!/bin/sh\n[ "\$1" = -u ] && shift 2\nexec "\$@"\n});
chmod 0755, "$work/sudo";

sub start_from
{
	my $template = shift;
	$node->safe_psql('postgres', 'DROP DATABASE IF EXISTS mydb WITH (FORCE)');
	$node->safe_psql('postgres', "CREATE DATABASE mydb TEMPLATE $template");
}

# What a dashboard puts in place of its variables.
sub fill_in
{
	my $sql = shift;
	$sql =~ s/\$workspace\b/11111111-1111-1111-1111-111111111111/g;
	$sql =~ s/\$__time(From|To)\(\)/"'" . ($1 eq 'From' ? '2025-10-01' : '2025-11-01') . "'"/ge;
	return $sql;
}

sub run_block
{
	my ($language, $block) = @_;
	my ($input, @command) = $language eq 'sql'
		? (fill_in($block), 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-P', 'pager=off') : ('', 'bash', '-euc', $block);
	my ($output, $errors) = ('', '');
	my $ok = IPC::Run::run(\@command, '<', \$input, '>', \$output, '2>', \$errors);
	return ($ok && $errors eq '', $output, $errors);
}

# As people compare it: without blanks at the ends of lines.
sub visible { return shift =~ s/[ \t]+$//mgr =~ s/\n+\z//r }

my @skipped;
sub try_document
{
	my ($document, $before_block) = @_;
	my $text = slurp_file("$root/$document");
	my ($blocks, $answer) = (0, '');
	while ($text =~ /^```([^\n]*)\n(.*?)^```$/msg)
	{
		my ($info, $block) = ($1, $2);
		my $line = 1 + ($` =~ tr/\n//);
		my ($language, $mark) = split / /, $info;
		if ($info eq 'js')
		{
			push @skipped, "$document: a program"; # test/t/reference.pl
		}
		elsif (!defined $language || $language !~ /^(sql|bash|text|json|ini)$/ || ($mark // 'not-tested') ne 'not-tested')
		{
			fail("$document:$line: a block is sql, bash, text, json or ini, and perhaps not-tested: \"$info\"");
		}
		elsif (defined $mark)
		{
			push @skipped, "$document: " . join ' ', (split ' ', $block)[ 0, 1 ];
		}
		elsif ($language eq 'text' && $answer ne '')
		{
			is(visible($block), visible($answer), "$document:$line is what the block above it returns");
		}
		elsif ($language =~ /sql|bash/)
		{
			$node->safe_psql('mydb', $before_block);
			(my $ok, $answer, my $errors) = run_block($language, $block);
			ok($ok, "$document:$line runs") or diag($errors);
			$blocks++;
		}
	}
	return $blocks;
}

start_from('template1');
$node->safe_psql('mydb', 'CREATE EXTENSION shadow_analytics');
my $blocks = try_document('README.md', '');
$node->safe_psql('postgres', 'ALTER DATABASE mydb RENAME TO after_readme');
for my $document (map { s/.*\/(doc\/)/$1/r } sort glob("$root/doc/*.md"))
{
	next if slurp_file("$root/$document") !~ /^```/m;
	start_from($document eq 'doc/migrate.md' ? 'template1' : 'after_readme');
	$node->safe_psql('mydb', slurp_file("$root/test/data/plain_schema.sql")) if $document eq 'doc/migrate.md';
	$blocks += try_document($document, $document eq 'doc/uninstall.md' ? 'CREATE EXTENSION IF NOT EXISTS shadow_analytics' : '');
	if ($document eq 'doc/migrate.md')
	{
		is($node->safe_psql('mydb', 'SELECT (SELECT count(*) FROM analytics.user_activity), (SELECT count(coalesce(host(ip_address), ip_hash::text)) FROM analytics.user_activity),
			(SELECT sum(total_events) FROM analytics.daily_metrics), (SELECT sum(total_events) FROM analytics_archive.daily_metrics), to_regnamespace(\'analytics_old\')'),
			'500|500|500|500|', 'the events of the old schema have come along');
	}
}
cmp_ok($blocks, '>', 40, 'the blocks are found');
is_deeply([ sort @skipped ], [ sort @not_tested ], 'what cannot be tried is what is listed');
chdir '/';
$node->stop;
done_testing();

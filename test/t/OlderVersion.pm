# A version older than the current one, and the step between them, both made from the current script: to try an update
# while no version is published, and whatever a step may forget.
package OlderVersion;
use strict;
use warnings;

our $name = 'older';

# The older script, and the changes since as [how the facts about it begin, its statements in the step].
sub make
{
	my ($script) = @_;
	my $older = $script . only_older();
	my @changes = differences($script);
	for my $current (map { @$_[ 2 .. $#$_ ] } @changes)
	{
		my ($new, $old) = ref $current ? @$current : ($current, '');
		$older =~ s/\Q$new\E/$old/ or die "not in the script: $new";
	}
	return ($older, @changes);
}

# The one piece of the script that matches, as lines.
sub piece
{
	my ($script, $pattern) = @_;
	my @found = $script =~ /^($pattern\n)/gms;
	die scalar(@found) . " pieces of the script match $pattern" if @found != 1;
	return $found[0];
}

# Each change as [how the facts about it begin, the statements of the step, what only the current script has]; the last
# as pieces to leave out, or [piece, what the older script has instead].
sub differences
{
	my ($script) = @_;
	my $piece = sub { return piece($script, $_[0]) };
	my $added = sub {
		my ($fact, @patterns) = @_;
		my @pieces = map { $piece->($_) } @patterns;
		return [ $fact, join('', @pieces), @pieces ];
	};
	my $grants = $piece->(qr/CREATE FUNCTION analytics_internal\.role_grants\(.*?\$\$;/s);
	my $table = $piece->(qr/CREATE TABLE analytics\.user_cohorts \(.*?\);/s);
	my $column_comment = $piece->(qr/COMMENT ON COLUMN analytics\.user_cohorts\.created_at IS.*?;/s);
	return (
		$added->('analytics.get_usage_by_hour(', qr/CREATE FUNCTION analytics\.get_usage_by_hour\(.*?\nCOMMENT ON FUNCTION analytics\.get_usage_by_hour\(.*?';/s),
		[ 'analytics_internal.role_grants() definition', $grants =~ s/^CREATE/CREATE OR REPLACE/r, map { $piece->(qr/[^\n]*'$_', 'EXECUTE', 'FUNCTION', 'analytics\.get_usage_by_hour\([^\n]*/) } 'member', 'reader' ],
		[ 'analytics.user_cohorts column created_at', "ALTER TABLE analytics.user_cohorts ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();\n$column_comment",
			[ $table, $table =~ s/^ *created_at [^\n]*\n//mr ], $column_comment ],
		$added->('analytics.agent_performance index CREATE INDEX agent_performance_agent_id', qr/CREATE INDEX agent_performance_agent_id [^\n]*/, qr/COMMENT ON INDEX analytics\.agent_performance_agent_id IS.*?;/s),
		$added->('analytics.workspace_retention policy member_reads', qr/CREATE POLICY member_reads ON analytics\.workspace_retention .*?;/s,
			qr/COMMENT ON POLICY member_reads ON analytics\.workspace_retention IS.*?;/s),
		$added->('analytics.users is a table:', qr/COMMENT ON TABLE analytics\.users IS.*?;/s),
		$added->('analytics_internal.cohort_limit(pg_catalog.text) acl', qr/REVOKE EXECUTE ON FUNCTION analytics_internal\.cohort_limit\(text\) FROM PUBLIC;/),
		$added->('analytics.hourly_metrics relation r row security', qr/ALTER TABLE analytics\.hourly_metrics ENABLE ROW LEVEL SECURITY;/),
		$added->('dumped analytics.daily_error_types', qr/SELECT pg_catalog\.pg_extension_config_dump\('analytics\.daily_error_types', ''\);/),
		[ 'analytics.hourly_metrics column retried_runs', "ALTER TABLE analytics.hourly_metrics DROP COLUMN retried_runs;\n" ],
		[ 'analytics.retried_runs()', "DROP FUNCTION analytics.retried_runs();\n" ]);
}

# What the older version has and the current one has not.
sub only_older
{
	return q{
ALTER TABLE analytics.hourly_metrics ADD COLUMN retried_runs bigint NOT NULL DEFAULT 0;
CREATE FUNCTION analytics.retried_runs() RETURNS bigint LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS 'SELECT sum(h.retried_runs)::bigint FROM analytics.hourly_metrics AS h';
};
}

1;

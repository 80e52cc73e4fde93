# A PostgreSQL::Test::Cluster whose time of day a test sets: see simulated_clock.c.
package SimulatedClock;
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

# A running server. In it, SELECT clock.set('2025-01-01 00:00+00') and clock.advance('1 hour').
sub start
{
	my ($name, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init;
	my ($library, $file) = ($node->basedir . '/simulated_clock.so', $node->basedir . '/clock');
	system_or_bail('cc', '-shared', '-fPIC', '-O1', '-o', $library, dirname(__FILE__) . '/simulated_clock.c');
	append_to_file($file, "0\n");
	$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n" . ($conf // ''));
	{
		local $ENV{LD_PRELOAD} = $library;
		local $ENV{SIMULATED_CLOCK} = $file;
		$node->start;
	}
	$node->safe_psql('postgres', qq{
		CREATE SCHEMA clock;
		CREATE FUNCTION clock.advance(by interval) RETURNS timestamptz LANGUAGE plpgsql AS \$\$
		BEGIN
			EXECUTE format(\$copy\$COPY (SELECT %s) TO '$file'\$copy\$,
			               btrim(pg_read_file('$file'), E'\\n')::bigint + floor(extract(epoch FROM by))::bigint);
			RETURN clock_timestamp();
		END \$\$;
		CREATE FUNCTION clock.set(at timestamptz) RETURNS timestamptz LANGUAGE sql AS
		\$\$ SELECT clock.advance(make_interval(secs => extract(epoch FROM at - clock_timestamp()))) \$\$;});
	return $node;
}

1;

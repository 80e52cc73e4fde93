SELECT format('CALL bench.limit_to(%L, %L, %s)', name || ', 8 tenants, p99', name, bound) FROM bench.reading WHERE bound IS NOT NULL ORDER BY place \gexec
CALL bench.compare('agent_usage_trends, p99, against its rows in a bare table', 'agent_usage_trends', 'its rows in a bare table');
DROP TABLE bench.trend_row;

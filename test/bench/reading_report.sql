SELECT format('CALL bench.limit_to(%L, %L, %s)', name || ', 8 tenants, p99', name, bound) FROM bench.reading ORDER BY place \gexec

-- The line for single-row inserts, from the rates of two rounds of pgbench.
SELECT max(ms) FILTER (WHERE name LIKE '%user_activity%') AS ours, max(ms) FILTER (WHERE name LIKE '%bench.single%') AS rival
FROM bench.timing WHERE name LIKE 'single % per second' \gset
CALL bench.record('single-row inserts, 8 clients', round(:ours) || '/s', 'a bare table with a uuid key', round(:rival) || '/s',
                  :ours / :rival, '>= 0.8', :ours >= 0.8 * :rival);

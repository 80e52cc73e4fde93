\set ECHO none
-- Partitions of more than three days ago, whoever made them.
SELECT format('DROP TABLE %s', p.relation) FROM analytics_internal.partitions() AS p WHERE p.to_time < now() - interval '3 days' \gexec
\set ECHO all

\set ECHO none
-- Drops the partitions of events that were made since :partition_before, a table of their oids, was.
SELECT 'DROP TABLE ' || inhrelid::regclass FROM pg_inherits
WHERE inhparent = 'analytics.user_activity'::regclass AND inhrelid NOT IN (SELECT oid FROM :partition_before) \gexec
\set ECHO all

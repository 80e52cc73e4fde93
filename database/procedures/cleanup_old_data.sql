-- What is past its retention, by table.
SELECT * FROM analytics.cleanup_old_data();

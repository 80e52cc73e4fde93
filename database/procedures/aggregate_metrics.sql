-- Yesterday's and the last hour's metrics, in UTC.
SELECT analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date - 1) AS workspaces_of_yesterday;
SELECT analytics.aggregate_hourly_metrics(now() - INTERVAL '1 hour') AS workspaces_of_the_last_hour;

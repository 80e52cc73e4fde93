-- All materialized views.
SELECT analytics.refresh_all_materialized_views();

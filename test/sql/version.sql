-- The library and the control file agree on the version.
SELECT analytics.version() = extversion AS same_version
FROM pg_extension WHERE extname = 'shadow_analytics';

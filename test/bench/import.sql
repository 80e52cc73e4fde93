-- Exports of two tools, as files in the folder :dir: events of the last ten days, by time, with a session every 20 events.
CREATE TEMPORARY TABLE exported AS
SELECT n, date_trunc('day', now()) - interval '10 days' + n * (interval '10 days' / :events) AS at, 'u' || hashint4(n / 20) % 5000 AS visitor,
       md5((n / 20)::text)::uuid AS session, md5(n::text || 'event')::uuid AS id, '/products/' || hashint4(n) % 300 AS path
FROM generate_series(1, :events) AS n;
COPY (SELECT json_build_object(
          'uuid', id, 'event', CASE WHEN n % 4 = 0 THEN 'added to cart' ELSE '$pageview' END, 'distinct_id', visitor, 'person_id', md5(visitor)::uuid,
          'properties', json_build_object(
              '$session_id', session, '$current_url', 'https://shop.example.org' || path || '?utm_source=news', '$pathname', path, '$host', 'shop.example.org',
              '$browser', 'Firefox', '$browser_version', 128, '$os', 'Linux', '$device_type', 'Desktop', '$screen_height', 1080, '$screen_width', 1920,
              '$referrer', 'https://www.example.com/', '$ip', '203.0.113.7', '$raw_user_agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0',
              '$lib', 'web', '$lib_version', '1.200.0', '$geoip_country_code', 'DE', 'plan', 'pro', 'seats', n % 30, 'utm_source', 'news'),
          'person_properties', json_build_object('email', visitor || '@example.org', 'plan', 'pro'), 'elements_chain', '',
          'timestamp', to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"'))
      FROM exported ORDER BY n) TO STDOUT \g :dir/posthog
COPY (SELECT 'b59e9c65-ae32-47f1-8400-119fcf4861c4' AS website_id, md5(visitor)::uuid AS session_id, session AS visit_id, id AS event_id,
             'shop.example.org' AS hostname, 'firefox' AS browser, 'Linux' AS os, 'desktop' AS device, '1920x1080' AS screen, 'de-DE' AS language,
             'DE' AS country, 'DE-BE' AS region, 'Berlin' AS city, path AS url_path, 'utm_source=news' AS url_query, 'news' AS utm_source,
             '/search' AS referrer_path, '' AS referrer_query, 'www.example.com' AS referrer_domain, 'Product, of ' || path AS page_title,
             CASE WHEN n % 4 = 0 THEN 2 ELSE 1 END AS event_type, CASE WHEN n % 4 = 0 THEN 'add-to-cart' END AS event_name, '' AS tag, '' AS distinct_id,
             to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS created_at, '' AS job_id
      FROM exported ORDER BY n) TO STDOUT (FORMAT csv, HEADER) \g :dir/umami

-- The published cohorts of Fader & Hardie (2007), four decimals each.
CREATE TEMP TABLE cohort (name text, survivors bigint[]);
INSERT INTO cohort VALUES
    ('Regular', '{1000,631,468,382,326,289,262,241}'),
    ('High End', '{1000,869,743,653,593,551,517,491}');
SELECT name, round(alpha::numeric, 4) AS alpha, round(beta::numeric, 4) AS beta,
       round(log_likelihood::numeric, 4) AS log_likelihood, converged, reason
FROM cohort, analytics.fit_sbg(survivors) ORDER BY name;
SELECT name, round(100 * analytics.sbg_survival(alpha, beta, 12)::numeric, 2) AS "S(12)",
       round(analytics.sbg_lifetime(alpha, beta, 0.1)::numeric, 6) AS lifetime,
       round(analytics.sbg_lifetime(alpha, beta, 0.1, 36)::numeric, 6) AS "lifetime, 36 periods"
FROM cohort, analytics.fit_sbg(survivors) ORDER BY name;

-- The lifetime is the sum that its definition says.
SELECT bool_and(abs(analytics.sbg_lifetime(0.7, 1.2, 0.1, horizon) - total) < 1e-12) AS same
FROM generate_series(0, 60, 20) AS horizon,
     LATERAL (SELECT coalesce(sum(analytics.sbg_survival(0.7, 1.2, t) / 1.1 ^ t), 0) AS total
              FROM generate_series(0, horizon - 1) AS t) AS s;
SELECT analytics.sbg_lifetime(1, 5, 0) AS infinite, analytics.sbg_lifetime(3, 5, 0) AS finite;

-- The estimates depend on the proportions only, the likelihood on the number of users.
SELECT one.alpha = many.alpha AND one.beta = many.beta AS same_parameters,
       abs(many.log_likelihood / one.log_likelihood / 1e15 - 1) < 1e-12 AS likelihood_scales
FROM analytics.fit_sbg('{100,80,70,65}') AS one,
     analytics.fit_sbg('{100000000000000000,80000000000000000,70000000000000000,65000000000000000}') AS many;

-- Periods to come are NULL at the end; the array's lower bound does not matter.
SELECT a = b AND a = c AS same
FROM analytics.fit_sbg('{100,80,70,65}') AS a, analytics.fit_sbg('{100,80,70,65,NULL,NULL}') AS b,
     analytics.fit_sbg('[-5:-2]={100,80,70,65}') AS c;

-- No estimate, and why.
SELECT survivors, f.*
FROM (VALUES (1, NULL::bigint[]), (2, '{}'), (3, '{NULL}'), (4, '{0,0,0}'), (5, '{100,NULL,70}'), (6, '{100}'),
             (7, '{100,80}'), (8, '{100,80,NULL}'), (9, '{100,100,100}'), (10, '{100,0,0,0}'),
             (11, '{1000,500,250,125}'), (12, '{100,50,0}'), (13, '{100,50,50,50}'), (14, '{100,1,1,1}'),
             (15, '{9223372036854775807,9223372036854775806,9223372036854775806}')) AS v (n, survivors),
     analytics.fit_sbg(survivors) AS f
ORDER BY n;

-- Two maxima: the higher one counts, whether it is in the middle or at infinity.
SELECT survivors, round(alpha::numeric, 4) AS alpha, round(beta::numeric, 4) AS beta, reason
FROM (VALUES ('{20,17,17,17,17,17,17,17,14}'::bigint[]), ('{20,10,10,10,10,10,9,9,9,9,9,5,5,0}')) AS v (survivors),
     analytics.fit_sbg(survivors);

SELECT analytics.sbg_survival(0.5, 2, 0) AS period_0, analytics.sbg_survival(0.5, 2, NULL) AS null_period,
       abs(analytics.sbg_survival(1, 1, 2147483647) * 2147483648 - 1) < 1e-13 AS last_period;

-- Errors.
SELECT analytics.fit_sbg('{100,-1}');
SELECT analytics.fit_sbg('{100,80,NULL,90}');
SELECT analytics.fit_sbg('{{100,80},{70,60}}');
SELECT analytics.sbg_survival(0, 1, 1);
SELECT analytics.sbg_survival(1, 'NaN', 1);
SELECT analytics.sbg_survival(1, 1, -1);
SELECT analytics.sbg_lifetime(1, 1, -0.1, 36);
SELECT analytics.sbg_lifetime(1, 1, 0.1, -1);
SELECT analytics.sbg_lifetime(1, 1, 1e-12);

-- The shifted-beta-geometric model of retention (Fader & Hardie 2007).

CREATE FUNCTION analytics.fit_sbg(
    survivors bigint[],
    OUT alpha double precision,
    OUT beta double precision,
    OUT log_likelihood double precision,
    OUT converged boolean,
    OUT reason text)
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 1000
AS 'MODULE_PATHNAME', 'shadow_fit_sbg';
COMMENT ON FUNCTION analytics.fit_sbg(bigint[]) IS
    'maximum-likelihood estimates of the shifted-beta-geometric model of retention (Fader & Hardie 2007). '
    'survivors: the users of a cohort still there at period 0, 1, 2, ... (unbounded retention, as counts); NULLs at '
    'the end are periods to come. Where there is no estimate alpha, beta and log_likelihood are NULL, converged is '
    'false and reason says why: an empty cohort, a NULL before a count, everybody lost in the first period, fewer '
    'than two periods after period 0, no losses, or estimates outside 0.0001 to 10000. '
    'Negative or increasing counts are errors (22023), more than 36,525 of them too (54000)';

CREATE FUNCTION analytics.sbg_survival(alpha double precision, beta double precision, period integer)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sbg_survival';
COMMENT ON FUNCTION analytics.sbg_survival(double precision, double precision, integer) IS
    'share (0 to 1) of a cohort that is still there after so many periods, by the shifted-beta-geometric model; '
    'alpha and beta from 0.0001 to 10000 as analytics.fit_sbg finds them, period >= 0, else an error (22023); '
    'NULL if an argument is NULL';

CREATE FUNCTION analytics.sbg_lifetime(
    alpha double precision, beta double precision, discount_rate double precision, horizon integer)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sbg_lifetime';
COMMENT ON FUNCTION analytics.sbg_lifetime(double precision, double precision, double precision, integer) IS
    'discounted expected lifetime of a new user in periods: the sum of sbg_survival(alpha, beta, t) / '
    '(1 + discount_rate)^t over t = 0 to horizon - 1. discount_rate is a fraction per period, >= 0; horizon >= 0; '
    'else an error (22023); NULL if an argument is NULL';

CREATE FUNCTION analytics.sbg_lifetime(
    alpha double precision, beta double precision, discount_rate double precision)
RETURNS double precision
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_sbg_lifetime_unbounded';
COMMENT ON FUNCTION analytics.sbg_lifetime(double precision, double precision, double precision) IS
    'discounted expected lifetime of a new user in periods, without horizon; discount_rate 0 (then Infinity where '
    'alpha <= 1) or at least 1e-9, else an error (22023); NULL if an argument is NULL';

-- One of the sessions of planning.sql: without the module, then with it.
\connect -
CALL bench.plan_often('2,000 plans, the first of a session');
CALL bench.plan_often('2,000 plans, module not loaded');
CALL bench.plan_often('2,000 plans, module not loaded');
LOAD 'shadow_analytics';
CALL bench.plan_often('2,000 plans, module loaded');
CALL bench.plan_often('2,000 plans, module loaded');

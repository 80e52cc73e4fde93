// What PostgreSQL is compared with, in DuckDB: columns already typed, one thread. Prints one line for each statement:
// name, tab, milliseconds of the best round, by the clock or of the processor as the rival's are.
//   npm install --prefix test/bench @duckdb/node-api;  node test/bench/duckdb.mjs day|funnel EVENTS.csv ROUNDS
import { DuckDBInstance } from '@duckdb/node-api';

const [topic, file, rounds] = process.argv.slice(2);
const db = await (await DuckDBInstance.create(':memory:', { threads: '1' })).connect();

const clock = () => performance.now();
const processor = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };

async function best(now, name, ...statements) {
  let fastest = Infinity;
  for (let round = 0; round < Number(rounds); ++round) {
    const start = now();
    for (const sql of statements) await db.runAndReadAll(sql);
    fastest = Math.min(fastest, now() - start);
  }
  console.log(`${name}\t${fastest.toFixed(2)}`);
}

// The day of stage.sql, and a million numbers.
async function day() {
  await db.run(`CREATE TABLE event AS
    SELECT user_id::uuid AS user_id, workspace_id::uuid AS workspace_id, session_id::uuid AS session_id, event_type,
           created_at::timestamptz AS created_at, metadata ->> 'run_id' AS run, metadata ->> 'status' AS status,
           (metadata ->> 'runtime_seconds')::double AS runtime, (metadata ->> 'credits')::decimal(15, 2) AS credits,
           (metadata ->> 'tokens')::bigint AS tokens, (metadata ->> 'agent_id')::uuid AS agent,
           metadata ->> 'model' AS model, metadata ->> 'error_type' AS error
    FROM (SELECT * REPLACE (metadata::json AS metadata) FROM read_csv('${file}'))`);
  const inDay = `created_at >= '2025-11-08 00:00:00+00' AND created_at < '2025-11-09 00:00:00+00'`;
  const daily = `WITH e AS (SELECT * FROM event WHERE ${inDay}),
    core AS (SELECT workspace_id, count(DISTINCT user_id), count(DISTINCT run) FILTER (WHERE event_type = 'agent_run'),
             count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
             count(*) FILTER (WHERE status = 'cancelled'), avg(runtime), quantile_cont(runtime, [0.5, 0.95, 0.99]),
             sum(credits), count(DISTINCT agent), count(*) FILTER (WHERE event_type = 'error') FROM e GROUP BY 1),
    sess AS (SELECT workspace_id, count(*), avg(l - f), avg((n = 1)::int)
             FROM (SELECT workspace_id, user_id, session_id, min(epoch(created_at)) f, max(epoch(created_at)) l, count(*) n
                   FROM e GROUP BY 1, 2, 3) GROUP BY 1),
    models AS (SELECT workspace_id, list(model), list(c)
               FROM (SELECT workspace_id, model, sum(credits) c FROM e WHERE event_type = 'agent_run' GROUP BY 1, 2) GROUP BY 1),
    errs AS (SELECT workspace_id, list(error), list(n)
             FROM (SELECT workspace_id, error, count(*) n FROM e WHERE event_type = 'error' GROUP BY 1, 2) GROUP BY 1),
    tops AS (SELECT workspace_id, list(agent)
             FROM (SELECT workspace_id, agent, row_number() OVER (PARTITION BY workspace_id ORDER BY count(*) DESC, agent) p
                   FROM e WHERE event_type = 'agent_run' GROUP BY 1, 2) WHERE p <= 10 GROUP BY 1)
    SELECT * FROM core LEFT JOIN sess USING (workspace_id) LEFT JOIN models USING (workspace_id)
      LEFT JOIN errs USING (workspace_id) LEFT JOIN tops USING (workspace_id)`;
  const agents = `SELECT agent, workspace_id, count(*), avg(runtime), quantile_cont(runtime, [0.5, 0.75, 0.95, 0.99]),
    sum(credits), sum(tokens), count(DISTINCT user_id) FROM event WHERE event_type = 'agent_run' AND ${inDay} GROUP BY 1, 2`;
  await best(processor, 'DuckDB, one thread', daily, agents);
  await db.run('CREATE TABLE number AS SELECT random() * 1000 AS x FROM range(1000000)');
  await best(clock, 'DuckDB quantile_cont', 'SELECT quantile_cont(x, [0.5, 0.75, 0.95, 0.99]) FROM number');
}

// The plain SQL of questions.sql.
async function funnel() {
  await db.run(`CREATE TABLE event AS SELECT user_id::uuid AS user_id, event_type, created_at::timestamptz AS created_at FROM read_csv('${file}')`);
  await best(processor, 'DuckDB, the same SQL', `
    SELECT count(*) FILTER (WHERE level >= 1), count(*) FILTER (WHERE level >= 2), count(*) FILTER (WHERE level >= 3) FROM (
      SELECT user_id, max(CASE WHEN event_type = 'agent_run' AND t - s2 <= interval '7 days' THEN 3
                               WHEN event_type = 'feature_use' AND t - s1 <= interval '7 days' THEN 2
                               WHEN event_type = 'page_view' THEN 1 END) AS level
      FROM (SELECT user_id, event_type, t, s1, max(CASE WHEN event_type = 'feature_use' AND t - s1 <= interval '7 days' THEN s1 END)
                                                  OVER (PARTITION BY user_id ORDER BY t) AS s2
            FROM (SELECT user_id, event_type, created_at AS t, max(CASE WHEN event_type = 'page_view' THEN created_at END)
                                                                  OVER (PARTITION BY user_id ORDER BY created_at) AS s1
                  FROM event WHERE created_at >= '2025-10-01' AND created_at < '2025-10-31'
                    AND event_type IN ('page_view', 'feature_use', 'agent_run')))
      GROUP BY user_id)`);
}

await { day, funnel }[topic]();

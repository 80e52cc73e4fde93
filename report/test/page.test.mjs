// The page in a browser, with documents of a real database: run by scripts/check-report, which says where psql finds it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';

const folder = mkdtempSync(join(tmpdir(), 'report-'));
let browser;
before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
});
after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
});

const psql = (query) => execFileSync('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', query], { maxBuffer: 1 << 28, encoding: 'utf8' }).replace(/\n$/, '');
const rows = (query) => JSON.parse(psql(`SELECT coalesce(jsonb_agg(to_jsonb(q)), '[]') FROM (${query}) AS q`));

const demo = "md5('Northwind Robotics')::uuid";
const solo = "md5('Solo Studio')::uuid";
const made = (kind) => `md5('report ${kind}')::uuid`;
const today = () => psql(`SELECT analytics.workspace_today(${demo})`);

// The page of a workspace and range, opened: { page, report }. Whatever it logs, requests or throws fails the test.
let pages = 0;
async function open(t, workspace, range = '', options = {}) {
    const file = join(folder, `${++pages}.html`);
    const [report, html] = rows(`SELECT analytics.report(${workspace}${range}) AS report, analytics.report_page(${workspace}${range}) AS html`).flatMap((row) => [row.report, row.html]);
    writeFileSync(file, html);
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-US', timezoneId: 'America/Los_Angeles', ...options });
    t.after(() => context.close());
    const page = await context.newPage();
    const complaints = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    page.on('request', (request) => { if (request.url() !== `file://${file}`) complaints.push(request.url()); });
    await page.goto(`file://${file}`);
    await page.waitForFunction(() => [...document.querySelectorAll('.chart')].every((box) => box.querySelector('svg')));
    t.after(() => assert.deepEqual(complaints, []));
    return { page, report };
}

const texts = (page, selector) => page.locator(selector).allInnerTexts();

// A card's CSV, as objects by column.
async function csv(page, card) {
    const waiting = page.waitForEvent('download');
    await page.locator(`#${card} button.csv`).click();
    const download = await waiting;
    const text = readFileSync(await download.path(), 'utf8');
    assert.ok(text.startsWith('\ufeff'));
    const lines = parse(text.slice(1));
    return { name: download.suggestedFilename(), rows: lines.slice(1).map((line) => Object.fromEntries(lines[0].map((key, i) => [key, line[i]]))) };
}
function parse(text) {
    const lines = [];
    let line = [];
    for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
        line.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
        if (end !== ',') { lines.push(line); line = []; }
    }
    return lines;
}

// The same keys of both, numbers as numbers.
const plain = (value) => (value === null || value === undefined || value === '' ? null : typeof value === 'boolean' ? String(value) : Number.isNaN(Number(value)) ? String(value) : Number(value));
const pick = (row, keys) => Object.fromEntries(keys.map((key) => [key, plain(row[key])]));
function same(found, expected, keys) {
    assert.deepEqual(found.map((row) => pick(row, keys)), expected.map((row) => pick(row, keys)));
}

const number = (value, options = {}) => new Intl.NumberFormat('en-US', { maximumFractionDigits: 0, ...options }).format(value);
const percent = (value, digits = 1) => number(value / 100, { style: 'percent', maximumFractionDigits: digits });

test('headline figures equal get_workspace_summary()', async (t) => {
    const { page } = await open(t, demo);
    const [s] = rows(`SELECT * FROM analytics.get_workspace_summary(${demo})`);
    const figure = async (key) => (await page.locator(`[data-figure=${key}]`).innerText()).split('\n').map((line) => line.trim()).filter(Boolean);
    const signed = (value) => number(value / 100, { style: 'percent', maximumFractionDigits: 1, signDisplay: 'exceptZero' });
    const arrow = (value) => (value > 0 ? '\u25b2' : value < 0 ? '\u25bc' : '=');
    for (const [key, show] of [['active_users', number], ['total_sessions', number], ['total_runs', number], ['total_credits', number]]) {
        const [, value, moved, before] = await figure(key);
        assert.equal(value, show(s[key]), key);
        assert.equal(moved, `${arrow(s[`${key}_change`])} ${signed(s[`${key}_change`])}`, key);
        assert.equal(before, `before: ${show(s[`previous_${key}`])}`, key);
    }
    for (const [key, digits] of [['success_rate', 1], ['error_rate', 2]]) {
        const [, value, moved, before] = await figure(key);
        const difference = s[key] - s[`previous_${key}`];
        assert.equal(value, percent(s[key], digits), key);
        assert.equal(moved, `${arrow(difference)} ${number(difference, { maximumFractionDigits: 2, signDisplay: 'exceptZero' })} pts`, key);
        assert.equal(before, `before: ${percent(s[`previous_${key}`], digits)}`, key);
    }
    const [, runtime] = await figure('p95_runtime_seconds');
    assert.equal(Math.round(Number.parseFloat(runtime) * (/min/.test(runtime) ? 60 : 1) / 6), Math.round(s.p95_runtime / 6));
});

test('each table and file equals SQL', async (t) => {
    const { page, report } = await open(t, demo);
    const { start_date: first, end_date: last } = report.range;
    const days = `SELECT * FROM analytics.get_active_users(${demo}, '${first}', '${last}')`;
    const users = await csv(page, 'active-users');
    assert.equal(users.name, `active-users-${first}-${last}.csv`);
    same(users.rows, rows(`SELECT activity_date AS date, daily_active_users, weekly_active_users, monthly_active_users, stickiness FROM (${days}) AS d ORDER BY 1`),
        ['date', 'daily_active_users', 'weekly_active_users', 'monthly_active_users', 'stickiness']);
    const metrics = `SELECT metric_date AS date, total_runs, successful_runs, failed_runs, cancelled_runs, success_rate, total_sessions,
        round(median_runtime_seconds, 2) AS median_runtime_seconds, round(p95_runtime_seconds, 2) AS p95_runtime_seconds, is_final
        FROM analytics.daily_metrics WHERE workspace_id = ${demo} AND metric_date BETWEEN '${first}' AND '${last}' ORDER BY 1`;
    same((await csv(page, 'runs-by-outcome')).rows, rows(metrics), ['date', 'total_runs', 'successful_runs', 'failed_runs', 'cancelled_runs', 'is_final']);
    same((await csv(page, 'success-rate')).rows, rows(metrics), ['date', 'success_rate', 'successful_runs', 'failed_runs']);
    same((await csv(page, 'runtime')).rows, rows(metrics), ['date', 'median_runtime_seconds', 'p95_runtime_seconds']);
    same((await csv(page, 'who-came-who-stayed')).rows, rows(`SELECT period_start, new_users, returning_users, resurrecting_users FROM analytics.get_lifecycle(${demo}, 'weekly', '${first}', '${last}')`),
        ['period_start', 'new_users', 'returning_users', 'resurrecting_users']);
    same((await csv(page, 'weekly-retention')).rows,
        rows(`SELECT * FROM analytics.get_retention_matrix(${demo}, 'weekly', '${last}'::date - 83, '${last}') WHERE period_number <= 12 ORDER BY cohort_date, period_number`),
        ['cohort_date', 'period_number', 'initial_users', 'retained_users', 'retention_rate']);
    same((await csv(page, 'hours-of-the-week')).rows, rows(`SELECT * FROM analytics.get_usage_by_hour(${demo}, '${first}', '${last}')`),
        ['day_of_week', 'hour_of_day', 'hours', 'avg_active_users', 'max_active_users', 'total_runs']);
    same((await csv(page, 'features-in-use')).rows, rows(`SELECT * FROM analytics.get_feature_usage(${demo}, '${first}', '${last}') WHERE event_name <> ''`),
        ['event_type', 'event_name', 'events', 'distinct_users']);
    same((await csv(page, 'agents-by-runs')).rows, rows(`
        SELECT a.agent_id, n.name, sum(a.total_runs) AS total_runs, sum(a.failed_runs) AS failed_runs, sum(a.total_credits) AS total_credits
        FROM analytics.agent_performance AS a LEFT JOIN analytics.agents AS n USING (workspace_id, agent_id)
        WHERE a.workspace_id = ${demo} AND a.metric_date BETWEEN '${first}' AND '${last}' GROUP BY 1, 2 ORDER BY 3 DESC, 1`),
    ['agent_id', 'name', 'total_runs', 'failed_runs', 'total_credits']);
    same((await csv(page, 'errors-by-type')).rows, rows(`
        SELECT e.key AS error_type, sum(e.value::bigint) AS errors FROM analytics.daily_metrics AS d, jsonb_each_text(d.errors_by_type) AS e
        WHERE d.workspace_id = ${demo} AND d.metric_date BETWEEN '${first}' AND '${last}' GROUP BY 1 ORDER BY 2 DESC, e.key COLLATE "C"`), ['error_type', 'errors']);

    // What is shown is what is in the file.
    const shown = async (card, column) => page.locator(`#${card} tbody tr`).evaluateAll((lines, i) => lines.map((line) => line.children[i].textContent), column);
    assert.deepEqual(await shown('runs-by-outcome', 1), rows(metrics).map((row) => number(row.total_runs)));
    assert.deepEqual(await shown('active-users', 1), users.rows.map((row) => number(row.daily_active_users)));
    assert.deepEqual(await shown('agents-by-runs', 0), report.agents.items.map((item) => item.name));
    assert.deepEqual(await shown('agents-by-runs', 1), report.agents.items.map((item) => number(item.total_runs)));
    assert.deepEqual(await shown('errors-by-type', 1), report.errors.items.map((item) => number(item.errors)));
    assert.equal(await page.locator('#hours-of-the-week tbody td').count(), 168);
    assert.deepEqual(await page.locator('.triangle td.heat').allInnerTexts(), report.retention.items.flatMap((item) => item.retention_rates.map((rate) => percent(rate, 0))));
});

test('charts are drawn: a mark for each value', async (t) => {
    const { page, report } = await open(t, demo);
    const marks = (card) => page.locator(`#${card} .chart svg path`).evaluateAll((paths) => paths.map((path) => {
        const box = path.getBoundingClientRect();
        return { fill: getComputedStyle(path).fill, stroke: getComputedStyle(path).stroke, width: box.width, height: box.height };
    }).filter((mark) => mark.width > 0 && mark.height > 0));
    const tone = (name) => page.evaluate((key) => {
        const probe = document.createElement('i');
        probe.style.color = `var(--${key})`;
        document.body.append(probe);
        const colour = getComputedStyle(probe).color;
        probe.remove();
        return colour;
    }, name);
    const filled = async (card, name) => { const colour = await tone(name); return (await marks(card)).filter((mark) => mark.fill === colour).length; };
    const drawn = async (card, name) => { const colour = await tone(name); return (await marks(card)).filter((mark) => mark.stroke === colour && mark.width > 300).length; };
    assert.equal(await filled('runs-by-outcome', 'c1'), report.daily.filter((day) => day.successful_runs > 0).length);
    assert.equal(await filled('runs-by-outcome', 'failed'), report.daily.filter((day) => day.failed_runs > 0).length);
    assert.equal(await filled('credits-by-model', 'c2'), report.models.items[1].daily_credits.filter((value) => value > 0).length);
    assert.equal(await filled('who-came-who-stayed', 'c1'), report.lifecycle.items.filter((item) => item.returning_users > 0).length);
    for (const name of ['c1', 'c2', 'c4']) assert.equal(await drawn('active-users', name), 1, name);
    assert.equal(await drawn('success-rate', 'c1'), 1);
    assert.equal(await drawn('runtime', 'c4'), 1);
    assert.ok((await marks('hours-of-the-week')).length >= 168);
    assert.equal(await page.locator('.chart svg').count(), 7);
    assert.ok((await page.locator('svg.spark polyline').count()) >= 7 + report.agents.items.length);
});

test('hostile names stay text', async (t) => {
    const { page, report } = await open(t, made('hostile'));
    assert.equal(await page.evaluate(() => window.hacked), undefined);
    assert.deepEqual(await page.evaluate(() => [document.scripts.length, document.images.length, document.querySelectorAll('[onerror], [onload]').length]), [2, 0, 0]);
    const shown = (name) => name.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();
    assert.equal(await page.locator('h1').textContent(), shown(report.workspace.name));
    const names = async (card) => (await page.locator(`#${card} tbody th bdi`).evaluateAll((nodes) => nodes.map((node) => node.textContent)));
    assert.deepEqual(await names('agents-by-runs'), report.agents.items.map((item) => shown(item.name)));
    assert.deepEqual(await names('features-in-use'), report.features.items.map((item) => shown(item.event_name)));
    assert.deepEqual(await names('errors-by-type'), report.errors.items.map((item) => shown(item.error_type)));
    const legend = await page.locator('#credits-by-model .legend bdi').evaluateAll((nodes) => nodes.map((node) => node.textContent));
    assert.deepEqual(legend, report.models.items.map((item) => shown(item.model)));
    assert.equal(report.agents.items.length, 11);
    assert.match(await page.locator('.alerts').innerText(), /1 alert is firing/);
    assert.match(await page.locator('[data-figure=total_cost] .value').innerText(), /^\$/);

    // The tooltip of a chart shows a name that looks like markup.
    await page.locator('#credits-by-model .chart').scrollIntoViewIfNeeded();
    const chart = await page.locator('#credits-by-model .chart').boundingBox();
    await page.mouse.move(chart.x + chart.width * 0.9, chart.y + chart.height * 0.6);
    await page.locator('#credits-by-model .tip').waitFor();
    assert.equal(await page.evaluate(() => window.hacked), undefined);

    // A spreadsheet does not take a name for a formula.
    const file = await csv(page, 'agents-by-runs');
    assert.ok(file.rows.some((row) => row.name === '\'=HYPERLINK("http://example.org")'));
    assert.deepEqual(file.rows.map((row) => row.agent_id), report.agents.items.map((item) => item.agent_id));
});

test('ten thousand names are cut, and the page says so', async (t) => {
    const { page, report } = await open(t, made('many'));
    const card = async (id) => page.locator(`#${id}`).innerText();
    assert.match(await card('agents-by-runs'), new RegExp(`And ${number(report.agents.more.items)} more agents with ${number(report.agents.more.total_runs)} runs`));
    assert.match(await card('features-in-use'), new RegExp(`And ${number(report.features.more.items)} more names`));
    assert.equal(report.agents.items.length + report.agents.more.items, 10000);
    assert.ok((await page.content()).length < 1_000_000);
});

for (const [kind, workspace, range, words] of [
    ['an empty workspace', made('empty'), () => '', /no aggregated events yet/],
    ['a range in the future', demo, () => `, '${today()}'::date + 10, '${today()}'::date + 20`, /in the future/],
    ['a range before the first event', demo, () => ", '2020-01-01', '2020-02-01'", /before the first event/],
]) {
    test(`${kind} is said in words`, async (t) => {
        const { page } = await open(t, workspace, range());
        assert.match(await page.locator('.banner').innerText(), words);
        assert.equal(await page.locator('.chart').count(), 0);
    });
}

test('little data: one user, one day, no runs', async (t) => {
    const one = await open(t, made('one user'));
    assert.equal(await one.page.locator('[data-figure=active_users] .value').innerText(), '1');
    assert.match(await one.page.locator('[data-figure=active_users] .change').innerText(), /no earlier period/);
    const day = await open(t, demo, `, '${today()}'::date - 3, '${today()}'::date - 3`);
    assert.equal(await day.page.locator('#runs-by-outcome tbody tr').count(), 1);
    // A day whose neighbours have no runs has nothing to draw a line to.
    const few = await open(t, solo);
    const alone = few.report.daily.filter((day, i, days) => day.success_rate !== null && [days[i - 1], days[i + 1]].every((other) => (other?.success_rate ?? null) === null));
    assert.ok(alone.length > 0);
    const dots = await few.page.locator('#success-rate .chart svg path').evaluateAll((paths) => paths.map((path) => path.getBoundingClientRect())
        .filter((box) => box.width > 3 && box.width < 12 && Math.abs(box.width - box.height) < 1).length);
    assert.equal(dots, alone.length);
    const runs = await open(t, made('no runs'));
    assert.match(await runs.page.locator('#runs-by-outcome').innerText(), /No agent ran in these days/);
    assert.match(await runs.page.locator('#agents-by-runs').innerText(), /No agent ran/);
    assert.match(await runs.page.locator('#credits-by-model').innerText(), /No credits/);
});

test('running days are marked', async (t) => {
    const { page } = await open(t, demo, `, '${today()}'::date - 6, '${today()}'`);
    assert.match(await page.locator('header').innerText(), /shaded end of a chart is not final/);
    assert.equal((await page.locator('#runs-by-outcome tbody tr').last().evaluate((line) => line.lastElementChild.textContent)), 'not yet');
});

test('numbers, dates and the time zone are the reader\u2019s and the workspace\u2019s', async (t) => {
    const { page, report } = await open(t, demo, '', { locale: 'de-DE' });
    const german = new Intl.NumberFormat('de-DE');
    assert.equal(await page.locator('[data-figure=total_sessions] .value').innerText(), german.format(report.headline.total_sessions.value));
    const month = new Intl.DateTimeFormat('de-DE', { month: 'long', timeZone: 'UTC' }).format(new Date(`${report.range.end_date}T00:00Z`));
    assert.match(await page.locator('.period').innerText(), new RegExp(month));
    assert.match(await page.locator('header').innerText(), /Days in Europe\/Berlin/);
    assert.match(await page.locator('header').innerText(), /MEZ|MESZ|GMT\+[12]/);
});

const tall = { phone: { width: 390, height: 844 }, small: { width: 320, height: 640 }, tablet: { width: 768, height: 1024 }, wide: { width: 1600, height: 900 } };
for (const [name, viewport] of Object.entries(tall)) {
    test(`nothing overflows: ${name}`, async (t) => {
        for (const workspace of [demo, made('hostile'), made('many')]) {
            const { page } = await open(t, workspace, '', { viewport, colorScheme: 'dark' });
            for (const summary of await page.locator('summary').all()) await summary.click();
            assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), viewport.width);
            const widest = await page.locator('.chart svg').evaluateAll((nodes) => Math.max(...nodes.map((node) => node.getBoundingClientRect().right)));
            assert.ok(widest <= viewport.width);
        }
    });
}

// WCAG 2: text 4.5 to 1, marks 3 to 1, in light and dark.
const contrast = (a, b) => {
    const luminance = (colour) => {
        const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map(Number).map((v) => (/srgb/.test(colour) ? v : v / 255)).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
};
for (const colorScheme of ['light', 'dark']) {
    test(`colours are told apart: ${colorScheme}`, async (t) => {
        const { page } = await open(t, demo, '', { colorScheme });
        const tones = await page.evaluate(() => {
            const probe = document.body.appendChild(document.createElement('i'));
            const names = ['bg', 'card', 'ink', 'muted', 'good', 'bad', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'failed', 'idle'];
            return Object.fromEntries(names.map((name) => { probe.style.color = `var(--${name})`; return [name, getComputedStyle(probe).color]; }));
        });
        for (const back of ['bg', 'card']) {
            for (const name of ['ink', 'muted', 'good', 'bad']) assert.ok(contrast(tones[name], tones[back]) >= 4.5, `${name} on ${back}: ${contrast(tones[name], tones[back])}`);
        }
        for (const name of ['c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'failed', 'idle'])
            assert.ok(contrast(tones[name], tones.card) >= 3, `${name}: ${contrast(tones[name], tones.card)}`);
        // The darkest cell of the triangle: its colour lies half over the card.
        const mix = (a, b, share) => { const n = (c) => c.match(/[\d.]+/g).slice(0, 3).map(Number); return `rgb(${n(a).map((v, i) => v * share + n(b)[i] * (1 - share)).join(',')})`; };
        assert.ok(contrast(tones.ink, mix(tones.c1, tones.card, 0.54)) >= 4.5);
        assert.equal((await page.evaluate(() => getComputedStyle(document.body).backgroundColor)), tones.bg);
        const axis = await page.locator('#active-users .chart svg text').first().evaluate((node) => getComputedStyle(node).fill);
        assert.equal(axis, tones.muted);
    });
}

test('the colours follow the system while the page is open, and paper is light', async (t) => {
    const { page } = await open(t, demo, '', { colorScheme: 'dark' });
    const bar = () => page.locator('#runs-by-outcome .chart svg text').first().evaluate((node) => getComputedStyle(node).fill);
    const dark = await bar();
    await page.emulateMedia({ colorScheme: 'light' });
    await page.waitForFunction((old) => getComputedStyle(document.querySelector('#runs-by-outcome .chart svg text')).fill !== old, dark);
    await page.emulateMedia({ colorScheme: 'dark', media: 'print' });
    await page.waitForTimeout(200);
    assert.notEqual(await bar(), dark);
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
    assert.ok((await page.pdf({ format: 'A4' })).length > 20_000);
});

test('keyboard and screen reader', async (t) => {
    const { page } = await open(t, demo);
    const charts = page.locator('.chart');
    for (const chart of await charts.all()) {
        assert.equal(await chart.getAttribute('role'), 'img');
        assert.ok((await chart.getAttribute('aria-label')).length > 40);
    }
    // Each card has a heading, a table and a file; every control is reached by Tab and has a name.
    for (const card of await page.locator('.card').all()) {
        assert.equal(await card.locator('h3').count(), 1);
        assert.ok((await card.locator('table caption').count()) >= 1);
        assert.equal(await card.locator('button.csv').count(), 1);
    }
    assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('h1, h2, h3')].map((node) => node.tagName).join('').match(/H1(H2(H3)+)+/)?.[0].length > 20), true);
    const stops = [];
    for (let i = 0; i < 60; i++) {
        await page.keyboard.press('Tab');
        const stop = await page.evaluate(() => document.activeElement === document.body ? null : (document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent));
        if (stop === null) break;
        assert.ok(stop.trim().length > 0);
        stops.push(stop);
    }
    assert.ok(stops.filter((stop) => stop === 'Show the numbers').length >= 7);
    assert.ok(stops.filter((stop) => /^Download .* as CSV$/.test(stop)).length >= 11);
    await page.locator('#active-users summary').focus();
    await page.keyboard.press('Enter');
    assert.ok(await page.locator('#active-users table').isVisible());
});

test('the page fits the limits', async (t) => {
    const { page } = await open(t, demo);
    assert.ok(psql(`SELECT octet_length(analytics.report_page(${demo}))`) < 800_000);
    if (process.env.PICTURE) {
        await page.setViewportSize({ width: 1180, height: 900 });
        const bottom = await page.locator('#weekly-retention').evaluate((node) => node.getBoundingClientRect().bottom + window.scrollY);
        await page.waitForTimeout(300);
        await page.screenshot({ path: process.env.PICTURE, fullPage: true, clip: { x: 0, y: 0, width: 1180, height: Math.ceil(bottom) + 24 } });
        assert.ok(readFileSync(process.env.PICTURE).length < 300_000);
    }
});

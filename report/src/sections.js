// What the page shows of the report, section by section. report/README.md describes the data.
import { overTime, sparkline, weekGrid } from './charts.js';
import { chartCard, emptyCard, tableCard } from './card.js';
import { element, foreign, printable } from './dom.js';
import * as format from './format.js';
import { table } from './table.js';

const sum = (items, key) => items.reduce((total, item) => total + (Number(item[key]) || 0), 0);
const known = (items, key) => items.filter((item) => item[key] !== null && item[key] !== undefined);
const shortId = (id) => id.slice(0, 8);
const share = (value) => format.percent(value);
const exactShare = (value) => format.percent(value, 2);

// "between 12 (3 Nov) and 70 (27 Nov)", for those who cannot see a line.
function extremes(items, key, show) {
    const values = known(items, key);
    if (values.length === 0) return 'no values';
    const by = (a, b) => Number(a[key]) - Number(b[key]);
    const sorted = [...values].sort(by);
    const say = (item) => `${show(item[key])} on ${format.shortDay(item.date)}`;
    return `lowest ${say(sorted[0])}, highest ${say(sorted.at(-1))}, last ${say(values.at(-1))}`;
}

const finalColumn = { key: 'is_final', label: 'Final', show: (value) => (value ? 'yes' : 'not yet') };
const dayColumn = { key: 'date', label: 'Day', show: (day) => format.longDay(day) };

function change(figure, kind, report) {
    if (figure.value === null) return { text: '', tone: 'flat' };
    if (!hasPrevious(report)) return { text: 'no earlier period', tone: 'flat' };
    if (report.range.end_date >= report.range.today) return { text: 'not over yet', tone: 'flat' };
    const moved = kind.rate ? figure.difference : figure.change;
    if (moved === null) return { text: 'nothing to compare with', tone: 'flat' };
    const arrow = moved > 0 ? '\u25b2' : moved < 0 ? '\u25bc' : '=';
    const tone = moved === 0 || !kind.better ? 'flat' : (moved > 0) === (kind.better === 'more') ? 'good' : 'bad';
    return { text: `${arrow} ${kind.rate ? format.points(moved) : format.change(moved)}`, tone };
}

// A period of which only a part has data would make any change look large.
export const hasPrevious = (report) =>
    report.freshness.first_day !== null && report.freshness.first_day <= report.range.previous_start_date;

export function figures(report) {
    const cost = report.headline.total_cost;
    const kinds = [
        { key: 'active_users', daily: 'daily_active_users', label: 'Active users', show: format.count, better: 'more' },
        { key: 'total_sessions', daily: 'total_sessions', label: 'Sessions', show: format.count, better: 'more' },
        { key: 'total_runs', daily: 'total_runs', label: 'Agent runs', show: format.count, better: 'more' },
        { key: 'success_rate', daily: 'success_rate', label: 'Success rate', show: share, better: 'more', rate: true },
        { key: 'p95_runtime_seconds', daily: 'p95_runtime_seconds', label: 'Runtime (p95)', show: format.seconds, better: 'less' },
        cost.value !== null
            ? { key: 'total_cost', daily: 'total_cost', label: 'Cost', show: (value) => format.money(value, report.workspace.currency),
                showPrevious: (value) => format.money(value, cost.previous_currency) }
            : { key: 'total_credits', daily: 'total_credits', label: 'Credits', show: format.amount,
                note: cost.reason ? `no cost: ${cost.reason}` : null },
        { key: 'error_rate', daily: 'error_rate', label: 'Error rate', show: exactShare, better: 'less', rate: true },
    ];
    return element('ul', { class: 'figures', 'aria-label': 'Headline figures' }, kinds.map((kind) => {
        const figure = report.headline[kind.key];
        const moved = change(figure, kind, report);
        return element('li', { class: 'figure', 'data-figure': kind.key },
            element('div', { class: 'label' }, kind.label),
            element('div', { class: 'value' }, kind.show(figure.value)),
            element('div', { class: `change ${moved.tone}` }, moved.text),
            hasPrevious(report) && figure.previous !== null
                ? element('div', { class: 'before' }, `before: ${(kind.showPrevious ?? kind.show)(figure.previous)}`) : null,
            kind.note ? element('div', { class: 'before' }, kind.note) : null,
            sparkline(report.daily.map((day) => day[kind.daily])));
    }));
}

export function activeUsers(report) {
    const series = [
        { key: 'daily_active_users', name: 'Daily', label: 'in the day', tone: 'c1', kind: 'line', width: 2.5, area: true },
        { key: 'weekly_active_users', name: 'Weekly', label: 'in 7 days', tone: 'c2', kind: 'line' },
        { key: 'monthly_active_users', name: 'Monthly', label: 'in 30 days', tone: 'c4', kind: 'line' },
    ];
    const rows = report.daily;
    if (known(rows, 'daily_active_users').length === 0) return emptyCard({ title: 'Active users', wide: true }, 'Nobody was active in these days.');
    return chartCard({
        report, title: 'Active users', wide: true, rows, series,
        caption: 'Distinct users with any event, in the day and in the 7 and 30 days that end with it.',
        summary: `Lines over ${rows.length} days. Daily active users: ${extremes(rows, 'daily_active_users', format.count)}. `
            + `Within 30 days: ${extremes(rows, 'monthly_active_users', format.count)}.`,
        chart: () => overTime({ items: rows, series, show: (value) => format.count(value), annotations: report.annotations, axis: { whole: true } }),
        columns: [dayColumn, ...series.map((s) => ({ key: s.key, label: s.name, show: format.count })),
            { key: 'stickiness', label: 'Daily / monthly', show: share }, { key: 'total_sessions', label: 'Sessions', show: format.count }, finalColumn],
    });
}

const periodLabel = { daily: format.shortDay, weekly: format.shortDay, monthly: format.month };
const periodTitle = { daily: format.longDay, weekly: (day) => `Week of ${format.fullDay(day)}`, monthly: format.month };

export function lifecycle(report) {
    const { period, items } = report.lifecycle;
    const rows = items.map((item) => ({ ...item, date: item.period_start }));
    const series = [
        { key: 'new_users', name: 'New', tone: 'c2', kind: 'bar' },
        { key: 'returning_users', name: 'Returning', tone: 'c1', kind: 'bar' },
        { key: 'resurrecting_users', name: 'Back after a pause', tone: 'c3', kind: 'bar' },
        { key: 'dormant_users', name: 'Gone quiet', tone: 'idle', kind: 'bar', negative: true },
    ];
    if (rows.length === 0) return emptyCard({ title: 'Who came, who stayed' }, 'Nobody was active in these days.');
    const unit = { daily: 'day', weekly: 'week', monthly: 'month' }[period];
    return chartCard({
        report, title: 'Who came, who stayed', wide: takesBothColumns(report), rows, series,
        caption: `Users by whether they were active in the ${unit} before. Below the line: active then, not now.`,
        summary: `Stacked bars, one a ${unit}. ${rows.map((row) => `${periodTitle[period](row.date)}: `
            + series.map((s) => `${format.count(row[s.key])} ${s.name.toLowerCase()}`).join(', ')).join('. ')}.`,
        chart: () => overTime({ items: rows, series, show: (value) => format.count(value), label: periodLabel[period], title: periodTitle[period], stacked: true, axis: { whole: true } }),
        columns: [{ key: 'period_start', label: unit[0].toUpperCase() + unit.slice(1), show: (day) => periodTitle[period](day) },
            ...series.map((s) => ({ key: s.key, label: s.name, show: format.count })), finalColumn],
    });
}

const retentionWidth = (report) => Math.max(0, ...report.retention.items.map((item) => item.retention_rates.length));
// A long triangle needs the whole width, and so leaves none beside it.
const takesBothColumns = (report) => retentionWidth(report) > 9;

export function retention(report) {
    const { items } = report.retention;
    const title = 'Weekly retention';
    const width = retentionWidth(report);
    if (width === 0) return emptyCard({ title }, 'No week of new users is complete yet.');
    const weeks = [...Array(width).keys()];
    const heat = (rate) => Math.round(4 + 0.5 * rate);
    const picture = element('table', { class: width < 6 ? 'triangle short' : 'triangle' },
        element('caption', { class: 'unseen' }, `${title}: share of each week's new users who were active in the weeks after`),
        element('thead', {}, element('tr', {},
            element('th', { scope: 'col', class: 'text' }, 'Week of'), element('th', { scope: 'col' }, 'Users'),
            weeks.map((week) => element('th', { scope: 'col', title: `week ${week}` }, format.count(week))))),
        element('tbody', {}, items.map((item) => element('tr', {},
            element('th', { scope: 'row', class: 'text' }, format.shortDay(item.cohort_date)),
            element('td', {}, format.count(item.initial_users)),
            weeks.map((week) => (week < item.retention_rates.length
                ? element('td', { class: 'heat', style: `--share:${heat(item.retention_rates[week])}%`, title: `${format.count(item.retained_users[week])} of ${format.count(item.initial_users)}` },
                    format.percent(item.retention_rates[week], 0))
                : element('td', { class: 'none' })))))));
    return tableCard({
        report, title, picture, wide: takesBothColumns(report), caption: 'Of the users first seen in a week: the share active in the n-th week after. Only weeks that are over.',
        columns: ['cohort_date', 'period_number', 'initial_users', 'retained_users', 'retention_rate'].map((key) => ({ key })),
        rows: items.flatMap((item) => item.retention_rates.map((rate, week) => ({
            cohort_date: item.cohort_date, period_number: week, initial_users: item.initial_users,
            retained_users: item.retained_users[week], retention_rate: rate,
        }))),
    });
}

export function runs(report) {
    const rows = report.daily.map((day) => ({
        ...day, other_runs: day.total_runs - day.successful_runs - day.failed_runs - day.cancelled_runs,
    }));
    const total = sum(rows, 'total_runs');
    if (total === 0) return [emptyCard({ title: 'Runs by outcome', wide: true }, 'No agent ran in these days.')];
    const other = sum(rows, 'other_runs');
    const series = [
        { key: 'successful_runs', name: 'Successful', tone: 'c1', kind: 'bar' },
        { key: 'failed_runs', name: 'Failed', tone: 'failed', kind: 'bar' },
        { key: 'cancelled_runs', name: 'Cancelled', tone: 'idle', kind: 'bar' },
        ...(other > 0 ? [{ key: 'other_runs', name: 'Outcome not told', tone: 'c3', kind: 'bar' }] : []),
    ];
    const line = (key, name, tone) => ({ key, name, tone, kind: 'line' });
    const rate = [line('success_rate', 'Success rate', 'c1')];
    const runtime = [line('median_runtime_seconds', 'Half of the runs', 'c2'), line('p95_runtime_seconds', '95 % of the runs', 'c4')];
    const unit = format.durationUnit(Math.max(...known(rows, 'p95_runtime_seconds').map((row) => row.p95_runtime_seconds), 0));
    const lowest = Math.min(...known(rows, 'success_rate').map((row) => row.success_rate), 100);
    const [least, interval] = [[90, 2], [80, 5], [50, 10], [0, 20]].find(([from]) => lowest >= from);
    return [
        chartCard({
            report, title: 'Runs by outcome', wide: true, rows, series,
            caption: `${format.count(total)} runs: ${series.map((s) => `${format.count(sum(rows, s.key))} ${s.name.toLowerCase()}`).join(', ')}.`,
            summary: `Stacked bars, one a day. Runs: ${extremes(rows, 'total_runs', format.count)}. Failed: ${extremes(rows, 'failed_runs', format.count)}.`,
            chart: () => overTime({ items: rows, series, show: (value) => format.count(value), stacked: true, annotations: report.annotations, axis: { whole: true } }),
            columns: [dayColumn, { key: 'total_runs', label: 'Runs', show: format.count }, ...series.map((s) => ({ key: s.key, label: s.name, show: format.count })), finalColumn],
        }),
        known(rows, 'success_rate').length === 0 ? emptyCard({ title: 'Success rate' }, 'No run succeeded or failed in these days.') : chartCard({
            report, title: 'Success rate', rows, series: rate,
            caption: 'Successful runs, of those that succeeded or failed.',
            summary: `Line over the days: ${extremes(rows, 'success_rate', share)}.`,
            chart: () => overTime({ items: rows, series: rate, show: (value) => share(value), axis: { min: least, max: 100, interval } }),
            columns: [dayColumn, { key: 'success_rate', label: 'Success rate', show: exactShare },
                { key: 'successful_runs', label: 'Successful', show: format.count }, { key: 'failed_runs', label: 'Failed', show: format.count }, finalColumn],
        }),
        known(rows, 'p95_runtime_seconds').length === 0 ? emptyCard({ title: 'Runtime' }, 'No run of these days told how long it took.') : chartCard({
            report, title: 'Runtime', rows, series: runtime,
            caption: 'How long it took until half of a day\u2019s runs, and 95 % of them, had ended.',
            summary: `Lines over the days. Median: ${extremes(rows, 'median_runtime_seconds', format.seconds)}. 95 %: ${extremes(rows, 'p95_runtime_seconds', format.seconds)}.`,
            chart: () => overTime({ items: rows, series: runtime, show: unit.show, scale: unit.length }),
            columns: [dayColumn, { key: 'median_runtime_seconds', label: 'Median', show: format.seconds },
                { key: 'p95_runtime_seconds', label: '95 %', show: format.seconds }, finalColumn],
        }),
    ];
}

export function agents(report) {
    const { items, more } = report.agents;
    const title = 'Agents by runs';
    if (items.length === 0) return emptyCard({ title, wide: true }, 'No agent ran in these days.');
    const costs = items.some((item) => item.total_cost !== null);
    const columns = [
        { key: 'agent', label: 'Agent', text: true, show: (value, row) => (row.name === null ? element('code', { title: row.agent_id }, shortId(row.agent_id)) : foreign(row.name)) },
        { key: 'total_runs', label: 'Runs', show: format.count, bar: true },
        ...(hasPrevious(report) ? [{ key: 'previous_total_runs', label: 'Before', show: format.count, minor: true }] : []),
        { key: 'daily_runs', label: 'By day', show: sparkline, minor: true },
        { key: 'success_rate', label: 'Success', show: share },
        { key: 'median_runtime_seconds', label: 'Median', show: format.seconds, minor: true },
        { key: 'p95_runtime_seconds', label: '95 %', show: format.seconds },
        { key: 'distinct_users', label: 'Users', show: format.count, minor: true },
        costs ? { key: 'total_cost', label: 'Cost', show: (value) => format.money(value, report.workspace.currency) }
            : { key: 'total_credits', label: 'Credits', show: format.amount },
    ];
    const file = ['agent_id', 'name', 'total_runs', 'previous_total_runs', 'successful_runs', 'failed_runs', 'cancelled_runs', 'success_rate',
        'median_runtime_seconds', 'p95_runtime_seconds', 'distinct_users', 'total_credits', 'total_cost'];
    return tableCard({
        report, title, wide: true, rows: items, columns: file.map((key) => ({ key })),
        caption: 'Success: of the runs that succeeded or failed. 95 %: runtime within which that share of the runs ended.',
        picture: table(columns, items, title), note: furtherNote(more, 'agent', 'total_runs', 'runs'),
    });
}

const furtherNote = (more, noun, key, unit) => (more.items === 0 ? null
    : `And ${format.count(more.items)} more ${noun}${more.items === 1 ? '' : 's'} with ${format.count(more[key])} ${unit} together.`);

const tones = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6'];

export function models(report) {
    const { items, more } = report.models;
    const title = 'Credits by model';
    if (items.length === 0) return emptyCard({ title }, 'No credits were used in these days.');
    const rows = report.daily.map((day, i) => ({
        date: day.date, is_final: day.is_final, ...Object.fromEntries(items.map((item, m) => [`model_${m}`, Number(item.daily_credits[i])])),
    }));
    const all = sum(items, 'credits') + Number(more.credits);
    const series = items.map((item, m) => ({
        key: `model_${m}`, name: printable(item.model), tone: tones[m], kind: 'bar',
        label: element('span', {}, foreign(item.model), ` ${format.percent((100 * item.credits) / all, 0)}`,
            item.cost === null ? '' : ` (${format.money(item.cost, report.workspace.currency)})`),
    }));
    return chartCard({
        report, title, rows, series,
        caption: `${format.amount(all)} credits.${more.items ? ` ${format.count(more.items)} more models with ${format.amount(more.credits)} are not drawn.` : ''}`,
        summary: `Stacked bars, one a day. ${items.map((item) => `${printable(item.model)}: ${format.amount(item.credits)} credits`).join(', ')}.`,
        chart: () => overTime({ items: rows, series, show: (value) => format.amount(value), stacked: true }),
        columns: [dayColumn, ...series.map((s) => ({ key: s.key, label: foreign(s.name), show: format.amount })), finalColumn],
    });
}

export function features(report) {
    const { items, more } = report.features;
    const title = 'Features in use';
    if (items.length === 0) return emptyCard({ title }, 'No named feature was used in these days.');
    const columns = [
        { key: 'event_name', label: 'Feature', text: true, show: (value, row) => [foreign(value), element('span', { class: 'kind' }, row.event_type)] },
        { key: 'events', label: 'Uses', show: format.count, bar: true },
        ...(hasPrevious(report) ? [{ key: 'previous_events', label: 'Before', show: format.count }] : []),
        { key: 'distinct_users', label: 'Users', show: format.count },
    ];
    return tableCard({
        report, title, rows: items, columns: ['event_type', 'event_name', 'events', 'previous_events', 'distinct_users'].map((key) => ({ key })),
        caption: 'Events with a name, by how often they happened, and the users behind them.',
        picture: table(columns, items, title), note: furtherNote(more, 'name', 'events', 'uses'),
    });
}

export function errors(report) {
    const { items, more } = report.errors;
    const title = 'Errors by type';
    if (items.length === 0) return emptyCard({ title }, 'No error was reported in these days.');
    const columns = [
        { key: 'error_type', label: 'Type', text: true },
        { key: 'errors', label: 'Errors', show: format.count, bar: true },
        ...(hasPrevious(report) ? [{ key: 'previous_errors', label: 'Before', show: format.count }] : []),
        { key: 'daily_errors', label: 'By day', show: sparkline },
    ];
    return tableCard({
        report, title, rows: items, columns: ['error_type', 'errors', 'previous_errors'].map((key) => ({ key })),
        caption: `${format.count(sum(items, 'errors') + more.errors)} errors: error events, and failed runs without one.`,
        picture: table(columns, items, title), note: furtherNote(more, 'type', 'errors', 'errors'),
    });
}

export function hours(report) {
    const title = 'Hours of the week';
    const cells = report.hours;
    if (!cells.some((cell) => cell.hours > 0)) return emptyCard({ title }, 'Hours are not kept this long, or none is complete yet.');
    const busiest = [...cells].sort((a, b) => (b.avg_active_users ?? -1) - (a.avg_active_users ?? -1))[0];
    const when = (cell) => `${format.weekday(cell.day_of_week, 'long')} at ${format.time(cell.hour_of_day)}`;
    const rows = [1, 2, 3, 4, 5, 6, 7].map((day) => Object.fromEntries([['day', day],
        ...cells.filter((cell) => cell.day_of_week === day).map((cell) => [`h${cell.hour_of_day}`, cell.avg_active_users])]));
    const mean = (value) => format.decimal(value, 1);
    return chartCard({
        report, title, rows: cells,
        caption: `Active users in an hour, on average, by the clock of ${report.workspace.time_zone}. Busiest: ${when(busiest)}, with ${mean(busiest.avg_active_users)}.`,
        summary: `Grid of 7 days by 24 hours. Busiest: ${when(busiest)}, with ${mean(busiest.avg_active_users)} active users on average.`,
        chart: () => weekGrid({ cells, show: (cell) => [['Active users, mean', mean(cell.avg_active_users)], ['at most', format.count(cell.max_active_users)],
            ['Runs', format.count(cell.total_runs)], ['Such hours', format.count(cell.hours)]] }),
        columns: ['day_of_week', 'hour_of_day', 'hours', 'avg_active_users', 'max_active_users', 'total_runs'].map((key) => ({ key })),
        table: table([{ key: 'day', label: 'Day', show: (day) => format.weekday(day, 'long') },
            ...[...Array(24).keys()].map((h) => ({ key: `h${h}`, label: format.hour(h), show: mean }))], rows, title),
    });
}

export function alerts(report) {
    const { items, more } = report.alerts;
    const firing = items.filter((item) => item.state === 'firing');
    if (items.length === 0) return null;
    return element('section', { class: 'alerts', 'aria-labelledby': 'alerts-title' },
        element('h3', { id: 'alerts-title' }, firing.length > 0 ? `${format.count(firing.length + more.items)} ${firing.length + more.items === 1 ? 'alert is' : 'alerts are'} firing` : 'Alerts are pending'),
        element('ul', {}, items.map((item) => element('li', {},
            element('span', { class: 'severity' }, item.severity), ': ', foreign(item.name),
            item.state === 'firing' ? '' : ' (pending)', `, since ${format.instant(item.since, report.workspace.time_zone)}`,
            item.reason === null ? '' : [' \u2013 ', foreign(item.reason)]))),
        more.items > 0 ? element('p', { class: 'note' }, `And ${format.count(more.items)} more.`) : null);
}

export function annotations(report) {
    if (report.annotations.length === 0) return null;
    return element('section', { class: 'annotations', 'aria-labelledby': 'annotations-title' },
        element('h3', { id: 'annotations-title' }, 'What happened'),
        element('ol', {}, report.annotations.map((item) => element('li', {}, `${format.longDay(item.date)}: `, foreign(item.title)))));
}

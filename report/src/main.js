import { element, foreign, printable } from './dom.js';
import * as format from './format.js';
import * as sections from './sections.js';

const contract = 1;

function header(report) {
    const { workspace, range, freshness } = report;
    const provisional = [...report.daily, ...report.lifecycle.items].some((item) => !item.is_final);
    const states = [`Days in ${workspace.time_zone}`];
    if (freshness.newest_final_day !== null) states.push(`final up to ${format.fullDay(freshness.newest_final_day)}`);
    if (freshness.computed_at !== null) states.push(`last computed ${format.instant(freshness.computed_at, workspace.time_zone)}`);
    return element('header', {},
        element('p', { class: 'kicker' }, 'Product and agent report'),
        element('h1', {}, workspace.name === null ? `Workspace ${workspace.workspace_id}` : foreign(workspace.name)),
        element('p', { class: 'period' }, format.range(range.start_date, range.end_date),
            ` \u00b7 ${format.count(range.days)} ${range.days === 1 ? 'day' : 'days'}`,
            sections.hasPrevious(report) ? element('span', { class: 'meta' }, `, compared with ${format.range(range.previous_start_date, range.previous_end_date)}`) : null),
        element('p', { class: 'meta' }, states.join(' \u00b7 ')),
        provisional ? element('p', { class: 'meta' }, 'The shaded end of a chart is not final: its days are still running or may still receive events.') : null);
}

// Why there is nothing to draw, or null.
function nothing(report) {
    const { range, freshness } = report;
    if (freshness.first_day === null) return 'This workspace has no aggregated events yet. Once there are some, this page shows them.';
    if (range.start_date > range.today) return `These days are in the future: today is ${format.fullDay(range.today)}.`;
    if (range.end_date < freshness.first_day) return `These days are before the first event, which was on ${format.fullDay(freshness.first_day)}.`;
    if (report.daily.every((day) => day.total_events === 0)) return `Nothing happened in these days. The last day with an event is ${format.fullDay(freshness.newest_day)}.`;
    return null;
}

const grid = (title, ...cards) => [element('h2', {}, title), element('div', { class: 'grid' }, cards.flat())];

const footer = (report) => element('footer', {},
    element('p', {}, `Made ${format.instant(report.generated_at, report.workspace.time_zone)} from workspace ${report.workspace.workspace_id}. Days and hours are those of ${report.workspace.time_zone}; `
        + 'numbers and dates are written as this browser\u2019s language does.'),
    element('p', {}, 'Distinct users of several days are counted once. Percentiles of several days are within 1 %. '
        + 'A run that was announced several times is one run. Success rate: successful runs of those that succeeded or failed. Error rate: errors of all events.'));

function page(report) {
    if (report === null) return [element('h1', {}, 'No report'), element('p', { class: 'banner' }, 'There is no such workspace, or it is not yours to see.')];
    if (report.version !== contract)
        return [element('h1', {}, 'Report'), element('p', { class: 'banner' }, `This page reads version ${contract} of the report, not version ${printable(report.version)}. Build and install it again: make report, make install-report.`)];
    const words = nothing(report);
    if (words !== null) return [header(report), sections.alerts(report), element('p', { class: 'banner', role: 'status' }, words), footer(report)];
    return [
        header(report), sections.alerts(report), sections.figures(report), sections.annotations(report),
        ...grid('Users', sections.activeUsers(report), sections.lifecycle(report), sections.retention(report)),
        ...grid('Runs', sections.runs(report)),
        ...grid('Agents', sections.agents(report)),
        ...grid('Use and consumption', sections.models(report), sections.hours(report), sections.features(report), sections.errors(report)),
        footer(report),
    ];
}

const report = JSON.parse(document.getElementById('report').textContent);
document.title = report?.workspace ? `${printable(report.workspace.name ?? report.workspace.workspace_id)}: ${report.range.start_date} to ${report.range.end_date}` : 'Report';
document.getElementById('page').append(...page(report).filter((node) => node !== null));

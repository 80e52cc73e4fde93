// A card: title, a sentence, the picture, and below it the numbers as a table and as a file.
import { draw } from './charts.js';
import { element } from './dom.js';
import { download, scrollable, table } from './table.js';

const legend = (series) => element('ul', { class: 'legend' },
    series.map((s) => element('li', {}, element('span', { class: 'swatch', style: `--tone:var(--${s.tone})` }), s.label ?? s.name)));

const slug = (text) => text.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '');

const card = ({ title, caption, wide }, ...content) => element('section', { class: wide ? 'card wide' : 'card', id: slug(title), 'aria-labelledby': `${slug(title)}-title` },
    element('h3', { id: `${slug(title)}-title` }, title),
    caption ? element('p', { class: 'caption' }, caption) : null,
    ...content);

export const emptyCard = (options, words) => card(options, element('p', { class: 'empty' }, words));

// report.files names the file: workspace, topic, days.
const foot = ({ title, columns, rows, report }, numbers) => element('div', { class: 'foot' },
    numbers ? element('details', {}, element('summary', {}, 'Show the numbers'), scrollable(numbers, `${title}, the numbers`)) : element('div', { class: 'grow' }),
    download(`${slug(title)}-${report.range.start_date}-${report.range.end_date}.csv`, title, columns, rows));

// A chart that ECharts draws; summary says in words what it shows.
export function chartCard(options) {
    const box = element('div', { class: 'chart', role: 'img', 'aria-label': options.summary });
    const node = card(options, options.series && options.series.length > 1 ? legend(options.series) : null, box,
        foot(options, options.table ?? table(options.columns, options.rows, options.title)));
    requestAnimationFrame(() => draw(box, options.chart));
    return node;
}

// A table that is its own picture.
export const tableCard = (options) => card(options,
    element('div', { class: 'wrap', role: 'region', tabindex: '0', 'aria-label': options.title }, options.picture),
    options.note ? element('p', { class: 'note' }, options.note) : null,
    foot(options, null));

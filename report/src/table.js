// Tables, and the same rows as a file of comma-separated values.
import { element, foreign } from './dom.js';

// column: { key, label, show: value => text or node, text: true for words, bar: true for a bar behind the number }
export function table(columns, rows, caption) {
    const largest = Object.fromEntries(columns.filter((c) => c.bar)
        .map((c) => [c.key, Math.max(...rows.map((row) => Number(row[c.key]) || 0), 0)]));
    const cell = (column, row, first) => {
        const value = row[column.key];
        const shown = column.show ? column.show(value, row) : column.text ? foreign(value) : String(value ?? '\u2013');
        const share = column.bar && largest[column.key] > 0 ? (100 * value) / largest[column.key] : 0;
        return element(first ? 'th' : 'td', {
            scope: first ? 'row' : null,
            class: [column.text ? 'text' : 'number', column.bar ? 'bar' : null, column.minor ? 'minor' : null].filter(Boolean).join(' '),
            style: column.bar ? `--share:${share.toFixed(1)}%` : null,
        }, shown);
    };
    return element('table', {},
        element('caption', { class: 'unseen' }, caption),
        element('thead', {}, element('tr', {}, columns.map((column) =>
            element('th', { scope: 'col', class: [column.text ? 'text' : 'number', column.minor ? 'minor' : null].filter(Boolean).join(' ') }, column.label)))),
        element('tbody', {}, rows.map((row) => element('tr', {}, columns.map((column, i) => cell(column, row, i === 0))))));
}

export const scrollable = (content, label) =>
    element('div', { class: 'scroll', role: 'region', tabindex: '0', 'aria-label': label }, content);

// RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe before it.
const field = (value) => {
    if (value === null || value === undefined) return '';
    let text = String(value);
    if (typeof value === 'string' && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
export const csv = (columns, rows) =>
    `\ufeff${[columns.map((c) => c.key), ...rows.map((row) => columns.map((c) => row[c.key]))]
        .map((line) => line.map(field).join(',')).join('\r\n')}\r\n`;

function save(name, text) {
    const address = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
    const link = element('a', { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export const download = (name, title, columns, rows) =>
    element('button', { type: 'button', class: 'csv', 'aria-label': `Download ${title} as CSV`, onclick: () => save(name, csv(columns, rows)) },
        'CSV');

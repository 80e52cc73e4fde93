// Charts: ECharts with only what is used, drawn as SVG. Each function gives the options of one chart; draw() keeps the
// charts in step with the width of their boxes and with light, dark and paper.
import { BarChart, HeatmapChart, LineChart } from 'echarts/charts';
import { GridComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent, VisualMapComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { element, printable } from './dom.js';
import * as format from './format.js';

use([BarChart, HeatmapChart, LineChart, GridComponent, MarkAreaComponent, MarkLineComponent, TooltipComponent, VisualMapComponent, SVGRenderer]);

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const fontSize = 12;

// The tooltip is built of elements: ECharts would read a string as markup.
const tooltip = (title, lines) => element('div', { class: 'tip' },
    element('div', { class: 'tip-title' }, title),
    lines.map(([name, value, tone]) => element('div', { class: 'tip-line' },
        tone ? element('span', { class: 'swatch', style: `--tone:${tone}` }) : null,
        element('span', { class: 'tip-name' }, name), element('span', { class: 'tip-value' }, value))));

const tooltipStyle = () => ({
    confine: true, backgroundColor: colour('card'), borderColor: colour('line'), borderWidth: 1, padding: [8, 10],
    textStyle: { color: colour('ink'), fontSize: 13 }, extraCssText: 'box-shadow: 0 2px 12px rgb(0 0 0 / 18%); border-radius: 6px;',
});

const axisText = () => ({ color: colour('muted'), fontSize, fontFamily: 'inherit' });

const valueAxis = (show, options = {}) => ({
    type: 'value', splitNumber: 3, axisLabel: { ...axisText(), formatter: show }, axisLine: { show: false }, axisTick: { show: false },
    splitLine: { lineStyle: { color: colour('line') } }, ...options,
});

const dayAxis = (days, label, bars) => ({
    type: 'category', data: days, boundaryGap: bars, axisTick: { show: false }, axisLine: { lineStyle: { color: colour('axis') } },
    axisLabel: { ...axisText(), formatter: label, hideOverlap: true, alignMinLabel: bars ? undefined : 'left' },
});

// Days that are not final lie under a veil; annotations are dashed lines.
const marks = (items, annotations) => ({
    markArea: {
        silent: true, itemStyle: { color: colour('veil') },
        data: items.flatMap((item, i) => (item.is_final ? [] : [[{ xAxis: i }, { xAxis: i }]])),
    },
    markLine: {
        silent: true, symbol: 'none', lineStyle: { color: colour('muted'), type: 'dashed', width: 1 },
        label: { formatter: ({ data }) => data.number, color: colour('muted'), fontSize: 11 },
        data: annotations.flatMap((annotation, i) => {
            const place = items.findIndex((item) => item.date === annotation.date);
            return place < 0 ? [] : [{ xAxis: place, number: String(i + 1) }];
        }),
    },
});

// A value without neighbours: a line cannot show it, a dot does.
const isAlone = (items, key, i) => [items[i - 1], items[i + 1]].every((item) => (item?.[key] ?? null) === null);

// A chart over time. series: { key, name, tone, kind: 'line' | 'bar', negative, width }; items have .date and .is_final.
// show writes a value; the axis counts in units of scale.
export function overTime({ items, series, show, annotations = [], label = format.shortDay, title = format.longDay, stacked = false, scale = 1, axis = {} }) {
    const days = items.map((item) => item.date);
    const bars = series[0].kind === 'bar';
    const value = (item, { key, negative }) => (item[key] === null || item[key] === undefined ? null : (negative ? -1 : 1) * item[key] / scale);
    return {
        animation: false, textStyle: { fontFamily: 'inherit' },
        grid: { left: 4, right: 12, top: 14, bottom: 2, containLabel: true },
        xAxis: dayAxis(days, label, bars),
        yAxis: valueAxis((number) => show(Math.abs(number) * scale), { minInterval: axis.whole ? 1 : undefined, ...axis }),
        tooltip: {
            ...tooltipStyle(), trigger: 'axis', axisPointer: { type: bars ? 'shadow' : 'line', lineStyle: { color: colour('axis') }, shadowStyle: { color: colour('veil') } },
            formatter: (points) => {
                const item = items[[points].flat()[0].dataIndex];
                return tooltip(title(item.date) + (item.is_final ? '' : ' (not final)'),
                    series.map((s) => [s.name, show(item[s.key] ?? null), colour(s.tone)]));
            },
        },
        series: series.map((s, i) => ({
            type: s.kind, name: printable(s.name), stack: stacked ? 'all' : undefined, data: items.map((item) => value(item, s)),
            itemStyle: { color: colour(s.tone) }, barCategoryGap: items.length > 60 ? '10%' : '28%', barMaxWidth: 44,
            ...(s.kind === 'line' && {
                showSymbol: true, symbol: 'circle', symbolSize: (_, { dataIndex }) => (isAlone(items, s.key, dataIndex) ? 6 : 0), lineStyle: { color: colour(s.tone), width: s.width ?? 2 }, connectNulls: false,
                areaStyle: s.area ? { color: colour(s.tone), opacity: 0.1 } : undefined,
            }),
            emphasis: { disabled: true },
            ...(i === 0 && marks(items, annotations)),
        })),
    };
}

// The hours of a week: a grid of seven days by 24 hours.
export function weekGrid({ cells, show }) {
    const largest = Math.max(...cells.map((cell) => Number(cell.avg_active_users) || 0), 0.01);
    return {
        animation: false, textStyle: { fontFamily: 'inherit' },
        grid: { left: 4, right: 4, top: 4, bottom: 2, containLabel: true },
        xAxis: {
            type: 'category', data: [...Array(24).keys()], axisLine: { show: false }, axisTick: { show: false },
            axisLabel: { ...axisText(), formatter: (number) => format.hour(Number(number)), interval: (i) => i % 6 === 0, hideOverlap: true },
        },
        yAxis: {
            type: 'category', data: [1, 2, 3, 4, 5, 6, 7], inverse: true, axisLine: { show: false }, axisTick: { show: false },
            axisLabel: { ...axisText(), formatter: (number) => format.weekday(Number(number)) },
        },
        visualMap: { show: false, min: 0, max: largest, inRange: { color: [colour('heat-low'), colour('c1')] } },
        tooltip: {
            ...tooltipStyle(), trigger: 'item',
            formatter: ({ dataIndex }) => {
                const cell = cells[dataIndex];
                return tooltip(`${format.weekday(cell.day_of_week, 'long')}, ${format.time(cell.hour_of_day)}`, show(cell));
            },
        },
        series: [{
            type: 'heatmap', data: cells.map((cell) => [cell.hour_of_day, cell.day_of_week - 1, cell.avg_active_users === null ? '-' : Number(cell.avg_active_users)]),
            itemStyle: { borderColor: colour('card'), borderWidth: 1.5, borderRadius: 2 }, emphasis: { disabled: true },
        }],
    };
}

const drawn = [];
const redraw = () => drawn.forEach(({ chart, options }) => { chart.resize(); chart.setOption(options(), true); });

// options() is asked again whenever the colours change.
export function draw(box, options) {
    const chart = init(box, null, { renderer: 'svg' });
    chart.setOption(options());
    drawn.push({ chart, options });
    new ResizeObserver(() => chart.resize()).observe(box);
}

for (const query of ['(prefers-color-scheme: dark)', 'print'])
    matchMedia(query).addEventListener('change', redraw);

// A line of a few millimetres: what a number did over the days.
export function sparkline(values) {
    const numbers = values.map((value) => (value === null || value === undefined ? null : Number(value)));
    const known = numbers.filter((value) => value !== null);
    if (known.length < 2) return element('span', {}, '');
    const low = Math.min(...known, 0);
    const high = Math.max(...known);
    const x = (i) => ((98 * i) / (numbers.length - 1) + 1).toFixed(1);
    const y = (value) => (high === low ? 23 : 23 - (22 * (value - low)) / (high - low)).toFixed(1);
    const points = numbers.flatMap((value, i) => (value === null ? [] : [`${x(i)},${y(value)}`]));
    return element('svg', { class: 'spark', viewBox: '0 0 100 24', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
        element('polyline', { points: points.join(' ') }));
}

// Numbers and dates as the reader's locale writes them.

const locales = navigator.languages?.length ? [...navigator.languages] : undefined;
const missing = '\u2013';

const usableLocales = (() => {
    try {
        Intl.getCanonicalLocales(locales);
        return locales;
    } catch {
        return undefined;
    }
})();

const cached = (make) => {
    const made = new Map();
    return (key) => {
        if (!made.has(key)) made.set(key, make(JSON.parse(key)));
        return made.get(key);
    };
};
const numberFormat = cached((options) => new Intl.NumberFormat(usableLocales, options));
const dateFormat = cached((options) => new Intl.DateTimeFormat(usableLocales, options));

const format = (value, options) => (value === null || value === undefined ? missing : numberFormat(JSON.stringify(options)).format(value));

export const count = (value) => format(value, { maximumFractionDigits: 0 });
export const decimal = (value, digits = 1) => format(value, { maximumFractionDigits: digits });
export const compact = (value) => format(value, { notation: 'compact', maximumFractionDigits: 1 });
export const amount = (value) => format(value, { maximumFractionDigits: value !== null && Math.abs(value) < 100 ? 2 : 0 });
export const percent = (value, digits = 1) =>
    format(value === null || value === undefined ? value : value / 100, { style: 'percent', maximumFractionDigits: digits });
export const money = (value, currency) => {
    try {
        return format(value, { style: 'currency', currency, maximumFractionDigits: Math.abs(value) < 100 ? 2 : 0 });
    } catch {
        return `${amount(value)} ${currency}`; // not a code of ISO 4217
    }
};

// Durations in seconds, in the unit that suits the largest of them.
const durations = [['hour', 3600, 7200], ['minute', 60, 120], ['second', 1, 0]];
export function durationUnit(largest) {
    const [unit, length] = durations.find(([, , from]) => largest >= from);
    return { length, show: (value) => format(value === null || value === undefined ? value : value / length,
        { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: largest < 10 ? 2 : 1 }) };
}
export const seconds = (value) => durationUnit(value ?? 0).show(value);

// change(12.3) is "+12.3 %"; points are differences of percentages.
export const change = (value) =>
    format(value === null ? value : value / 100, { style: 'percent', maximumFractionDigits: 1, signDisplay: 'exceptZero' });
export const points = (value) =>
    value === null ? missing : `${format(value, { maximumFractionDigits: 2, signDisplay: 'exceptZero' })} pts`;

// A local day is a date without a zone: it is written as it stands.
const utc = (day) => new Date(`${day}T00:00:00Z`);
const date = (day, options) => dateFormat(JSON.stringify({ ...options, timeZone: 'UTC' })).format(utc(day));
export const shortDay = (day) => date(day, { day: 'numeric', month: 'short' });
export const longDay = (day) => date(day, { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
export const fullDay = (day) => date(day, { day: 'numeric', month: 'long', year: 'numeric' });
export const month = (day) => date(day, { month: 'short', year: 'numeric' });
export const weekday = (number, width = 'short') => date(`2024-01-0${number}`, { weekday: width }); // 1 January 2024 was a Monday
export const range = (first, last) => {
    const formatter = dateFormat(JSON.stringify({ day: 'numeric', month: 'long', year: 'numeric', timeZone: 'UTC' }));
    return first === last ? fullDay(first) : formatter.formatRange(utc(first), utc(last));
};
export const hour = (number) => dateFormat(JSON.stringify({ hour: 'numeric', timeZone: 'UTC' })).format(new Date(Date.UTC(2024, 0, 1, number)));
export const time = (number) => dateFormat(JSON.stringify({ hour: 'numeric', minute: '2-digit', timeZone: 'UTC' })).format(new Date(Date.UTC(2024, 0, 1, number)));

// An instant, in the workspace's zone as far as the browser knows it.
export const instant = (text, timeZone) => {
    const options = { day: 'numeric', month: 'short', year: 'numeric', hour: 'numeric', minute: '2-digit', timeZoneName: 'short' };
    try {
        return dateFormat(JSON.stringify({ ...options, timeZone })).format(new Date(text));
    } catch {
        return dateFormat(JSON.stringify({ ...options, timeZone: 'UTC' })).format(new Date(text));
    }
};

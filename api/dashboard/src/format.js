// Numbers and times as people read them.
import {signal} from '@preact/signals';

/** Turns every 5 s, so that "ago" stays true. */
export const tick = signal(0);
setInterval(() => document.hidden || tick.value++, 5000);

const whole = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const short = new Intl.NumberFormat('en', {notation: 'compact', maximumSignificantDigits: 3});

export const count = (n) => (n == null ? '–' : n < 10_000 ? whole.format(n) : short.format(n));

export const rate = (n) => (n == null ? '–' : n < 0.05 ? '0' : n < 10 ? n.toFixed(1) : count(n));

export const percent = (n) => (n == null ? '–' : n === 0 ? '0 %' : n < 10 ? `${n.toFixed(1)} %` : `${n.toFixed(0)} %`);

export const bytes = (n) => (!n ? '–' : n < 1024 * 1024 ? `${(n / 1024).toFixed(0)} KiB` : `${(n / 1048576).toFixed(1)} MiB`);

const UNITS = [['d', 86_400], ['h', 3600], ['m', 60]];

/** Seconds, in at most two units. */
export function age(s) {
  if (s == null) {
    return '–';
  }
  if (s < 0.01) {
    return '0 s';
  }
  if (s < 1) {
    return `${Math.round(s * 1000)} ms`;
  }
  if (s < 60) {
    return `${s < 10 ? Math.round(s * 10) / 10 : Math.round(s)} s`;
  }
  const at = UNITS.findIndex(([, n]) => s >= n);
  const [unit, n] = UNITS[at];
  const [below, m] = UNITS[at + 1] ?? ['s', 1];
  const rest = Math.floor((s % n) / m);
  return `${Math.floor(s / n)} ${unit}${rest ? ` ${rest} ${below}` : ''}`;
}

export const ago = (at) => {
  const s = (Date.now() - new Date(at)) / 1000;
  return Math.abs(s) < 1 ? 'now' : s < 0 ? `in ${age(Math.round(-s))}` : `${age(s < 60 ? Math.round(s) : s)} ago`;
};

export const absolute = (at) => new Date(at).toLocaleString('sv', {timeZoneName: 'short', fractionalSecondDigits: 3}).replace(',', '.');

/** Between two moments, or null. */
export const between = (from, to) => (from && to ? (new Date(to) - new Date(from)) / 1000 : null);

export const money = (minor, currency) => {
  const format = new Intl.NumberFormat('en', {style: 'currency', currency, currencyDisplay: 'code'});
  return format.format(minor / 10 ** format.resolvedOptions().maximumFractionDigits);
};

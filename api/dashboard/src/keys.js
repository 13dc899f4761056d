// The keyboard: single keys outside of fields; "g" and a letter to go somewhere; the shortcuts of the focused row or of the page.
import {signal} from '@preact/signals';
import {html} from './html.js';
import {go} from './router.js';

export const helpOpen = signal(false);

const PLACES = {o: ['/ui/', 'Overview'], j: ['/ui/jobs', 'Jobs'], d: ['/ui/dead', 'Dead'], w: ['/ui/workers', 'Workers'],
  s: ['/ui/schedules', 'Schedules'], a: ['/ui/audit', 'Audit'], t: ['/ui/settings', 'Settings']};

let going = 0;

const rows = () => [...document.querySelectorAll('main [data-row]')].filter((row) => row.offsetParent !== null);

function move(step) {
  const all = rows();
  const box = document.activeElement.closest?.('[data-box]');
  const at = all.findIndex((row) => row === document.activeElement || (box && box.contains(row)));
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
  next?.focus();
  next?.scrollIntoView({block: 'nearest'});
}

/** The focused row's button of this shortcut, or else the page's. */
function press(key) {
  const name = `[aria-keyshortcuts="${CSS.escape(key)}"]:not(:disabled)`;
  const box = document.activeElement.closest?.('[data-box]');
  const button = box?.querySelector(name) ?? document.querySelector(`main .page-head ${name}, main .pager ${name}`);
  button?.click();
  return Boolean(button);
}

const FIXED = {
  '/': () => document.getElementById('search')?.focus(),
  '?': () => (helpOpen.value = true),
  g: () => (going = Date.now()),
  j: () => move(1),
  k: () => move(-1),
};

function onKey(event) {
  const field = event.target.closest?.('input, textarea, select, dialog, [contenteditable]');
  if (field || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const place = Date.now() - going < 1500 ? PLACES[event.key] : undefined;
  going = 0;
  if (place) {
    go(place[0]);
    document.getElementById('main')?.focus({preventScroll: true});
    event.preventDefault();
  } else if (FIXED[event.key]) {
    FIXED[event.key]();
    event.preventDefault();
  } else if (event.key.length === 1 && press(event.key)) {
    event.preventDefault();
  }
}

export const listen = () => document.addEventListener('keydown', onKey);

const LIST = [
  ['/', 'Search jobs'], ['j  k', 'Next, previous row'], ['Enter', 'Open the row'], ['p', 'Pause or resume the row’s queue, process or schedule'],
  ['+  -', 'More, fewer workers for the row’s queue'], ['r', 'Retry (a job, a group, a schedule: run now)'], ['c', 'Cancel the job'],
  ['e', 'Edit'], ['x', 'Discard, delete, stop'], ['n', 'New; next page'], ['Esc', 'Close'], ['?', 'This list'],
  ...Object.entries(PLACES).map(([key, [, name]]) => [`g ${key}`, name]),
];

const show = (dialog) => dialog && !dialog.open && dialog.showModal();

export const Help = () => helpOpen.value && html`<dialog class="dialog" ref=${show} aria-labelledby="help-title" onClose=${() => (helpOpen.value = false)}>
  <form method="dialog"><h2 id="help-title">Keyboard</h2>
    <dl class="shortcuts">${LIST.map(([keys, what]) => html`<div><dt>${keys.split(/ +/).map((key) => html`<kbd>${key}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
    <div class="buttons"><button class="primary">Close</button></div></form></dialog>`;

// The event stream: one snapshot a second, and what the last ten minutes were like.
import {computed, signal} from '@preact/signals';
import {get, session} from './api.js';

const STEP_MS = 5000, POINTS = 120, STALE_MS = 5000, DEAD_MS = 15_000, AGAIN_MS = 5000;

/** The latest snapshot, or null. */
export const live = signal(null);
/** connecting, live, stale (open and silent), lost (trying again), full (too many viewers), missing (no such route), away (the tab is hidden). */
export const link = signal('connecting');
/** By queue: {at, oldest, backlog, in, out}, arrays of equal length, oldest first. "" is all queues together. */
export const past = signal(new Map());

export const queueOf = (name) => live.value?.queues.find((queue) => queue.name === name);
export const queueNames = computed(() => live.value?.queues.map((queue) => queue.name) ?? []);
/** What waits for a worker; as the totals and the history have it. */
export const backlogOf = (depth) => depth.waiting + (depth.unplaced ?? 0);

let source = null, heard = 0, timer;

function append(map, name, at, values) {
  const old = map.get(name) ?? {at: [], oldest: [], backlog: [], in: [], out: []};
  if (at - (old.at.at(-1) ?? 0) < STEP_MS) {
    return;
  }
  const next = {at: [...old.at, at].slice(-POINTS)};
  for (const key of ['oldest', 'backlog', 'in', 'out']) {
    next[key] = [...old[key], values[key] ?? 0].slice(-POINTS);
  }
  map.set(name, next);
}

function remember(snapshot) {
  const map = new Map(past.value);
  for (const queue of snapshot.queues) {
    append(map, queue.name, snapshot.at_ms, {
      oldest: queue.oldest_age_s, backlog: backlogOf(queue.depth), in: queue.in_per_s, out: queue.out_per_s,
    });
  }
  const {totals} = snapshot;
  append(map, '', snapshot.at_ms, {oldest: totals.oldest_age_s, backlog: totals.backlog, in: totals.in_per_s, out: totals.out_per_s});
  past.value = map;
}

/** What the server remembers: per queue arrays of equal length that end with now; null where it knew nothing. */
async function recall() {
  const history = await get('/v1/live/history').catch(() => null);
  if (!history?.queues.length) {
    return;
  }
  const map = new Map(history.queues.map((queue) => {
    const n = queue.backlog.length;
    return [queue.name, {
      at: Array.from({length: n}, (_, i) => history.at_ms - (n - 1 - i) * history.step_s * 1000),
      oldest: queue.oldest_age_s, backlog: queue.backlog, in: queue.in_per_s, out: queue.out_per_s,
    }];
  }));
  map.set('', together([...map.values()]));
  past.value = map;
}

function together(rows) {
  const longest = rows.reduce((best, one) => (one.at.length > best.at.length ? one : best));
  const join = (key, joined) => longest.at.map((_, i) => joined(rows.map((row) => row[key][row.at.length - longest.at.length + i] ?? 0)));
  const add = (values) => values.reduce((a, b) => a + b, 0);
  return {at: longest.at, oldest: join('oldest', (values) => Math.max(...values)), backlog: join('backlog', add), in: join('in', add), out: join('out', add)};
}

function take(event) {
  const snapshot = JSON.parse(event.data);
  heard = Date.now();
  link.value = 'live';
  live.value = snapshot;
  remember(snapshot);
}

function disconnect() {
  clearTimeout(timer);
  source?.close();
  source = null;
}

/** EventSource does not say why it gave up: ask. */
async function findOut() {
  const stop = new AbortController();
  const answer = await fetch('/v1/live', {signal: stop.signal}).catch(() => null);
  stop.abort();
  if (answer?.status === 401) {
    session.value = null;
    return;
  }
  link.value = answer?.status === 404 ? 'missing' : answer?.status === 429 ? 'full' : 'lost';
  if (link.value !== 'missing') {
    timer = setTimeout(connect, AGAIN_MS);
  }
}

export function connect() {
  disconnect();
  if (document.hidden || session.value === null) {
    return;
  }
  const mine = new EventSource('/v1/live');
  source = mine;
  heard = Date.now();
  mine.addEventListener('snapshot', take);
  mine.onerror = () => {
    if (source !== mine) {
      return;
    }
    link.value = 'lost';
    if (mine.readyState === EventSource.CLOSED) {
      disconnect();
      findOut();
    }
  };
}

function watch() {
  const silent = Date.now() - heard;
  if (source && silent > DEAD_MS) {
    link.value = 'lost';
    connect();
  } else if (link.value === 'live' && silent > STALE_MS) {
    link.value = 'stale';
  }
}

/** Begins once somebody is signed in; a hidden tab costs nothing. */
export function follow() {
  session.subscribe((who) => {
    if (who) {
      link.value = 'connecting';
      recall().then(connect);
    } else {
      disconnect();
      live.value = null;
    }
  });
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      disconnect();
      link.value = 'away';
    } else if (session.value) {
      recall().then(connect);
    }
  });
  setInterval(watch, 1000);
}

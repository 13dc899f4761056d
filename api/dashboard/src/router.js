// Addresses below /ui/, kept in the browser's history.
import {signal} from '@preact/signals';

const current = () => ({path: location.pathname.replace(/^\/ui\/?/, ''), params: new URLSearchParams(location.search)});

/** {path: "jobs/…" without /ui/, params}. */
export const route = signal(current());

const arrive = () => {
  route.value = current();
};

export function go(to, {replace = false} = {}) {
  if (to === location.pathname + location.search) {
    return;
  }
  history[replace ? 'replaceState' : 'pushState'](null, '', to);
  arrive();
  window.scrollTo(0, 0);
}

function onClick(event) {
  const a = event.target.closest?.('a[href^="/ui/"]');
  if (!a || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || a.target) {
    return;
  }
  event.preventDefault();
  go(a.getAttribute('href'));
}

export function startRouter() {
  addEventListener('popstate', arrive);
  document.addEventListener('click', onClick);
}

export const to = {
  overview: '/ui/',
  queue: (name) => `/ui/queues/${encodeURIComponent(name)}`,
  jobs: (q = '') => `/ui/jobs${q ? `?q=${encodeURIComponent(q)}` : ''}`,
  job: (id) => `/ui/jobs/${encodeURIComponent(id)}`,
  dead: (queue) => `/ui/dead${queue ? `?queue=${encodeURIComponent(queue)}` : ''}`,
  group: (fingerprint, queue) => `/ui/dead/group?queue=${encodeURIComponent(queue)}&fingerprint=${encodeURIComponent(fingerprint)}`,
  thing: (kind, id) => `/ui/${kind}s/${encodeURIComponent(id)}`,
};

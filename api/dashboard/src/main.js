// The shell around the pages: search, rail, status of the event stream, sign-in.
import {render} from 'preact';
import {useEffect, useState} from 'preact/hooks';
import {Actions} from './action.js';
import {ask, greet, session} from './api.js';
import {count} from './format.js';
import {Empty, html, Icon, Page, Text} from './html.js';
import {Help, helpOpen, listen} from './keys.js';
import {backlogOf, follow, link, live} from './live.js';
import {conditionOf, OPEN_STATES} from './parts.js';
import {Audit} from './pages/audit.js';
import {Business} from './pages/business.js';
import {Dead, Group} from './pages/dead.js';
import {Job} from './pages/job.js';
import {Jobs} from './pages/jobs.js';
import {Overview} from './pages/overview.js';
import {Queue} from './pages/queue.js';
import {Schedules} from './pages/schedules.js';
import {Settings} from './pages/settings.js';
import {SignIn} from './pages/signin.js';
import {Workers} from './pages/workers.js';
import {route, startRouter, to} from './router.js';
import {Search} from './search.js';
import {theme, turnTheme} from './theme.js';

const THINGS = {orders: 'order', payments: 'payment', notifications: 'notification'};

function pageOf({path, params}) {
  const [first, second] = path.split('/').map(decodeURIComponent);
  switch (first) {
    case '': return html`<${Overview} />`;
    case 'queues': return html`<${Queue} key=${second} name=${second} />`;
    case 'jobs': return second ? html`<${Job} key=${second} id=${second} />` : html`<${Jobs} params=${params} />`;
    case 'dead': return second === 'group' ? html`<${Group} key=${params.get('fingerprint')} params=${params} />` : html`<${Dead} params=${params} />`;
    case 'workers': return html`<${Workers} />`;
    case 'schedules': return html`<${Schedules} params=${params} />`;
    case 'audit': return html`<${Audit} params=${params} />`;
    case 'settings': return html`<${Settings} />`;
    default: return THINGS[first] && second ? html`<${Business} key=${path} kind=${THINGS[first]} id=${second} />`
      : html`<${Page} title="Nothing here"><${Empty} icon="help">There is no page at this address. <a href="/ui/">Overview</a></${Empty}></${Page}>`;
  }
}

const LINK = {
  connecting: 'Connecting…', live: 'Live', stale: 'No news for 5 s', lost: 'Connection lost, trying again', full: 'Too many viewers, trying again',
  missing: 'Live figures are not available on this server', away: 'Paused while hidden',
};

const Status = () => html`<span class=${`link-state is-${link.value}`} role="status"><i aria-hidden="true" /><span>${LINK[link.value]}</span></span>`;

const Top = ({menu}) => html`<header class="top">
  <button class="quiet icon-only menu" aria-label="Menu" aria-expanded=${menu.open} aria-controls="rail" onClick=${menu.turn}><${Icon} name="menu" /></button>
  <a class="brand" href="/ui/" aria-label="Penstock, overview"><${Icon} name="logo" /><b>Penstock</b></a>
  <${Search} />
  <div class="tools"><${Status} />
    <button class="quiet icon-only" onClick=${turnTheme} aria-label=${`Colours: ${theme.value}`} title=${`Colours: ${theme.value}`}><${Icon} name="theme" /></button>
    <button class="quiet icon-only help" onClick=${() => (helpOpen.value = true)} aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)"><${Icon} name="help" /></button>
    ${session.value.expires_at && html`<button class="quiet icon-only" aria-label=${`Sign out ${session.value.name}`} title=${`Sign out ${session.value.name}`} onClick=${signOut}><${Icon} name="out" /></button>`}
  </div></header>`;

async function signOut() {
  await ask('DELETE', '/v1/session').catch(() => null);
  session.value = null;
}

const PAGES = [['', 'overview', 'Overview'], ['jobs', 'jobs', 'Jobs'], ['dead', 'dead', 'Dead'], ['workers', 'workers', 'Workers'],
  ['schedules', 'schedules', 'Schedules'], ['audit', 'audit', 'Audit'], ['settings', 'settings', 'Settings']];

const sum = (queues, pick) => queues.reduce((all, queue) => all + pick(queue), 0);

function railCounts(snapshot) {
  if (!snapshot) {
    return {};
  }
  return {dead: snapshot.totals.dead, workers: sum(snapshot.queues, (queue) => queue.workers.running)};
}

function Rail({open}) {
  const here = route.value.path.split('/')[0];
  const search = route.value.params.get('q') ?? '';
  const snapshot = live.value;
  const counts = railCounts(snapshot);
  const item = (href, current, icon, name, n) => html`<li><a href=${href} aria-current=${current ? 'page' : undefined}>${icon}<span class="name">${name}</span>
    ${n != null && html`<span class="n">${count(n)}</span>`}</a></li>`;
  return html`<nav id="rail" class=${`rail ${open ? 'is-open' : ''}`} aria-label="Main">
    <ul>${PAGES.map(([path, icon, name]) => item(`/ui/${path}`, here === path && !(path === 'jobs' && search), html`<${Icon} name=${icon} />`, name, counts[path]))}</ul>
    ${snapshot && html`<h2>States</h2><ul>${OPEN_STATES.map((state) => item(to.jobs(`state:${state}`), here === 'jobs' && search === `state:${state}`,
      html`<i class=${`dot is-${state}`} />`, state, sum(snapshot.queues, (queue) => queue.depth[state])))}</ul>
    <h2>Queues</h2><ul>${snapshot.queues.map((queue) => item(to.queue(queue.name), route.value.path === `queues/${encodeURIComponent(queue.name)}`,
      html`<i class=${`dot is-${conditionOf(queue).replace(' ', '-')}`} title=${conditionOf(queue)} />`, html`<${Text} of=${queue.name} />`, backlogOf(queue.depth)))}</ul>
    <p class="muted version">${snapshot.version}</p>`}
  </nav>`;
}

function App() {
  const [open, turn] = useState(false);
  const at = route.value;
  useEffect(() => turn(false), [at]);
  if (session.value === undefined) {
    return html`<p class="loading" role="status">Loading…</p>`;
  }
  if (session.value === null) {
    return html`<main id="main" class="sign-in"><${SignIn} /></main><${Actions} />`;
  }
  return html`<a class="skip" href="#main">Skip to content</a>
    <${Top} menu=${{open, turn: () => turn(!open)}} />
    <div class="shell"><${Rail} open=${open} /><main id="main" tabindex="-1">${pageOf(at)}</main></div>
    <${Actions} /><${Help} />`;
}

startRouter();
listen();
follow();
greet();
render(html`<${App} />`, document.getElementById('app'));

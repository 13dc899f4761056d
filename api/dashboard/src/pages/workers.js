import {Act} from '../action.js';
import {query, useData} from '../api.js';
import {age, bytes, count} from '../format.js';
import {Chip, Empty, html, Missing, Page, State, Text, When} from '../html.js';
import {link, live} from '../live.js';
import {Pause, scaleAction, Stepper} from '../parts.js';
import {to} from '../router.js';

const DesiredRow = ({queue}) => html`<tr data-box><th scope="row"><a data-row href=${to.queue(queue.name)}><${Text} of=${queue.name} /></a></th>
  <td data-label="Workers"><${Stepper} queue=${queue} /></td><td class="num" data-label="Busy">${count(queue.busy)} of ${count(queue.slots)}</td>
  <td class="wide" data-label="Why"><${Text} of=${queue.workers.reason} />${queue.workers.pinned && html` <${Chip} kind="pinned">pinned</${Chip}>`}</td>
  <td data-label="By"><${Text} of=${queue.workers.author} /> <span class="muted"><${When} at=${queue.workers.at_ms} /></span></td>
  <td class="end"><${Act} action=${scaleAction(queue, 'auto')} class="quiet" keys="a" disabled=${!queue.workers.pinned}>Give back</${Act}><${Pause} queue=${queue} /></td></tr>`;

const Desired = ({queues}) => html`<section aria-label="Wanted"><h2>Wanted, by queue</h2><div class="table-box cards"><table><thead><tr><th scope="col">Queue</th><th scope="col">Workers</th><th scope="col" class="num">Busy</th><th scope="col">Why</th><th scope="col">Set by</th><th scope="col" class="end"><span class="unseen">Actions</span></th></tr></thead>
  <tbody>${queues.map((queue) => html`<${DesiredRow} key=${queue.name} queue=${queue} />`)}</tbody></table></div></section>`;

const Busy = ({busy, slots}) => html`<div class="busy"><div class="bar" role="img" aria-label=${`${busy} of ${slots} slots busy`}><i class="is-running" style=${{flexGrow: busy}} hidden=${busy === 0} /><i style=${{flexGrow: Math.max(0, slots - busy)}} /></div><span class="num">${busy} of ${slots}</span></div>`;

const ProcessRow = ({worker}) => html`<tr data-box><th scope="row"><${Text} of=${worker.name} /></th><td data-label="State"><${State} of=${worker.state ?? 'running'} /></td><td data-label="Role">${worker.role}</td>
  <td data-label="Queue">${worker.queue ? html`<a data-row href=${to.jobs(`queue:${worker.queue} state:running`)} title="Its queue’s running jobs"><${Text} of=${worker.queue} /></a>` : '–'}</td>
  <td data-label="Slots">${worker.slots > 0 ? html`<${Busy} busy=${worker.busy ?? 0} slots=${worker.slots} />` : '–'}</td>
  <td class="num" data-label="Memory">${bytes(worker.rss_bytes)}</td><td data-label="Started"><${When} at=${worker.started_ms} /></td><td class=${`num ${worker.beat_age_s > 5 ? 'is-bad' : ''}`} data-label="Heard">${age(worker.beat_age_s)}</td></tr>`;

const Processes = ({workers}) => html`<section aria-label="Processes"><h2>Processes</h2><div class="table-box cards"><table><thead><tr>${['Process', 'State', 'Role', 'Queue', 'Slots'].map((name) => html`<th scope="col">${name}</th>`)}<th scope="col" class="num">Memory</th><th scope="col">Started</th><th scope="col" class="num">Last heard</th></tr></thead>
  <tbody>${workers.toSorted((a, b) => a.role.localeCompare(b.role) || (a.queue ?? '').localeCompare(b.queue ?? '') || a.name.localeCompare(b.name)).map((worker) => html`<${ProcessRow} key=${worker.name} worker=${worker} />`)}</tbody></table></div></section>`;

function Changes() {
  const {data, error} = useData(`/v1/audit${query({action: 'scale', limit: 10})}`, {every: 60_000});
  return html`<section aria-label="Changes"><h2>Latest changes</h2>${!data ? html`<${Missing} error=${error} what="The history" />`
    : data.items.length === 0 ? html`<p class="muted">Nobody has changed the number of workers.</p>`
      : html`<ul class="log">${data.items.map((one) => html`<li><${When} at=${one.at} /> <b><${Text} of=${one.author} /></b> <${Text} of=${one.target} /> <span class="muted"><${Text} of=${one.detail?.reason ?? ''} /></span></li>`)}</ul>`}</section>`;
}

export function Workers() {
  const snapshot = live.value;
  return html`<${Page} title="Workers" sub="who runs the jobs, and why so many">
    ${snapshot ? html`<${Desired} queues=${snapshot.queues} />${snapshot.workers.length === 0 ? html`<${Empty} icon="dead">No process has been heard of for 10 s.</${Empty}>` : html`<${Processes} workers=${snapshot.workers} />`}`
      : link.value === 'missing' ? html`<${Empty} icon="help">Live figures are not available on this server.</${Empty}>` : html`<p class="loading" role="status">Waiting for the first figures…</p>`}
    <${Changes} /></${Page}>`;
}

import {useState} from 'preact/hooks';
import {Act, cli, reason, toast, withReason} from '../action.js';
import {query, useData} from '../api.js';
import {age, bytes, count} from '../format.js';
import {Chip, Empty, html, Icon, Missing, Page, State, Text, visible, When} from '../html.js';
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

const ORDERS = {
  quiet: {name: 'Quiet', icon: 'pause', keys: 'p', done: 'begins no job any more', text: 'It begins no job within 2 s, and keeps what it runs; what it has claimed beyond that goes to the others.'},
  resume: {name: 'Resume', icon: 'play', keys: 'p', done: 'begins jobs again', text: 'It begins jobs again.'},
  stop: {name: 'Stop', icon: 'cancel', keys: 'x', done: 'ends when its jobs have', danger: true, text: 'It ends what it runs, then itself. Its supervisor starts another if the queue should have as many.'},
};

/** By its consumer, so that no later process of the same name is meant. */
const orderAction = (worker, verb) => ({
  title: `${ORDERS[verb].name} ${visible(worker.name)}`, verb: ORDERS[verb].name, text: ORDERS[verb].text, danger: ORDERS[verb].danger, needs: 'operate', fields: [reason],
  request: (values) => ({method: 'POST', path: `/v1/workers/${encodeURIComponent(worker.name)}/${verb}`, body: withReason(values, {consumer: worker.consumer})}),
  cli: (values) => cli('worker', verb, worker.name, values.reason && '--reason', values.reason),
  done: () => toast(`${worker.name} ${ORDERS[verb].done}`),
});

const Order = ({worker, verb}) => html`<${Act} action=${orderAction(worker, verb)} icon=${ORDERS[verb].icon} keys=${ORDERS[verb].keys} disabled=${worker.state === 'draining'}
  class="quiet icon-only" label=${`${ORDERS[verb].name} ${visible(worker.name)}`} />`;

const JobRow = ({job}) => html`<tr><th scope="row"><a href=${to.job(job.id)}><code>${job.id}</code></a></th><td data-label="Type"><${Text} of=${job.type} /></td>
  <td class="num" data-label="Attempt">${job.attempt}</td><td data-label="Runs for">${age(job.run_seconds)}${job.stopping && html` <${Chip} kind="draining">to stop</${Chip}>`}</td>
  <td data-label="Waits for"><${Text} of=${job.waits_for} />${job.server && html` <span class="muted"><${Text} of=${job.server} /></span>`}</td></tr>`;

/** Asked of the process itself, once, and again when somebody wants to. */
function Running({worker}) {
  const {data, error, reload} = useData(`/v1/workers/${encodeURIComponent(worker.name)}/jobs`);
  const more = data && [data.waiting > 0 && `${count(data.waiting)} claimed and not begun`, data.ending > 0 && `${count(data.ending)} ending`, data.others > 0 && `${count(data.others)} of other tenants`].filter(Boolean);
  return html`<div class="head"><h3>Runs now</h3><button type="button" onClick=${reload}><${Icon} name="retry" />Look again</button></div>
    ${error && html`<${Missing} error=${error} what="What it runs" />`}
    ${!data ? !error && html`<${Missing} what="What it runs" />` : data.items.length === 0 ? html`<p class="muted">It runs nothing at this moment.</p>`
      : html`<table class="small"><thead><tr><th scope="col">Job</th><th scope="col">Type</th><th scope="col" class="num">Attempt</th><th scope="col">Runs for</th><th scope="col">Waits for</th></tr></thead>
        <tbody>${data.items.map((job) => html`<${JobRow} key=${job.id} job=${job} />`)}</tbody></table>`}
    ${more?.length > 0 && html`<p class="muted">And ${more.join(', ')}.</p>`}`;
}

const COLUMNS = [['Process'], ['State'], ['Role'], ['Queue'], ['Slots'], ['Memory', 'num'], ['Started'], ['Last heard', 'num'], [html`<span class="unseen">Actions</span>`, 'end']];

/** One that was started by a supervisor has a consumer here: it can be told something, and asked what it runs. */
function ProcessRow({worker}) {
  const [open, show] = useState(false);
  const name = html`<${Text} of=${worker.name} />`;
  return html`<tr data-box><th scope="row">${worker.consumer ? html`<button type="button" class="link" data-row aria-expanded=${open} onClick=${() => show(!open)} title="What it runs now">${name}</button>` : name}</th>
    <td data-label="State"><${State} of=${worker.state ?? 'running'} /></td><td data-label="Role">${worker.role}</td>
    <td data-label="Queue">${worker.queue ? html`<a href=${to.jobs(`queue:${worker.queue} state:running`)} title="Its queue’s running jobs"><${Text} of=${worker.queue} /></a>` : '–'}</td>
    <td data-label="Slots">${worker.slots > 0 ? html`<${Busy} busy=${worker.busy ?? 0} slots=${worker.slots} />` : '–'}</td>
    <td class="num" data-label="Memory">${bytes(worker.rss_bytes)}</td><td data-label="Started"><${When} at=${worker.started_ms} /></td><td class=${`num ${worker.beat_age_s > 5 ? 'is-bad' : ''}`} data-label="Heard">${age(worker.beat_age_s)}</td>
    <td class="end">${worker.consumer && html`<${Order} worker=${worker} verb=${worker.state === 'quiet' ? 'resume' : 'quiet'} /><${Order} worker=${worker} verb="stop" />`}</td></tr>
    ${open && html`<tr><td colspan=${COLUMNS.length} class="wide"><${Running} worker=${worker} /></td></tr>`}`;
}

const Processes = ({workers}) => html`<section aria-label="Processes"><h2>Processes</h2><div class="table-box cards"><table><thead><tr>${COLUMNS.map(([name, extra]) => html`<th scope="col" class=${extra}>${name}</th>`)}</tr></thead>
  <tbody>${workers.toSorted((a, b) => a.role.localeCompare(b.role) || (a.queue ?? '').localeCompare(b.queue ?? '') || a.name.localeCompare(b.name)).map((worker) => html`<${ProcessRow} key=${worker.consumer ?? worker.name} worker=${worker} />`)}</tbody></table></div></section>`;

function Changes() {
  const {data, error} = useData(`/v1/audit${query({action: 'queue.scale', limit: 10})}`, {every: 60_000});
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

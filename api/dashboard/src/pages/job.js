import {useEffect, useState} from 'preact/hooks';
import {Act, cli, reason, toast, withReason} from '../action.js';
import {useData} from '../api.js';
import {age, between} from '../format.js';
import {Block, Copy, Empty, Fact, html, Icon, Missing, Page, State, Text, visible, When} from '../html.js';
import {Json} from '../json.js';
import {go, to} from '../router.js';

const TERMINAL = new Set(['done', 'dead', 'cancelled', 'expired']);
const OPEN_MS = 3000, OVER_MS = 15_000;
/** Types that belong to something with a page of its own: [pattern, kind, member of the result or payload]. */
const BELONGS = [[/^order\./, 'order', 'order_id'], [/^payment\./, 'payment', 'payment_id'], [/^notify\./, 'notification', 'notification_id']];

const cancelAction = (job, reload) => ({
  title: 'Cancel this job', verb: 'Cancel the job', danger: true, needs: 'enqueue',
  text: 'A waiting job does not run any more. One that runs is asked to stop, and gives back what it holds; past its point of no return the answer is 409.',
  request: () => ({method: 'DELETE', path: `/v1/jobs/${job.id}`}),
  cli: () => cli('job', 'cancel', job.id),
  done: (answer) => (toast(`The job is ${answer?.state === 'cancel_requested' ? 'asked to stop' : 'cancelled'}`), reload()),
});

const retryAction = (job, reload) => ({
  title: 'Retry this job', verb: 'Retry', needs: 'replay',
  text: `It runs again under its own id. ${verdict(job)?.[1] ?? 'Effects that it has had already are not repeated.'}`,
  request: () => ({method: 'POST', path: `/v1/jobs/${job.id}/retry`}),
  cli: () => cli('job', 'retry', job.id),
  done: () => (toast('The job waits again'), reload()),
});

const editAction = (job) => ({
  title: 'Edit and replay', verb: 'Replay as a new job', needs: 'replay',
  text: 'A new job with this payload, with a root of its own. It is refused once the old one has had an effect.',
  fields: [{name: 'payload', label: 'Payload', type: 'textarea', rows: 14, value: JSON.stringify(job.payload, null, 2), hint: '"***" stands for a value that is not shown: left as it is, it stays.'}, reason],
  request: (values) => ({method: 'POST', path: `/v1/jobs/${job.id}/replay`, body: withReason(values, {payload: JSON.parse(values.payload)})}),
  done: (answer) => (toast('A new job was made'), go(to.job(answer.id))),
});

/** What happened, oldest first: {at, title, kind, detail}. */
function timeline(job) {
  const events = [{at: job.created_at, title: 'accepted', kind: 'waiting'}];
  if (job.due_at && job.due_at !== job.created_at) {
    events.push({at: job.due_at, title: 'due', kind: 'delayed'});
  }
  for (const error of job.errors ?? []) {
    events.push({at: error.at_ms, title: error.attempt == null ? 'failed' : `attempt ${error.attempt} failed`, kind: 'dead', chip: error.code, detail: error.detail});
  }
  if (job.started_at) {
    events.push({at: job.started_at, title: job.attempt ? `attempt ${job.attempt} started` : 'started', kind: 'running', chip: job.waits_for && `waits for ${job.waits_for}`});
  }
  if (job.finished_at) {
    events.push({at: job.finished_at, title: job.state, kind: job.state});
  }
  return events.filter((event) => event.at).toSorted((a, b) => new Date(a.at) - new Date(b.at));
}

const Moment = ({event, before}) => html`<li><i class=${`dot is-${event.kind}`} />
  <div><span class="moment"><b>${visible(event.title)}</b>${event.chip && html`<span class="chip">${visible(event.chip)}</span>`}<span class="muted"><${When} at=${event.at} />${before && html`, +${age(between(before.at, event.at))}`}</span></span>
  ${event.detail && html`<${Block} text=${event.detail} />`}</div></li>`;

const Timeline = ({job}) => {
  const events = timeline(job);
  return html`<section class="card"><h2>Timeline</h2>${events.length === 0 ? html`<p class="muted">Nothing is kept of a job of class stream but its outcome.</p>`
    : html`<ol class="timeline">${events.map((event, i) => html`<${Moment} event=${event} before=${events[i - 1]} />`)}</ol>`}</section>`;
};

const Id = ({of}) => html`<code>${visible(of)}</code> <${Copy} text=${of} />`;

function Facts({job}) {
  const link = (id) => html`<a href=${to.job(id)}><code>${visible(id)}</code></a>`;
  const facts = [
    ['Queue', html`<a href=${to.queue(job.queue)}><${Text} of=${job.queue} /></a>`],
    ['Class', job.durability], ['Tenant', job.tenant && html`<${Text} of=${job.tenant} />`],
    ['Type', job.type && html`<${Text} of=${job.type} />${job.type_version ? ` v${job.type_version}` : ''}`],
    ['Attempts', job.attempts ?? job.attempt], ['Runs on', job.process && html`<a href="/ui/workers"><${Text} of=${job.process} /></a>`], ['Generation', job.generation],
    ['Root', job.root_id && job.root_id !== job.id && link(job.root_id)],
    ['Died on release', job.release && html`<${Text} of=${job.release} />`],
    ['Replay of', job.replay_of && link(job.replay_of)],
    ['Replays', job.replays?.length > 0 && job.replays.map((id) => html`${link(id)} `)],
    ['Idempotency-Key', job.key && html`<${Id} of=${job.key} />`],
    ['Trace', job.trace_id && html`<${Id} of=${job.trace_id} />`],
    ['Due', job.due_at && html`<${When} at=${job.due_at} />`], ['Deadline', job.deadline_at && html`<${When} at=${job.deadline_at} />`],
    ['Waited', between(job.created_at, job.started_at) != null && age(between(job.created_at, job.started_at))],
    ['Ran', between(job.started_at, job.finished_at) != null && age(between(job.started_at, job.finished_at))],
    ['Answer', job.status],
  ].filter(([, value]) => value != null && value !== false && value !== '');
  return html`<section class="card"><h2>Facts</h2><dl class="facts">${facts.map(([name, value]) => html`<${Fact} name=${name}>${value}</${Fact}>`)}</dl></section>`;
}

const Progress = ({of}) => of && html`<section class="card"><h2>Progress</h2><progress max="100" value=${of.percent} aria-label="Progress" /> ${of.percent != null && `${of.percent} %`} ${of.message && html`<${Text} of=${of.message} />`}</section>`;

/** What the job has done to the world, and so what a retry can do: [kind, text], or nothing when that is not known. */
function verdict({effects = [], calls = []}) {
  const end = effects.find((one) => one.step === '' && one.outcome === 'done');
  if (end) {
    return ['good', `Its effect is there (${end.status}): a retry repeats the answer, and is a no-op.`];
  }
  if (calls.some((one) => one.state === 'sent' || one.state === 'unknown')) {
    return ['warn', 'The provider has not said what became of a call: it is asked before anything is sent again.'];
  }
  const done = calls.filter((one) => one.state === 'succeeded');
  if (done.length > 0) {
    return ['good', `Already done at the provider (${[...new Set(done.map((one) => one.kind))].join(', ')}): a retry does not repeat it.`];
  }
  return effects.some((one) => one.step !== '') ? ['warn', 'Some of its steps are done: a retry goes on from there.'] : null;
}

function Effect({job}) {
  const said = verdict(job);
  return said && html`<section class=${`card effect is-${said[0]}`}><h2>Effect</h2><p>${said[1]}</p><ul class="log">
    ${job.effects?.map((one) => html`<li><${When} at=${one.at} /> ${one.step ? html`step <${Text} of=${one.step} />` : 'end'} <${State} of=${one.outcome} /></li>`)}
    ${job.calls?.map((one) => html`<li><${When} at=${one.at} /> provider <${Text} of=${one.kind} /> <${State} of=${one.state} /></li>`)}</ul></section>`;
}

function Belongs({job}) {
  const [, kind, member] = BELONGS.find(([pattern]) => pattern.test(job.type ?? '')) ?? [];
  const id = job.result?.[member] ?? job.payload?.[member] ?? (kind === 'notification' ? job.root_id : undefined);
  return kind && typeof id === 'string' ? html`<a class="button" href=${to.thing(kind, id)}>${kind} <${Icon} name="right" /></a>` : null;
}

function Body({job, reload}) {
  const over = TERMINAL.has(job.state);
  const actions = html`<${Belongs} job=${job} />
    ${!over && job.tracked !== false && html`<${Act} action=${cancelAction(job, reload)} icon="cancel" keys="c" class="">Cancel</${Act}>`}
    ${job.state === 'dead' && html`<${Act} action=${retryAction(job, reload)} icon="retry" keys="r" class="primary">Retry</${Act}>`}
    ${job.state === 'dead' && job.payload && html`<${Act} action=${editAction(job)} icon="edit" keys="e" class="">Edit and replay</${Act}>`}`;
  return html`<${Page} title=${visible(job.type ?? 'Job')} actions=${actions} sub=${html`<${State} of=${job.tracked === false ? 'untracked' : job.state} /> <${Id} of=${job.id} />`}>
    <${Effect} job=${job} />
    <div class="columns"><${Timeline} job=${job} /><${Facts} job=${job} /></div>
    <${Progress} of=${job.progress} />
    ${job.payload !== undefined ? html`<section class="card"><h2>Payload</h2><${Json} of=${job.payload} /></section>` : html`<p class="muted">The payload is not available on this server.</p>`}
    ${job.result != null && html`<section class="card"><h2>Result</h2><${Json} of=${job.result} /></section>`}</${Page}>`;
}

export function Job({id}) {
  const [every, often] = useState(OPEN_MS);
  const path = `/v1/jobs/${encodeURIComponent(id)}`;
  const {data, error, reload} = useData(path, {every});
  const detail = useData(data && `${path}/detail`, {every});
  const attempt = useData(data?.state === 'running' && `${path}/attempt`, {when: data?.started_at}); // asked of all workers: once
  const over = TERMINAL.has(data?.state);
  useEffect(() => often(over ? OVER_MS : OPEN_MS), [over]);
  if (!data) {
    return html`<${Page} title="Job" sub=${html`<code>${visible(id)}</code>`}>${error?.status === 404 && !error.isMissing
      ? html`<${Empty} icon="search">There is no job of this id; a key sees its own tenant only.</${Empty}>` : html`<${Missing} error=${error} what="The job" />`}</${Page}>`;
  }
  return html`<${Body} job=${{...detail.data, ...(data.state === 'running' && attempt.data), ...data}} reload=${() => (reload(), detail.reload())} />`;
}

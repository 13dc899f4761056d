// Running many dead jobs again: dry run, a canary, then the rest at a rate, with progress, pause and stop. For class journal the rest is a job
// itself, which goes on whoever looks; for class stream it is done from here, while this tab is open. What is done stays done.
import {signal} from '@preact/signals';
import {cli, start, toast} from './action.js';
import {ask, get, may} from './api.js';
import {count} from './format.js';
import {html, Icon, State, visible} from './html.js';
import {to} from './router.js';

const BATCH = 64, TURN_MS = 1000;
const OVER = new Set(['done', 'dead', 'cancelled', 'expired']);

/** By key: {step: "idle|dry|ready|canary|tried|running|over", matched, journal: how many of them are of that class, sample, done, canary,
 * job: {id, percent, message, paused} of the rest, problem, stop} */
const runs = signal(new Map());

const set = (key, members) => {
  const map = new Map(runs.value);
  map.set(key, {...(map.get(key) ?? {step: 'idle'}), ...members});
  runs.value = map;
};
const runOf = (key) => runs.value.get(key) ?? {step: 'idle'};

const retry = (scope, body) => ask('POST', `/v1/dlq/${encodeURIComponent(scope.queue)}/retry`, {body: {...scope.filter, ...body}});

const bulk = (scope, more = {}) => ({op: 'retry', filter: {queue: scope.queue, ...scope.filter}, ...more});

async function dry(scope) {
  set(scope.key, {step: 'dry', problem: null, canary: null, job: null, done: 0});
  try {
    const {matched, sample} = await retry(scope, {dry_run: true});
    const journal = (await ask('POST', '/v1/bulk', {body: bulk(scope)})).matched;
    set(scope.key, {step: 'ready', matched, journal, sample});
  } catch (problem) {
    set(scope.key, {step: 'idle', problem});
  }
}

async function canary(scope) {
  set(scope.key, {step: 'canary', problem: null});
  try {
    const {retried: [id]} = await retry(scope, {limit: 1, reason: 'canary'});
    let job = {state: 'waiting'};
    while (id && !OVER.has(job.state) && job.tracked !== false) {
      set(scope.key, {canary: {id, state: job.state}});
      job = await get(`/v1/jobs/${id}?wait=5s`);
    }
    set(scope.key, {step: 'tried', done: id ? 1 : 0, canary: id && {id, state: job.state ?? 'untracked'}});
    scope.reload();
  } catch (problem) {
    set(scope.key, {step: 'ready', problem});
  }
}

const pause = (ms) => new Promise((then) => setTimeout(then, ms));

/* ---- the rest, as a job ---- */

async function follow(scope, id) {
  try {
    for (;;) {
      const job = await get(`/v1/jobs/${id}`);
      const {percent, message} = job.progress ?? {};
      set(scope.key, {job: {...runOf(scope.key).job, id, percent, message}});
      if (OVER.has(job.state)) {
        set(scope.key, {step: 'over', done: runOf(scope.key).done + (job.result?.done ?? 0)});
        toast(job.state === 'done' ? `${runOf(scope.key).done} jobs run again` : `Stopped: the bulk action is ${job.state}`);
        break;
      }
      await pause(TURN_MS);
    }
  } catch (problem) {
    set(scope.key, {step: 'over', problem});
  }
  scope.reload();
}

const restBody = (scope, run, {rate, reason}) => bulk(scope, {expect: run.journal - run.done, rate_per_second: Number(rate), ...(reason ? {reason} : {})});

async function turn(scope, id, verb) {
  try {
    const {paused} = await ask('POST', `/v1/bulk/${id}/${verb}`, {body: {}});
    set(scope.key, {job: {...runOf(scope.key).job, paused}});
  } catch (problem) {
    toast(problem.detail ?? problem.title, {kind: 'bad'});
  }
}

const stopJob = (id) => ask('DELETE', `/v1/jobs/${id}`).catch((problem) => toast(problem.detail ?? problem.title, {kind: 'bad'}));

/* ---- the rest, from here ---- */

async function loop(scope, perSecond, reason) {
  set(scope.key, {step: 'running', problem: null, stop: false});
  try {
    for (;;) {
      const {done, matched, stop} = runOf(scope.key);
      const limit = Math.min(BATCH, perSecond, matched - done);
      if (stop || limit <= 0) {
        break;
      }
      const {retried} = await retry(scope, reason ? {limit, reason} : {limit});
      set(scope.key, {done: done + retried.length});
      if (retried.length === 0) {
        break;
      }
      await pause(TURN_MS);
    }
    const {done, stop} = runOf(scope.key);
    set(scope.key, {step: 'over'});
    toast(stop ? `Stopped after ${done} jobs` : `${done} jobs run again`);
  } catch (problem) {
    set(scope.key, {step: 'over', problem});
  }
  scope.reload();
}

function restAction(scope, run) {
  const shared = {
    title: 'Retry the rest', verb: 'Retry the rest', needs: 'replay', confirm: String(run.matched - run.done),
    text: `${count(run.matched - run.done)} jobs run again under their own ids; effects that they have had are not repeated. You can stop at any time.`,
    fields: [{name: 'rate', label: 'Jobs per second, at most', type: 'number', min: 1, max: run.journal ? 256 : BATCH, value: '10'},
      {name: 'reason', label: 'Reason', optional: true, maxlength: 180, hint: 'Kept in the audit log.'}],
  };
  if (!run.journal) {
    return {...shared, request: ({rate}) => ({method: 'POST', path: `/v1/dlq/${encodeURIComponent(scope.queue)}/retry`, body: {...scope.filter, limit: Number(rate)}}),
      run: async ({rate, reason}) => {
        loop(scope, Number(rate), reason);
        return {};
      }};
  }
  const key = crypto.randomUUID();
  return {...shared,
    request: (values) => ({method: 'POST', path: '/v1/bulk', headers: {'Idempotency-Key': key}, body: restBody(scope, run, values)}),
    cli: ({rate, reason}) => cli('bulk', 'retry', '--queue', scope.queue, '--fingerprint', scope.filter.fingerprint, '--expect', run.journal - run.done, '--rate', rate, ...(reason ? ['--reason', reason] : [])),
    done: ({id}) => {
      set(scope.key, {step: 'running', problem: null, job: {id}});
      follow(scope, id);
    }};
}

const Canary = ({of}) => of && html`<p>Canary <a href=${to.job(of.id)}><code>${of.id}</code></a> <${State} of=${of.state} />
  ${of.state === 'done' ? 'It worked.' : OVER.has(of.state) ? 'It failed again: look at its error before you go on.' : ''}</p>`;

const Sample = ({ids}) => ids?.length > 0 && html`<p class="muted">For example ${ids.slice(0, 3).map((id, i) => html`${i > 0 && ', '}<a href=${to.job(id)}><code>${visible(id)}</code></a>`)}</p>`;

const Steps = ({at}) => html`<ol class="steps">${['Dry run', 'Canary', 'The rest'].map((name, i) => html`<li aria-current=${i === at ? 'step' : undefined} class=${i < at ? 'is-over' : ''}>${name}</li>`)}</ol>`;

const AT = {idle: 0, dry: 0, ready: 1, canary: 1, tried: 2, running: 2, over: 3};

const Work = ({scope, run: {job}}) => html`<p role="status">The rest is a job: <a href=${to.job(job.id)}><code>${job.id}</code></a>${job.message && `, ${visible(job.message)}`}</p>
  <progress max="100" value=${job.percent ?? 0} aria-label="Jobs run again" />
  <div class="buttons start"><button onClick=${() => turn(scope, job.id, job.paused ? 'resume' : 'pause')}>${job.paused ? 'Go on' : 'Pause'}</button>
    <button class="danger" onClick=${() => stopJob(job.id)}>Stop</button></div>`;

/** scope: {key, queue, filter: {fingerprint}, reload}. */
export function Bulk({scope}) {
  const run = runOf(scope.key);
  const ok = may('replay');
  const left = (run.matched ?? 0) - (run.done ?? 0);
  const button = (text, onClick, kind = 'primary') => html`<button class=${kind} disabled=${!ok} title=${ok ? undefined : 'Needs the scope replay'} onClick=${onClick}>${text}</button>`;
  return html`<section class="card bulk" aria-label="Retry"><h2><${Icon} name="retry" /> Retry these</h2><${Steps} at=${AT[run.step]} />
    ${run.problem && html`<div class="problem" role="alert"><strong>${visible(run.problem.isMissing ? 'This is not available on this server' : run.problem.title)}</strong>${run.problem.detail && html`<span>${visible(run.problem.detail)}</span>`}</div>`}
    ${run.step === 'idle' && html`<p>A dry run counts what would run again, and changes nothing.</p>${button('Dry run', () => dry(scope))}`}
    ${run.step === 'dry' && html`<p class="muted" role="status">Counting…</p>`}
    ${run.step === 'ready' && html`<p><b>${count(run.matched)}</b> jobs match.</p><${Sample} ids=${run.sample} />
      ${run.matched > 0 && html`<p>First one of them, to see whether the cause is gone.</p>${button('Try one', () => canary(scope))}`}`}
    ${run.step === 'canary' && html`<p class="muted" role="status">One runs…</p>`}
    <${Canary} of=${run.canary} />
    ${run.step === 'tried' && (left > 0 ? html`<div class="buttons start">${button(`Retry the other ${count(left)}`, () => start(restAction(scope, run)), run.canary?.state === 'done' ? 'primary' : 'danger')}
      <button onClick=${() => set(scope.key, {step: 'idle', canary: null})}>Leave them</button></div>` : html`<p>That was the only one.</p>`)}
    ${run.step === 'running' && (run.job ? html`<${Work} scope=${scope} run=${run} />` : html`<p role="status">${count(run.done)} of ${count(run.matched)}</p>
      <progress max=${run.matched} value=${run.done} aria-label="Jobs run again" /><button class="danger" onClick=${() => set(scope.key, {stop: true})}>Stop</button>`)}
    ${run.step === 'over' && html`<p>${count(run.done)} of ${count(run.matched)} run again.</p><button onClick=${() => set(scope.key, {step: 'idle', canary: null})}>Begin anew</button>`}
  </section>`;
}

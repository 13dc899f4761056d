// Many dead jobs of a group: run again (dry run, a canary, then the rest), or run again with a patched payload (dry run, then all). What is done to
// many is a job itself, which goes on whoever looks, and can be paused and stopped.
import {signal} from '@preact/signals';
import {cli, start, toast} from './action.js';
import {ask, get, may} from './api.js';
import {count} from './format.js';
import {html, Icon, State, visible} from './html.js';
import {to} from './router.js';

const TURN_MS = 1000, RATE_MAX = 256;
const OVER = new Set(['done', 'dead', 'cancelled', 'expired']);

/** By key: {step: "idle|dry|ready|canary|tried|running|over", matched, sample, done, canary, job: {id, percent, message, paused} of what is done to
 * many, left: what that left as it was, problem; of an edit patch, reason, refused} */
const runs = signal(new Map());

const set = (key, members) => {
  const map = new Map(runs.value);
  map.set(key, {...(map.get(key) ?? {step: 'idle'}), ...members});
  runs.value = map;
};
const runOf = (key) => runs.value.get(key) ?? {step: 'idle'};

const bulk = (scope, op, more = {}) => ({op, filter: {queue: scope.queue, ...scope.filter}, ...more});

async function dry(scope) {
  set(scope.key, {step: 'dry', problem: null, canary: null, job: null, left: null, done: 0});
  try {
    set(scope.key, {step: 'ready', ...await ask('POST', '/v1/bulk', {body: bulk(scope, 'retry')})});
  } catch (problem) {
    set(scope.key, {step: 'idle', problem});
  }
}

async function canary(scope) {
  set(scope.key, {step: 'canary', problem: null});
  try {
    const {retried: [id]} = await ask('POST', `/v1/dlq/${encodeURIComponent(scope.queue)}/retry`, {body: {...scope.filter, limit: 1, reason: 'canary'}});
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

/* ---- what is done to many, as a job ---- */

async function follow(key, id, scope) {
  const before = runOf(key).done ?? 0;
  set(key, {step: 'running', problem: null, job: {id}});
  try {
    for (;;) {
      const job = await get(`/v1/jobs/${id}`);
      const {percent, message} = job.progress ?? {};
      set(key, {job: {...runOf(key).job, percent, message}});
      if (OVER.has(job.state)) {
        const done = before + (job.result?.done ?? 0);
        set(key, {step: 'over', done, left: job.result?.left});
        toast(job.state === 'done' ? `${done} jobs run again` : `Stopped: the bulk action is ${job.state}`);
        break;
      }
      await pause(TURN_MS);
    }
  } catch (problem) {
    set(key, {step: 'over', problem});
  }
  scope.reload();
}

async function turn(key, id, verb) {
  try {
    const {paused} = await ask('POST', `/v1/bulk/${id}/${verb}`, {body: {}});
    set(key, {job: {...runOf(key).job, paused}});
  } catch (problem) {
    toast(problem.detail ?? problem.title, {kind: 'bad'});
  }
}

const stopJob = (id) => ask('DELETE', `/v1/jobs/${id}`).catch((problem) => toast(problem.detail ?? problem.title, {kind: 'bad'}));

const rate = {name: 'rate', label: 'Jobs per second, at most', type: 'number', min: 1, max: RATE_MAX, value: '10'};
const why = {name: 'reason', label: 'Reason', optional: true, maxlength: 180, hint: 'Kept in the audit log.'};

/** The action that makes such a job of expect jobs; more: of the request beyond its op, and words: the same as options of the CLI. */
function manyAction(scope, key, op, expect, {more = {}, words = [], ...shown}) {
  const once = crypto.randomUUID();
  return {needs: 'replay', confirm: String(expect), fields: [rate, why], ...shown,
    request: (values) => ({method: 'POST', path: '/v1/bulk', headers: {'Idempotency-Key': once},
      body: bulk(scope, op, {expect, rate_per_second: Number(values.rate), ...(values.reason ? {reason: values.reason} : {}), ...more})}),
    cli: (values) => cli('bulk', op, '--queue', scope.queue, '--fingerprint', scope.filter.fingerprint, ...words, '--expect', expect, '--rate', values.rate, ...(values.reason ? ['--reason', values.reason] : [])),
    done: ({id}) => follow(key, id, scope)};
}

const restAction = (scope, run) => manyAction(scope, scope.key, 'retry', run.matched - run.done, {
  title: 'Retry the rest', verb: 'Retry the rest',
  text: `${count(run.matched - run.done)} jobs run again under their own ids; effects that they have had are not repeated. You can stop at any time.`,
});

/* ---- with another payload ---- */

const editKey = (scope) => `${scope.key} edit`;

const patchAction = (scope) => ({
  title: 'Edit these', verb: 'Dry run', needs: 'replay',
  text: 'A JSON merge patch for the payload of each: members that it has are set, those that are null go, the others stay. This counts what would change, and tries it on some.',
  fields: [{name: 'patch', label: 'Patch', type: 'textarea', rows: 6, value: runOf(editKey(scope)).patch ?? '{\n  \n}'}],
  request: ({patch}) => ({method: 'POST', path: '/v1/bulk', body: bulk(scope, 'edit', {patch: JSON.parse(patch)})}),
  cli: ({patch}) => cli('bulk', 'edit', '--queue', scope.queue, '--fingerprint', scope.filter.fingerprint, '--patch', JSON.stringify(JSON.parse(patch))),
  done: (counted, {patch}) => set(editKey(scope), {step: 'ready', problem: null, job: null, left: null, done: 0, patch, ...counted}),
});

const editAction = (scope, run) => manyAction(scope, editKey(scope), 'edit', run.matched, {
  title: `Edit ${count(run.matched)} jobs`, verb: 'Edit and run again',
  text: 'Each runs again with the patched payload, as a new job. Those whose payload would not be valid, and those that have done something already, stay dead. You can stop at any time.',
  more: {patch: JSON.parse(run.patch)}, words: ['--patch', JSON.stringify(JSON.parse(run.patch))],
});

const Problem = ({of}) => of && html`<div class="problem" role="alert"><strong>${visible(of.isMissing ? 'This is not available on this server' : of.title)}</strong>${of.detail && html`<span>${visible(of.detail)}</span>`}</div>`;

const Left = ({left}) => left && html`<ul>${Object.entries(left).map(([name, {jobs, example}]) => html`<li>${count(jobs)} left dead: <b>${visible(name.replaceAll('_', ' '))}</b>, for example ${visible(example)}</li>`)}</ul>`;

const Canary = ({of}) => of && html`<p>Canary <a href=${to.job(of.id)}><code>${of.id}</code></a> <${State} of=${of.state} />
  ${of.state === 'done' ? 'It worked.' : OVER.has(of.state) ? 'It failed again: look at its error before you go on.' : ''}</p>`;

const Sample = ({ids}) => ids?.length > 0 && html`<p class="muted">For example ${ids.slice(0, 3).map((id, i) => html`${i > 0 && ', '}<a href=${to.job(id)}><code>${visible(id)}</code></a>`)}</p>`;

const Steps = ({at}) => html`<ol class="steps">${['Dry run', 'Canary', 'The rest'].map((name, i) => html`<li aria-current=${i === at ? 'step' : undefined} class=${i < at ? 'is-over' : ''}>${name}</li>`)}</ol>`;

const AT = {idle: 0, dry: 0, ready: 1, canary: 1, tried: 2, running: 2, over: 3};

const Work = ({of, run: {job}, what}) => html`<p role="status">${what} is a job: <a href=${to.job(job.id)}><code>${job.id}</code></a>${job.message && `, ${visible(job.message)}`}</p>
  <progress max="100" value=${job.percent ?? 0} aria-label="Jobs run again" />
  <div class="buttons start"><button onClick=${() => turn(of, job.id, job.paused ? 'resume' : 'pause')}>${job.paused ? 'Go on' : 'Pause'}</button>
    <button class="danger" onClick=${() => stopJob(job.id)}>Stop</button></div>`;

/** A button that only who may replay can press. */
const Step = ({kind = 'primary', onClick, children}) => {
  const ok = may('replay');
  return html`<button class=${kind} disabled=${!ok} title=${ok ? undefined : 'Needs the scope replay'} onClick=${onClick}>${children}</button>`;
};

function Edit({scope}) {
  const key = editKey(scope), run = runOf(key);
  return html`<section class="card bulk" aria-label="Edit"><h2><${Icon} name="edit" /> Edit these</h2><${Problem} of=${run.problem} />
    ${run.step === 'idle' && html`<p>Jobs that died of what is in their payload run again with another one.</p>`}
    ${run.step === 'ready' && html`<p><b>${count(run.matched)}</b> jobs of class journal match.</p><${Sample} ids=${run.sample} />
      ${run.refused?.length > 0 && html`<p>Of ${count(run.sample.length)} that were tried, ${count(run.refused.length)} would stay dead: <a href=${to.job(run.refused[0].id)}><code>${run.refused[0].id}</code></a> ${visible(run.refused[0].detail)}</p>`}`}
    ${run.step === 'running' ? html`<${Work} of=${key} run=${run} what="The edit" />` : html`<div class="buttons start">
      <${Step} kind="" onClick=${() => start(patchAction(scope))}>${run.step === 'idle' ? 'Patch…' : 'Another patch…'}</${Step}>
      ${run.step === 'ready' && run.matched > 0 && html`<${Step} onClick=${() => start(editAction(scope, run))}>Edit all ${count(run.matched)}…</${Step}>`}</div>`}
    ${run.step === 'over' && html`<p>${count(run.done)} of ${count(run.matched)} run again.</p><${Left} left=${run.left} />`}
  </section>`;
}

/** scope: {key, queue, filter: {fingerprint}, reload}. */
export function Bulk({scope}) {
  const run = runOf(scope.key);
  const left = (run.matched ?? 0) - (run.done ?? 0);
  return html`<section class="card bulk" aria-label="Retry"><h2><${Icon} name="retry" /> Retry these</h2><${Steps} at=${AT[run.step]} /><${Problem} of=${run.problem} />
    ${run.step === 'idle' && html`<p>A dry run counts what would run again, and changes nothing.</p><${Step} onClick=${() => dry(scope)}>Dry run</${Step}>`}
    ${run.step === 'dry' && html`<p class="muted" role="status">Counting…</p>`}
    ${run.step === 'ready' && html`<p><b>${count(run.matched)}</b> jobs match.</p><${Sample} ids=${run.sample} />
      ${run.matched > 0 && html`<p>First one of them, to see whether the cause is gone.</p><${Step} onClick=${() => canary(scope)}>Try one</${Step}>`}`}
    ${run.step === 'canary' && html`<p class="muted" role="status">One runs…</p>`}
    <${Canary} of=${run.canary} />
    ${run.step === 'tried' && (left > 0 ? html`<div class="buttons start"><${Step} kind=${run.canary?.state === 'done' ? 'primary' : 'danger'} onClick=${() => start(restAction(scope, run))}>Retry the other ${count(left)}</${Step}>
      <button onClick=${() => set(scope.key, {step: 'idle', canary: null})}>Leave them</button></div>` : html`<p>That was the only one.</p>`)}
    ${run.step === 'running' && html`<${Work} of=${scope.key} run=${run} what="The rest" />`}
    ${run.step === 'over' && html`<p>${count(run.done)} of ${count(run.matched)} run again.</p><${Left} left=${run.left} /><button onClick=${() => set(scope.key, {step: 'idle', canary: null})}>Begin anew</button>`}
  </section>
  <${Edit} scope=${scope} />`;
}

// Running many dead jobs again: dry run, a canary, then the rest at a rate, with progress and a stop.
// It goes on while this tab is open, whatever page it shows; what is done stays done.
import {signal} from '@preact/signals';
import {start, toast} from './action.js';
import {ask, get, may} from './api.js';
import {count} from './format.js';
import {html, Icon, State, visible} from './html.js';
import {to} from './router.js';

const BATCH = 64, TURN_MS = 1000;
const OVER = new Set(['done', 'dead', 'cancelled', 'expired']);

/** By key: {step: "idle|dry|ready|canary|tried|running|over", matched, sample, done, canary, problem, stop} */
const runs = signal(new Map());

const set = (key, members) => {
  const map = new Map(runs.value);
  map.set(key, {...(map.get(key) ?? {step: 'idle'}), ...members});
  runs.value = map;
};
const runOf = (key) => runs.value.get(key) ?? {step: 'idle'};

const retry = (scope, body) => ask('POST', `/v1/dlq/${encodeURIComponent(scope.queue)}/retry`, {body: {...scope.filter, ...body}});

async function dry(scope) {
  set(scope.key, {step: 'dry', problem: null, canary: null, done: 0});
  try {
    const {matched, sample} = await retry(scope, {dry_run: true});
    set(scope.key, {step: 'ready', matched, sample: sample ?? []});
  } catch (problem) {
    set(scope.key, {step: 'idle', problem});
  }
}

async function canary(scope) {
  set(scope.key, {step: 'canary', problem: null});
  try {
    const {retried: [id]} = await retry(scope, {limit: 1, reason: 'canary'});
    let job = {state: 'waiting'};
    while (id && !OVER.has(job.state)) {
      set(scope.key, {canary: {id, state: job.state}});
      job = await get(`/v1/jobs/${id}?wait=5s`);
    }
    set(scope.key, {step: 'tried', done: id ? 1 : 0, canary: id && {id, state: job.state}});
    scope.reload();
  } catch (problem) {
    set(scope.key, {step: 'ready', problem});
  }
}

const pause = (ms) => new Promise((then) => setTimeout(then, ms));

async function rest(scope, perSecond, reason) {
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

const restAction = (scope, run) => ({
  title: 'Retry the rest', verb: 'Retry the rest', needs: 'replay', confirm: String(run.matched - run.done),
  text: `${count(run.matched - run.done)} jobs run again under their own ids; effects that they have had are not repeated. You can stop at any time.`,
  fields: [{name: 'rate', label: 'Jobs per second, at most', type: 'number', min: 1, max: BATCH, value: '10'},
    {name: 'reason', label: 'Reason', optional: true, maxlength: 180, hint: 'Kept in the audit log.'}],
  request: ({rate}) => ({method: 'POST', path: `/v1/dlq/${encodeURIComponent(scope.queue)}/retry`, body: {...scope.filter, limit: Number(rate)}}),
  cli: ({rate}) => scope.cli(rate),
  run: async ({rate, reason}) => {
    rest(scope, Number(rate), reason);
    return {};
  },
});

const Canary = ({of}) => of && html`<p>Canary <a href=${to.job(of.id)}><code>${of.id}</code></a> <${State} of=${of.state} />
  ${of.state === 'done' ? 'It worked.' : OVER.has(of.state) ? 'It failed again: look at its error before you go on.' : ''}</p>`;

const Sample = ({ids}) => ids?.length > 0 && html`<p class="muted">For example ${ids.slice(0, 3).map((id, i) => html`${i > 0 && ', '}<a href=${to.job(id)}><code>${visible(id)}</code></a>`)}</p>`;

const Steps = ({at}) => html`<ol class="steps">${['Dry run', 'Canary', 'The rest'].map((name, i) => html`<li aria-current=${i === at ? 'step' : undefined} class=${i < at ? 'is-over' : ''}>${name}</li>`)}</ol>`;

const AT = {idle: 0, dry: 0, ready: 1, canary: 1, tried: 2, running: 2, over: 3};

/** scope: {key, queue, filter, cli(rate), reload}. */
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
    ${run.step === 'running' && html`<p role="status">${count(run.done)} of ${count(run.matched)}</p><progress max=${run.matched} value=${run.done} aria-label="Jobs run again" />
      <button class="danger" onClick=${() => set(scope.key, {stop: true})}>Stop</button>`}
    ${run.step === 'over' && html`<p>${count(run.done)} of ${count(run.matched)} run again.</p><button onClick=${() => set(scope.key, {step: 'idle', canary: null})}>Begin anew</button>`}
  </section>`;
}

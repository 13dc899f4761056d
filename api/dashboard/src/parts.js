// Parts that several pages draw: the five numbers, state bars, sparklines, a queue's controls, lists with pages.
import {Act, cli, reason, start, toast, withReason} from './action.js';
import {may, query, useData} from './api.js';
import {age, count, percent, rate} from './format.js';
import {html, Icon, Missing} from './html.js';
import {backlogOf} from './live.js';
import {go} from './router.js';

export const OPEN_STATES = ['waiting', 'running', 'delayed', 'parked'];

/** What is in a queue. Dead jobs are kept, not queued: they would hide the rest, and stand beside it. */
export function StateBar({depth}) {
  const text = OPEN_STATES.map((state) => `${count(depth[state])} ${state}`).join(', ');
  return html`<div class="bar" role="img" aria-label=${text} title=${text}>
    ${OPEN_STATES.filter((state) => depth[state] > 0).map((state) => html`<i class=${`is-${state}`} style=${{flexGrow: depth[state]}} />`)}</div>`;
}

const W = 120, H = 26;

/** A line over the last ten minutes, and the area below it. */
export function Sparkline({values: given, label, kind = 'accent'}) {
  const values = given?.map((value) => value ?? 0);
  if (!values || values.length < 2) {
    return html`<svg class="spark" viewBox=${`0 0 ${W} ${H}`} preserveAspectRatio="none" role="img" aria-label=${`${label}: no history yet`}>
      <path class="spark-base" d=${`M0 ${H - 1}H${W}`} /></svg>`;
  }
  const top = Math.max(...values, 1e-9);
  const points = values.map((value, i) => `${((i / (values.length - 1)) * W).toFixed(1)} ${(H - 1 - (value / top) * (H - 4)).toFixed(1)}`);
  const line = `M${points.join('L')}`;
  return html`<svg class=${`spark is-${kind}`} viewBox=${`0 0 ${W} ${H}`} preserveAspectRatio="none" role="img"
      aria-label=${`${label}, at most ${count(Math.round(top * 10) / 10)}`}>
    <path class="spark-area" d=${`${line}L${W} ${H}L0 ${H}Z`} /><path class="spark-line" d=${line} /></svg>`;
}

/** Bars of equal width, for counts by time. */
export const Bars = ({values, label}) => {
  const top = Math.max(...values, 1);
  return html`<svg class="spark bars" viewBox=${`0 0 ${values.length * 10} ${H}`} preserveAspectRatio="none" role="img" aria-label=${label}>
    ${values.map((value, i) => html`<rect x=${i * 10 + 1} width="8" y=${H - Math.max(1, (value / top) * H)} height=${Math.max(1, (value / top) * H)} />`)}</svg>`;
};

/** How an age stands to its limit: good, warn (half of it), bad. */
export const judged = (s, limit) => (!limit || s == null ? 'plain' : s >= limit ? 'bad' : s >= limit / 2 ? 'warn' : 'good');

const Number5 = ({name, value, sub, kind = 'plain', spark}) => html`<div class=${`figure is-${kind}`}>
  <dt>${name}</dt><dd><span class="value">${value}</span>${sub && html`<span class="sub">${sub}</span>`}${spark}</dd></div>`;

/** The five numbers. of: {oldest_age_s, backlog, in_per_s, out_per_s, error_pct, drain_eta_s}. */
export function Figures({of, limit, oldestIn, history, dead}) {
  const net = of.out_per_s - of.in_per_s;
  const errors = of.error_pct;
  return html`<dl class="figures" aria-label="Five numbers">
    <${Number5} name="Oldest job" value=${age(of.oldest_age_s)} kind=${judged(of.oldest_age_s, limit)}
      sub=${limit ? html`of ${age(limit)}${oldestIn ? html` in ${oldestIn}` : ''}` : 'no limit set'} spark=${html`<${Sparkline} values=${history?.oldest} label="Oldest job, seconds" />`} />
    <${Number5} name="Backlog" value=${count(of.backlog)} sub=${dead != null && `${count(dead)} dead`} spark=${html`<${Sparkline} values=${history?.backlog} label="Backlog" />`} />
    <${Number5} name="In and out per second" value=${html`${rate(of.in_per_s)}<span class="slash"> / </span>${rate(of.out_per_s)}`}
      sub=${Math.abs(net) < 0.05 ? 'level' : net > 0 ? `gaining ${rate(net)}` : `falling behind ${rate(-net)}`}
      spark=${html`<${Sparkline} values=${history?.out} label="Done per second" />`} />
    <${Number5} name="Errors" value=${percent(errors)} kind=${errors == null ? 'plain' : errors >= 5 ? 'bad' : errors >= 1 ? 'warn' : 'good'} sub="of attempts, last minute" />
    <${Number5} name="Empty in" value=${of.backlog === 0 ? 'empty' : of.drain_eta_s == null ? 'never' : age(of.drain_eta_s)}
      kind=${of.backlog > 0 && of.drain_eta_s == null ? 'warn' : 'plain'} sub=${of.backlog === 0 ? 'nothing waits' : of.drain_eta_s == null ? 'at this rate' : 'at the measured rate'} />
  </dl>`;
}

/* ---- a queue's controls ---- */

export const pauseAction = (queue) => {
  const verb = queue.paused ? 'resume' : 'pause';
  return {
    title: `${queue.paused ? 'Resume' : 'Pause'} ${queue.name}`,
    text: queue.paused ? 'Workers claim from it again.' : 'Workers stop claiming from it within 2 s. What runs goes on; new jobs are taken and wait.',
    needs: 'operate', fields: [reason],
    request: (values) => ({method: 'POST', path: `/v1/queues/${encodeURIComponent(queue.name)}/${verb}`, body: withReason(values)}),
    cli: (values) => cli('queue', verb, queue.name, values.reason && '--reason', values.reason),
    done: () => toast(`${queue.name} is ${queue.paused ? 'resumed' : 'paused'}`),
  };
};

export const scaleAction = (queue, workers) => ({
  title: `Scale ${queue.name}`, verb: 'Set workers', needs: 'operate',
  text: 'Supervisors follow within 2 s. Processes that go drain first: nothing that runs is cut off.',
  fields: [{name: 'workers', label: 'Worker processes', value: String(workers), pattern: 'auto|[0-9]{1,4}', hint: 'A number pins it; auto gives it back to the autoscaler.'}, reason],
  request: (values) => ({method: 'PUT', path: `/v1/scale/${encodeURIComponent(queue.name)}`,
    body: withReason(values, {workers: values.workers === 'auto' ? 'auto' : Number(values.workers)})}),
  cli: (values) => cli('scale', `${queue.name}=${values.workers}`, values.reason && '--reason', values.reason),
  done: (answer) => toast(`${queue.name}: ${answer?.workers ?? '?'} workers wanted${answer?.pinned ? ', pinned' : ''}`),
});

export const Pause = ({queue}) => html`<${Act} action=${pauseAction(queue)} icon=${queue.paused ? 'play' : 'pause'} keys="p" class="quiet icon-only"
  label=${`${queue.paused ? 'Resume' : 'Pause'} ${queue.name}`} />`;

export function Stepper({queue}) {
  const {desired, running, pinned, reason: why} = queue.workers;
  const step = (n, icon, keys, label) => html`<button type="button" class="quiet icon-only" disabled=${!may('operate') || desired + n < 0} aria-keyshortcuts=${keys}
    aria-label=${`${label} for ${queue.name}`} title=${label} onClick=${() => start(scaleAction(queue, desired + n))}><${Icon} name=${icon} /></button>`;
  return html`<div class="stepper" title=${why}>
    ${step(-1, 'minus', '-', 'One worker fewer')}
    <span class=${running < desired ? 'is-warn' : ''}><b>${running}</b><span class="muted"> of ${desired}</span>${pinned && html`<${Icon} name="pin" /><span class="unseen">pinned</span>`}</span>
    ${step(1, 'plus', '+', 'One worker more')}</div>`;
}

/** What a queue does, in one word. */
export const conditionOf = (queue) => (queue.workers.running === 0 && backlogOf(queue.depth) + queue.depth.running > 0 && !queue.paused ? 'no workers'
  : queue.paused ? 'paused' : queue.state);

/* ---- lists with pages ---- */

/** A list of the API, its cursor in the page's address. Row: a component, given {item, reload}. */
export function List({path, params = {}, what, empty, columns, Row, every, when, address, class: extra = ''}) {
  const {data, error, reload} = useData(path + query(params), {every, when});
  if (!data?.items) {
    return html`<${Missing} error=${error} what=${what} />`;
  }
  return html`${error && html`<${Missing} error=${error} what=${what} />`}
    ${data.items.length === 0 ? empty : html`<div class=${`table-box ${extra}`}><table><thead><tr>${columns.map(([name, extra]) => html`<th scope="col" class=${extra}>${name}</th>`)}</tr></thead>
      <tbody>${data.items.map((item) => html`<${Row} key=${item.id ?? item.seq ?? item.name} item=${item} reload=${reload} />`)}</tbody></table></div>`}
    ${address && html`<nav class="pager" aria-label="Pages">
      ${params.cursor && html`<button onClick=${() => history.back()}>Back</button>`}
      ${data.next && html`<button aria-keyshortcuts="n" onClick=${() => go(address(data.next))}>Next page <${Icon} name="right" /></button>`}</nav>`}`;
}

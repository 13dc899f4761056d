import {useEffect, useRef} from 'preact/hooks';
import {Act, cli, reason, toast, withReason} from '../action.js';
import {useData} from '../api.js';
import {age, count, rate} from '../format.js';
import {Chip, Empty, Fact, html, Icon, Missing, Page, Text, When} from '../html.js';
import {backlogOf, live, past, queueOf} from '../live.js';
import {conditionOf, Figures, OPEN_STATES, pauseAction, scaleAction, StateBar, Stepper} from '../parts.js';
import {to} from '../router.js';

/** A chart of what past holds for a queue. keys: [key in past, label, colour]. */
function Chart({name, keys, title, format, whole = false}) {
  const box = useRef(), plot = useRef();
  const history = past.value.get(name);
  const data = history && [history.at.map((ms) => ms / 1000), ...keys.map(([key]) => history[key])];
  const begun = Boolean(data);
  useEffect(() => {
    let gone = false;
    if (begun) {
      import('../chart.js').then(({draw}) => {
        plot.current = gone ? undefined : draw(box.current, keys.map(([, label, colour]) => ({label, colour})), data, {format, whole});
      });
    }
    return () => {
      gone = true;
      plot.current?.end();
      plot.current = undefined;
    };
  }, [begun]);
  useEffect(() => plot.current?.set(data), [history]);
  return html`<figure class="card chart"><figcaption>${title}</figcaption><div ref=${box} class="plot" role="img" aria-label=${`${title}, the last ten minutes`} /></figure>`;
}

const Percentiles = ({of}) => html`<table class="small"><thead><tr><th scope="col"><span class="unseen">Time</span></th><th scope="col" class="num">p50</th><th scope="col" class="num">p95</th><th scope="col" class="num">p99</th></tr></thead>
  <tbody>${[['wait_seconds', 'Wait'], ['run_seconds', 'Run']].map(([key, name]) => html`<tr><th scope="row">${name}</th>${['p50', 'p95', 'p99'].map((p) => html`<td class="num">${age(of[key]?.[p])}</td>`)}</tr>`)}</tbody></table>`;

const LIMITS = {slots: 'attempts at once in each process', max_depth: 'jobs at most', max_open: 'open jobs at most', max_drain_seconds: 'drain time', max_fill_percent: 'memory full to', age_limit_seconds: 'oldest job'};

const limitText = (name, value) => (value === 0 ? 'none' : name.endsWith('_seconds') ? age(value) : name.endsWith('_percent') ? `${value} %` : count(value));

const limitsAction = (queue, reload) => ({
  title: `Limits of ${queue.name}`, verb: 'Set limits', needs: 'operate', text: 'In force within 2 s, without a restart. 0 seconds: no limit.',
  fields: [...Object.entries({slots: queue.slots, ...queue.limits}).map(([name, value]) => ({name, label: LIMITS[name] ?? name.replaceAll('_', ' '), type: 'number', min: 0, value: String(value)})), reason],
  request: ({reason: why, ...limits}) => ({method: 'PATCH', path: `/v1/queues/${encodeURIComponent(queue.name)}`, headers: {'If-Match': `"${queue.version}"`},
    body: withReason({reason: why}, Object.fromEntries(Object.entries(limits).map(([name, value]) => [name, Number(value)])))}),
  done: () => (toast(`The limits of ${queue.name} are set`), reload()),
});

const boundsAction = (scale, reload) => ({
  title: `Autoscaler of ${scale.queue}`, verb: 'Let it scale', needs: 'operate', text: 'The number of workers follows arrivals, service time and age between these bounds. What was pinned is given back.',
  fields: [{name: 'min_workers', label: 'Workers at least', type: 'number', min: 0, value: String(scale.min_workers)},
    {name: 'max_workers', label: 'Workers at most', type: 'number', min: 0, optional: true, value: String(scale.max_workers ?? ''), hint: 'Empty: as many as the machines have processors.'},
    {name: 'target_age_seconds', label: 'Jobs may wait, seconds', type: 'number', min: 1, value: String(scale.target_age_seconds)}, reason],
  request: (values) => ({method: 'PUT', path: `/v1/scale/${encodeURIComponent(scale.queue)}`, body: withReason(values, {workers: 'auto', min_workers: Number(values.min_workers),
    max_workers: values.max_workers === '' ? null : Number(values.max_workers), target_age_seconds: Number(values.target_age_seconds)})}),
  cli: (values) => cli('scale', `${scale.queue}=auto`, '--min', values.min_workers, values.max_workers && '--max', values.max_workers, '--target-age', `${values.target_age_seconds}s`),
  done: () => (toast(`${scale.queue} is scaled by itself`), reload()),
});

const Bounds = ({scale, reload}) => html`<section class="card"><h2>Autoscaler</h2><dl class="facts"><${Fact} name="Workers">${count(scale.min_workers)} to ${scale.max_workers == null ? 'as many as there are processors' : count(scale.max_workers)}</${Fact}>
  <${Fact} name="Jobs may wait">${age(scale.target_age_seconds)}</${Fact}><${Fact} name="Slots wanted">${count(scale.desired_slots)}</${Fact}></dl><${Act} action=${boundsAction(scale, reload)} icon="edit" class="">Change</${Act}></section>`;

const Changes = ({of}) => of?.length > 0 && html`<section class="card"><h2>Changes of the number of workers</h2><ul class="log">${of.map((one) => html`<li><${When} at=${one.at} /> ${one.before} → <b>${one.workers}</b>
  <${Text} of=${one.author} /> <span class="muted"><${Text} of=${one.reason} /></span></li>`)}</ul></section>`;

const Limits = ({limits}) => html`<dl class="facts">${Object.entries(limits).map(([name, value]) => html`<${Fact} name=${LIMITS[name] ?? name.replaceAll('_', ' ')}>${limitText(name, value)}</${Fact}>`)}</dl>`;

const States = ({name, depth}) => html`<section class="card"><h2>Jobs by state</h2><${StateBar} depth=${depth} /><ul class="states">
  ${[...OPEN_STATES, 'dead'].map((state) => html`<li><a href=${state === 'dead' ? to.dead(name) : to.jobs(`queue:${name} state:${state}`)}><i class=${`dot is-${state}`} /><span>${state}</span><b>${count(depth[state])}</b></a></li>`)}
  ${depth.unplaced > 0 && html`<li><i class="dot" /><span>not yet in Redis</span><b>${count(depth.unplaced)}</b></li>`}</ul></section>`;

const Workers = ({queue}) => html`<section class="card"><h2>Workers</h2><${Stepper} queue=${queue} />
  <dl class="facts"><${Fact} name="Slots">${count(queue.busy)} busy of ${count(queue.slots)}</${Fact}>
    <${Fact} name="Why">${queue.workers.reason ? html`<${Text} of=${queue.workers.reason} />` : '–'}</${Fact}>
    <${Fact} name="Set by"><${Text} of=${queue.workers.author} /> <${When} at=${queue.workers.at_ms} />${queue.workers.pinned && html` <${Chip} kind="pinned">pinned</${Chip}>`}</${Fact}></dl></section>`;

/** Of a queue, as the totals are of all. */
function totalsOf(queue) {
  const failed = (queue.retry_per_s ?? 0) + (queue.dead_per_s ?? 0);
  const all = queue.out_per_s + failed;
  return {oldest_age_s: queue.oldest_age_s, backlog: backlogOf(queue.depth), in_per_s: queue.in_per_s, out_per_s: queue.out_per_s,
    drain_eta_s: queue.drain_eta_s, error_pct: all > 0 ? (100 * failed) / all : 0};
}

const seconds = (value) => age(value);

function Live({queue}) {
  return html`<${Figures} of=${totalsOf(queue)} limit=${queue.age_limit_s} history=${past.value.get(queue.name)} dead=${queue.depth.dead} />
    ${queue.state !== 'open' && html`<section class="troubles"><p class=${queue.state === 'closed' ? 'is-bad' : 'is-warn'}><${Icon} name="dead" /><${Text} of=${`${queue.state}: ${queue.why}`} /></p></section>`}
    <div class="columns"><${Chart} name=${queue.name} title="Backlog" format=${count} whole keys=${[['backlog', 'jobs', '--s-waiting']]} />
      <${Chart} name=${queue.name} title="In and out per second" format=${rate} keys=${[['in', 'in', '--s-delayed'], ['out', 'out', '--s-running']]} />
      <${Chart} name=${queue.name} title="Age of the oldest job" format=${seconds} keys=${[['oldest', 'age', '--accent']]} /></div>
    <div class="columns"><${States} name=${queue.name} depth=${queue.depth} /><${Workers} queue=${queue} /></div>`;
}

function Rest({name}) {
  const {data, error, reload} = useData(`/v1/queues/${encodeURIComponent(name)}`, {every: 10_000});
  const scale = useData(`/v1/scale/${encodeURIComponent(name)}`, {when: queueOf(name)?.workers.at_ms});
  if (!data) {
    return html`<${Missing} error=${error} what="This queue" />`;
  }
  return html`<div class="columns"><section class="card"><h2>Times <span class="sub">since the worker processes began</span></h2>${data.run_seconds ? html`<${Percentiles} of=${data} />` : html`<p class="muted">Percentiles are not available on this server.</p>`}</section>
    <section class="card" aria-label="Limits in force"><h2>Limits in force</h2><${Limits} limits=${{slots: data.slots, ...data.limits}} />
      ${data.version != null && html`<${Act} action=${limitsAction(data, reload)} icon="edit" class="">Change</${Act}>`}</section>
    ${scale.data?.target_age_seconds != null && html`<${Bounds} scale=${scale.data} reload=${scale.reload} />`}<${Changes} of=${scale.data?.changes} /></div>`;
}

export function Queue({name}) {
  const queue = queueOf(name);
  const actions = queue && html`<${Act} action=${pauseAction(queue)} icon=${queue.paused ? 'play' : 'pause'} keys="p" class="">${queue.paused ? 'Resume' : 'Pause'}</${Act}>
    <${Act} action=${scaleAction(queue, queue.workers.desired)} icon="workers" keys="s" class="">Scale</${Act}>`;
  return html`<${Page} title=${name} sub=${queue && html`<${Chip} kind=${conditionOf(queue).replace(' ', '-')}>${conditionOf(queue)}</${Chip}>`} actions=${actions}>
    ${queue ? html`<${Live} queue=${queue} />` : live.value && html`<${Empty} icon="help">There is no queue of this name in the live figures.</${Empty}>`}
    <${Rest} name=${name} /></${Page}>`;
}

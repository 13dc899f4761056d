import {Act, cli, reason, toast, withReason} from '../action.js';
import {ask, query, useData} from '../api.js';
import {Bulk} from '../bulk.js';
import {count} from '../format.js';
import {Block, Empty, Fact, html, Missing, Page, Text, visible, When} from '../html.js';
import {live, queueNames, queueOf} from '../live.js';
import {Bars, List} from '../parts.js';
import {to} from '../router.js';

/** The latest discarded come back first: with a limit, just what was discarded. */
const restore = async (queue, filter, n, reload) => {
  try {
    const {restored} = await ask('POST', `/v1/dlq/${encodeURIComponent(queue)}/restore`, {body: {...filter, limit: n}});
    toast(restored === 1 ? 'The job is back' : `${count(restored)} jobs are back`);
  } catch (problem) {
    toast(problem.detail ?? problem.title, {kind: 'bad'});
  }
  reload();
};

/** filter: {fingerprint}, or {ids}. */
const discardAction = (queue, filter, n, reload) => ({
  title: n === 1 ? 'Discard this job' : `Discard ${count(n)} jobs`, verb: 'Discard', danger: true, needs: 'replay', confirm: n === 1 ? undefined : String(n),
  text: 'They leave this list and are not run again. This can be undone, as long as dead jobs are kept.', fields: [reason],
  request: (values) => ({method: 'POST', path: `/v1/dlq/${encodeURIComponent(queue)}/discard`, body: withReason(values, filter)}),
  done: ({discarded, left}) => {
    toast(`${count(discarded)} discarded${left > 0 ? `, ${count(left)} left` : ''}`, {undo: discarded > 0 && (() => restore(queue, filter, discarded, reload))});
    reload();
  },
});

const retryOne = (job, reload) => ({
  title: 'Retry this job', verb: 'Retry', needs: 'replay', text: 'It runs again under its own id. Effects that it has had already are not repeated.',
  request: () => ({method: 'POST', path: `/v1/jobs/${job.id}/retry`}), cli: () => cli('job', 'retry', job.id),
  done: () => (toast('The job waits again'), reload()),
});

/** How many are dead: when it changes, the lists are read again; a page that is only open reads nothing. */
const dead = (queue) => (queue ? queueOf(queue)?.depth.dead : live.value?.totals.dead);

/* ---- groups ---- */

const total = (trend) => trend.reduce((sum, n) => sum + n, 0);

const GroupRow = ({item, reload}) => html`<tr data-box>
  <th scope="row" class="wide"><a data-row href=${to.group(item.fingerprint, item.queue)}><${Text} of=${item.message || item.fingerprint} max=${140} /></a>
    <span class="sub"><${Text} of=${item.type} /> in <a href=${to.queue(item.queue)}><${Text} of=${item.queue} /></a>${item.first_release && html`, since release <${Text} of=${item.first_release} />`}</span></th>
  <td class="num" data-label="Jobs"><b>${count(item.count)}</b></td>
  <td class="trend" data-label="Last hour">${item.trend && html`<${Bars} values=${item.trend} label=${`${total(item.trend)} in the last hour`} />`}</td>
  <td data-label="First"><${When} at=${item.first_at} /></td>
  <td data-label="Last"><${When} at=${item.last_at} /></td>
  <td class="end"><a class="button quiet" aria-keyshortcuts="r" href=${to.group(item.fingerprint, item.queue)}>Retry…</a>
    <${Act} action=${discardAction(item.queue, {fingerprint: item.fingerprint}, item.count, reload)} icon="trash" keys="x" class="quiet icon-only" label="Discard the group" /></td></tr>`;

const GROUPS = [['Error'], ['Jobs', 'num'], ['Last hour'], ['First'], ['Last'], [html`<span class="unseen">Actions</span>`, 'end']];

const QueueFacets = ({queue}) => html`<nav class="facets" aria-label="Queues"><a href=${to.dead()} aria-current=${queue ? undefined : 'true'}>all queues</a>
  ${queueNames.value.map((name) => html`<a href=${to.dead(name)} aria-current=${queue === name ? 'true' : undefined}><${Text} of=${name} /></a>`)}</nav>`;

function Groups({queue}) {
  const {data, error, reload} = useData(`/v1/dlq/groups${query({queue})}`, {when: dead(queue)});
  if (!data) {
    return html`<${Missing} error=${error} what="Grouping by error" />`;
  }
  if (data.items.length === 0) {
    return html`<${Empty}>Nothing is dead.</${Empty}>`;
  }
  return html`<div class="table-box cards"><table><thead><tr>${GROUPS.map(([name, extra]) => html`<th scope="col" class=${extra}>${name}</th>`)}</tr></thead>
    <tbody>${data.items.map((item) => html`<${GroupRow} key=${item.fingerprint + item.queue + item.type} item=${item} reload=${reload} />`)}</tbody></table></div>`;
}

/* ---- jobs ---- */

const lastError = (job) => {
  const error = job.errors?.at(-1);
  return error?.detail || error?.code || job.fingerprint;
};

const JOBS = [['Job'], ['Type'], ['Queue'], ['Attempts', 'num'], ['Died'], [html`<span class="unseen">Actions</span>`, 'end']];

const DeadRow = ({item, reload}) => html`<tr data-box>
  <th scope="row" class="wide"><a data-row href=${to.job(item.id)}><code>${item.id}</code></a><span class="sub"><${Text} of=${lastError(item)} max=${140} /></span></th>
  <td data-label="Type"><${Text} of=${item.type} /></td><td data-label="Queue"><${Text} of=${item.queue} /></td><td class="num" data-label="Attempts">${item.attempts}</td><td data-label="Died"><${When} at=${item.died_at} /></td>
  <td class="end"><${Act} action=${retryOne(item, reload)} icon="retry" keys="r" class="quiet icon-only" label="Retry this job" />
    <${Act} action=${discardAction(item.queue, {ids: [item.id]}, 1, reload)} icon="trash" keys="x" class="quiet icon-only" label="Discard this job" /></td></tr>`;

const Jobs = ({params, address}) => html`<${List} path="/v1/dlq" params=${{limit: 50, ...params}} what="The list of dead jobs" class="cards" columns=${JOBS} Row=${DeadRow} when=${dead(params.queue)}
  empty=${html`<${Empty}>Nothing is dead here.</${Empty}>`} address=${address} />`;

export function Dead({params}) {
  const queue = params.get('queue'), cursor = params.get('cursor');
  return html`<${Page} title="Dead" sub="grouped by error, then job by job">
    <${QueueFacets} queue=${queue} />
    <section aria-label="Groups"><${Groups} queue=${queue} /></section>
    <section aria-label="Jobs"><h2>Latest</h2><${Jobs} params=${{queue, cursor}} address=${(next) => `/ui/dead${query({queue, cursor: next})}`} /></section></${Page}>`;
}

export function Group({params}) {
  const fingerprint = params.get('fingerprint'), queue = params.get('queue'), cursor = params.get('cursor');
  const {data, error, reload} = useData(`/v1/dlq/groups${query({queue})}`, {when: dead(queue)});
  const group = data?.items.find((one) => one.fingerprint === fingerprint);
  const scope = {key: `${queue}/${fingerprint}`, queue, filter: {fingerprint}, reload};
  return html`<${Page} title=${visible(group?.type ?? 'Dead group')} sub=${html`<a href=${to.queue(queue)}><${Text} of=${queue} /></a>`}
      actions=${group && html`<${Act} action=${discardAction(queue, {fingerprint}, group.count, reload)} icon="trash" keys="x" class="danger">Discard all</${Act}>`}>
    ${error && html`<${Missing} error=${error} what="Grouping by error" />`}
    ${data && !group && html`<${Empty}>Nothing of this group is dead any more.</${Empty}>`}
    <div class="columns">${group && html`<section class="card"><h2>Error</h2><${Block} text=${group.message} class="error" />
      <dl class="facts"><${Fact} name="Fingerprint"><code><${Text} of=${fingerprint} /></code></${Fact}><${Fact} name="Jobs">${count(group.count)}</${Fact}><${Fact} name="First"><${When} at=${group.first_at} /></${Fact}><${Fact} name="Last"><${When} at=${group.last_at} /></${Fact}>
      ${group.first_release && html`<${Fact} name="Since release"><${Text} of=${group.first_release} /></${Fact}>`}${group.last_release && html`<${Fact} name="Last on release"><${Text} of=${group.last_release} /></${Fact}>`}
      ${group.trend && html`<${Fact} name="Last hour"><${Bars} values=${group.trend} label=${`${total(group.trend)} in the last hour`} /></${Fact}>`}</dl></section>`}
      <${Bulk} scope=${scope} /></div>
    <section aria-label="Jobs"><h2>Jobs</h2><${Jobs} params=${{queue, fingerprint, cursor}} address=${(next) => `${to.group(fingerprint, queue)}&cursor=${next}`} /></section></${Page}>`;
}

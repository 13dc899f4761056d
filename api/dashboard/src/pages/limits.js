import {Act, cli, reason, toast, withReason} from '../action.js';
import {useData} from '../api.js';
import {count, rate} from '../format.js';
import {html, Missing, Text, When} from '../html.js';

const FIELDS = [['rate_per_second', 'Per second', '--rate'], ['burst', 'At once, at most', '--burst'], ['concurrency', 'Attempts at once (types alone)', '--concurrency']];

const given = (values) => FIELDS.filter(([name]) => values[name] !== '');

const setAction = (limit, reload) => ({
  title: limit ? `Change ${limit.limit}` : 'New limit', verb: 'Set', needs: 'operate', text: 'In force within a second, for all processes together.',
  fields: [{name: 'limit', label: 'Of', value: limit?.limit ?? '', pattern: '(tenant|type|queue|key):.{1,64}', hint: 'tenant:acme, type:demo.note, queue:orders or key:<id>'},
    ...FIELDS.map(([name, label]) => ({name, label, type: 'number', min: name === 'rate_per_second' ? 0.001 : 1, step: name === 'rate_per_second' ? 'any' : 1, optional: true, value: String(limit?.[name] ?? '')})), reason],
  request: (values) => ({method: 'PUT', path: `/v1/limits/${encodeURIComponent(values.limit)}`,
    body: withReason(values, Object.fromEntries(given(values).map(([name]) => [name, Number(values[name])])))}),
  cli: (values) => cli('limit', 'set', values.limit, ...given(values).flatMap(([name, , option]) => [option, values[name]]), values.reason && '--reason', values.reason),
  done: () => (toast('The limit is set'), reload()),
});

const endAction = ({limit}, reload) => ({
  title: `End ${limit}`, verb: 'End the limit', danger: true, needs: 'operate',
  request: () => ({method: 'DELETE', path: `/v1/limits/${encodeURIComponent(limit)}`}), cli: () => cli('limit', 'delete', limit),
  done: () => (toast(`${limit} is not limited any more`), reload()),
});

const Row = ({item, reload}) => html`<tr data-box><th scope="row"><${Text} of=${item.limit} /></th>
  <td class="num" data-label="Per second">${rate(item.rate_per_second)}</td><td class="num" data-label="At once">${count(item.burst)}</td><td class="num" data-label="Concurrency">${count(item.concurrency)}</td>
  <td class="wide" data-label="Why"><${Text} of=${item.reason || '–'} /></td><td data-label="Set by"><${Text} of=${item.author} /> <span class="muted"><${When} at=${item.at} /></span></td>
  <td class="end"><${Act} action=${setAction(item, reload)} icon="edit" keys="e" class="quiet icon-only" label=${`Change ${item.limit}`} /><${Act} action=${endAction(item, reload)} icon="trash" keys="x" class="quiet icon-only" label=${`End ${item.limit}`} /></td></tr>`;

/** Rates and concurrency of tenants, types, queues and keys. */
export function Limits() {
  const {data, error, reload} = useData('/v1/limits', {every: 30_000});
  if (!data) {
    return html`<section aria-label="Limits"><h2>Limits on rates</h2><${Missing} error=${error} what="The list of limits" /></section>`;
  }
  return html`<section aria-label="Limits"><div class="head"><h2>Limits on rates</h2><${Act} action=${setAction(null, reload)} icon="plus" class="">New limit</${Act}></div>
    ${data.items.length === 0 ? html`<p class="muted">Nobody is limited.</p>` : html`<div class="table-box cards"><table><thead><tr><th scope="col">Of</th><th scope="col" class="num">Per second</th><th scope="col" class="num">At once</th><th scope="col" class="num">Concurrency</th>
      <th scope="col">Why</th><th scope="col">Set by</th><th scope="col" class="end"><span class="unseen">Actions</span></th></tr></thead><tbody>${data.items.map((item) => html`<${Row} key=${item.limit} item=${item} reload=${reload} />`)}</tbody></table></div>`}</section>`;
}

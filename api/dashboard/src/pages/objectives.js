import {useData} from '../api.js';
import {age, count, rate} from '../format.js';
import {html, Missing, Text} from '../html.js';

/** A ratio near one, with as many digits as its target needs to be told from it. */
const ratio = (value) => (value == null ? '–' : `${(100 * value).toFixed(value >= 0.999 && value < 1 ? 3 : 2).replace(/\.?0+$/, '')} %`);

const judged = ({budget_left: left}) => (left == null ? 'plain' : left <= 0 ? 'bad' : left < 0.25 ? 'warn' : 'good');

const NAMES = {start: 'starts', completion: 'done without dying', availability: 'answered without fault', latency: 'answered'};

const Row = ({item}) => html`<tr data-box><th scope="row"><b><${Text} of=${item.of} /></b> <span class="muted">${NAMES[item.kind] ?? item.kind}${item.within_seconds != null && ` within ${age(item.within_seconds)}`}</span></th>
  <td class="num" data-label="Target">${ratio(item.target)}</td><td class="num" data-label="Attained">${ratio(item.attained)}</td>
  <td class=${`num is-${judged(item)}`} data-label="Budget left">${item.budget_left == null ? '–' : `${Math.round(100 * item.budget_left)} %`}</td>
  <td class="num" data-label="Today">${ratio(item.today.attained)}</td><td class="num" data-label="Of">${count(item.total)}</td><td class="num" data-label="Per second">${rate(item.per_second)}</td></tr>`;

const COLUMNS = ['Target', 'Attained', 'Budget left', 'Today', 'Of', 'Per second'];

/** What was promised, and how it is kept; from the API's memory. The ones that lose come first. */
export function Objectives() {
  const {data, error} = useData('/v1/slo', {every: 15_000});
  if (!data) {
    return error ? html`<section aria-label="Objectives"><h2>Objectives</h2><${Missing} error=${error} what="The list of objectives" /></section>` : null;
  }
  const items = data.items.toSorted((a, b) => (a.budget_left ?? 2) - (b.budget_left ?? 2));
  return html`<section aria-label="Objectives"><h2>Objectives, over ${data.window.days} days</h2><div class="table-box cards"><table class="dense">
    <thead><tr><th scope="col">Objective</th>${COLUMNS.map((name) => html`<th scope="col" class="num">${name}</th>`)}</tr></thead>
    <tbody>${items.map((item) => html`<${Row} key=${item.name} item=${item} />`)}</tbody></table></div></section>`;
}

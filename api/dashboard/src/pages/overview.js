import {age, count, rate} from '../format.js';
import {Chip, Empty, html, Icon, Page, Text} from '../html.js';
import {backlogOf, link, live, past} from '../live.js';
import {conditionOf, Figures, judged, Pause, Sparkline, StateBar, Stepper} from '../parts.js';
import {to} from '../router.js';
import {Objectives} from './objectives.js';

/** What an operator should know before the numbers: [kind, text, address]. */
function troubles(snapshot) {
  const said = [];
  if (!snapshot.ready) {
    said.push(['bad', 'The API does not accept work', null]);
  }
  said.push(...(snapshot.degraded ?? []).map((text) => ['warn', `Degraded: ${text}`, null]));
  for (const queue of snapshot.queues) {
    if (queue.state !== 'open') {
      said.push([queue.state === 'closed' ? 'bad' : 'warn', `${queue.name} is ${queue.state}: ${queue.why}${queue.retry_after_s ? `; producers are told to wait ${age(queue.retry_after_s)}` : ''}`, to.queue(queue.name)]);
    }
    if (conditionOf(queue) === 'no workers') {
      said.push(['bad', `${queue.name} has jobs waiting (${count(backlogOf(queue.depth))}) and no workers`, to.queue(queue.name)]);
    }
    if (queue.paused) {
      said.push(['warn', `${queue.name} is paused`, to.queue(queue.name)]);
    }
  }
  for (const one of snapshot.dependencies ?? []) {
    if (one.state !== 'closed') {
      said.push([one.state === 'open' ? 'bad' : 'warn', `The circuit to ${one.name} is ${one.state}: its jobs wait, no attempt is charged${one.why ? `. Its last answer: ${one.why}` : ''}`, '/ui/workers']);
    }
  }
  return said;
}

const Troubles = ({snapshot}) => {
  const said = troubles(snapshot);
  return html`<section aria-label="What needs attention" class="troubles">${said.length === 0
    ? html`<p class="is-good"><${Icon} name="check" />All queues take work and have workers.</p>`
    : said.map(([kind, text, href]) => html`<p class=${`is-${kind}`}><${Icon} name="dead" />${href ? html`<a href=${href}><${Text} of=${text} /></a>` : html`<${Text} of=${text} />`}</p>`)}</section>`;
};

function QueueRow({queue}) {
  const condition = conditionOf(queue);
  const limit = queue.age_limit_s;
  const {depth} = queue;
  return html`<tr data-box>
    <th scope="row"><a data-row href=${to.queue(queue.name)}><${Text} of=${queue.name} /></a>
      ${condition !== 'open' && html`<${Chip} kind=${condition.replace(' ', '-')}>${condition}</${Chip}>`}</th>
    <td class="depth" data-label="Jobs"><${StateBar} depth=${depth} /><span class="sub"><b>${count(depth.waiting)}</b> waiting · <b>${count(depth.running)}</b> running${depth.delayed > 0 && html` · <b>${count(depth.delayed)}</b> delayed`}${depth.parked > 0 && html` · <b>${count(depth.parked)}</b> parked`}</span></td>
    <td class="num" data-label="Dead">${depth.dead > 0 ? html`<a class="is-dead-text" href=${to.dead(queue.name)}>${count(depth.dead)}</a>` : html`<span class="muted">0</span>`}</td>
    <td class=${`num is-${judged(queue.oldest_age_s, limit)}`} data-label="Oldest" title=${limit ? `limit ${age(limit)}` : 'no limit set'}>${age(queue.oldest_age_s)}</td>
    <td class="num" data-label="In / s">${rate(queue.in_per_s)}</td>
    <td class="num" data-label="Out / s">${rate(queue.out_per_s)}</td>
    <td class="trend" data-label="10 minutes"><${Sparkline} values=${past.value.get(queue.name)?.backlog} label="Backlog" /></td>
    <td class="num" data-label="Empty in">${backlogOf(depth) === 0 ? html`<span class="muted">–</span>` : queue.drain_eta_s == null ? 'never' : age(queue.drain_eta_s)}</td>
    <td class="workers" data-label="Workers"><${Stepper} queue=${queue} /></td>
    <td class="end"><${Pause} queue=${queue} /></td></tr>`;
}

const Queues = ({queues}) => html`<section class="table-box queues" aria-label="Queues"><table>
  <thead><tr><th scope="col">Queue</th><th scope="col">Jobs</th><th scope="col" class="num">Dead</th><th scope="col" class="num">Oldest</th><th scope="col" class="num">In / s</th>
    <th scope="col" class="num">Out / s</th><th scope="col">10 minutes</th><th scope="col" class="num">Empty in</th><th scope="col" class="workers">Workers</th><th scope="col" class="end"><span class="unseen">Pause</span></th></tr></thead>
  <tbody>${queues.map((queue) => html`<${QueueRow} key=${queue.name} queue=${queue} />`)}</tbody></table></section>`;

const Dependencies = ({of}) => of?.length > 0 && html`<section class="deps" aria-label="Dependencies"><h2>Dependencies</h2><ul>
  ${of.map((one) => html`<li><i class=${`dot is-circuit-${one.state}`} /><${Text} of=${one.name} /><span class="muted">${one.state === 'closed' ? 'works' : one.state}${one.window != null && `, ${one.window === 1 ? 'one call' : `${one.window} calls`} at once`}</span></li>`)}</ul></section>`;

/** The queue whose oldest job is nearest to its limit. */
const worst = (queues) => queues.filter((queue) => queue.age_limit_s && queue.oldest_age_s != null)
  .toSorted((a, b) => b.oldest_age_s / b.age_limit_s - a.oldest_age_s / a.age_limit_s)[0];

export function Overview() {
  const snapshot = live.value;
  if (!snapshot) {
    return html`<${Page} title="Overview">${link.value === 'missing' ? html`<${Empty} icon="help">Live figures are not available on this server.</${Empty}>`
      : html`<p class="loading" role="status">Waiting for the first figures…</p>`}</${Page}>`;
  }
  const near = worst(snapshot.queues);
  const oldest = near ? {...snapshot.totals, oldest_age_s: near.oldest_age_s} : snapshot.totals;
  return html`<${Page} title="Overview">
    <${Figures} of=${oldest} limit=${near?.age_limit_s} oldestIn=${near && html`<a href=${to.queue(near.name)}><${Text} of=${near.name} /></a>`} history=${past.value.get('')} dead=${snapshot.totals.dead} />
    <${Troubles} snapshot=${snapshot} />
    <${Queues} queues=${snapshot.queues} />
    <${Dependencies} of=${snapshot.dependencies} /><${Objectives} /></${Page}>`;
}

// An order, payment or notification: what it is, and its timeline across jobs, provider references, events and webhooks.
import {useData} from '../api.js';
import {age, between, money} from '../format.js';
import {Copy, Empty, Fact, html, Missing, Page, State, Text, visible, When} from '../html.js';
import {Json} from '../json.js';
import {to} from '../router.js';

const BAD = /\b(dead|declined|errored|failed|expired)$/;
const DOTS = [[/^job /, 'running'], [/^event /, 'delayed'], [/^(payment|authorize|capture|void|refund) /, 'waiting'], [/^(email|sms|webhook) /, 'parked'], [/./, 'done']];

/** Shown in the sentence, or of no use to a reader. */
const SHOWN = new Set(['state', 'outcome', 'event_id', 'op_id']);
const LINKS = {job_id: to.job, order_id: (id) => to.thing('order', id), payment_id: (id) => to.thing('payment', id), notification_id: (id) => to.thing('notification', id)};

const worded = (name) => name.replace(/_(minor|at|id)$/, '').replaceAll('_', ' ');

/** One member of what the API says, by its name. all: its neighbours, for the currency. */
function Value({name, value, all}) {
  if (LINKS[name]) {
    return html`<a href=${LINKS[name](value)}><code>${visible(value)}</code></a>`;
  }
  if (name.endsWith('_minor') && all.currency) {
    return money(value, all.currency);
  }
  return name.endsWith('_at') ? html`<${When} at=${value} />` : html`<${Text} of=${value} />`;
}

const scalars = (object) => Object.entries(object).filter(([, value]) => value != null && value !== '' && typeof value !== 'object');

const dotOf = (what) => (BAD.test(what) ? 'dead' : DOTS.find(([pattern]) => pattern.test(what))[1]);

function Moment({item: {source, at, what, detail}, before}) {
  const rest = scalars(detail).filter(([name]) => !SHOWN.has(name));
  return html`<li><i class=${`dot is-${dotOf(what)}`} />
    <div><span class="moment"><b><${Text} of=${what} /></b>${detail.outcome && html`<${State} of=${detail.outcome} />`}<span class="chip"><${Text} of=${source} /></span>
      <span class="muted"><${When} at=${at} />${before && html`, +${age(between(before.at, at))}`}</span></span>
      ${rest.length > 0 && html`<span class="links">${rest.map(([name, value]) => html`<span><span class="muted">${worded(name)}</span> <${Value} name=${name} value=${value} all=${detail} /></span>`)}</span>`}</div></li>`;
}

function Timeline({kind, id}) {
  const {data, error} = useData(`/v1/${kind}s/${encodeURIComponent(id)}/timeline`, {every: 15_000});
  return html`<section class="card"><h2>Timeline</h2>${!data ? html`<${Missing} error=${error} what="The timeline" />`
    : html`<ol class="timeline">${data.items.map((item, i) => html`<${Moment} item=${item} before=${data.items[i - 1]} />`)}</ol>`}</section>`;
}

const Facts = ({of}) => html`<section class="card"><h2>Facts</h2><dl class="facts">${scalars(of).map(([name, value]) => html`<${Fact} name=${worded(name)}><${Value} name=${name} value=${value} all=${of} /></${Fact}>`)}</dl></section>`;

const Parts = ({of}) => Object.entries(of).filter(([name, value]) => value !== null && typeof value === 'object' && name !== 'timeline')
  .map(([name, value]) => html`<section class="card"><h2>${worded(name)}</h2><${Json} of=${value} /></section>`);

export function Business({kind, id}) {
  const {data, error} = useData(`/v1/${kind}s/${encodeURIComponent(id)}`, {every: 5000});
  const title = kind[0].toUpperCase() + kind.slice(1);
  return html`<${Page} title=${title} sub=${html`${data?.status && html`<${State} of=${data.status} /> `}<code>${visible(id)}</code> <${Copy} text=${id} />`}>
    ${data ? html`<div class="columns wide-first"><${Timeline} kind=${kind} id=${id} /><${Facts} of=${data} /></div><${Parts} of=${data} />`
      : error?.status === 404 && !error.isMissing ? html`<${Empty} icon="search">There is no ${kind} of this id; a key sees its own tenant only.</${Empty}>`
        : html`<${Missing} error=${error} what=${`The ${kind}`} />`}</${Page}>`;
}

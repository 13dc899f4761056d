import {curl} from '../action.js';
import {query} from '../api.js';
import {age, between} from '../format.js';
import {parse, STATES, withTerm} from '../filter.js';
import {Copy, Empty, html, Page, State, Text, visible, When} from '../html.js';
import {List} from '../parts.js';
import {to} from '../router.js';

const COLUMNS = [['State'], ['Type'], ['Job', 'hide-small'], ['Queue'], ['Tenant', 'hide-small'], ['Created'], ['Took', 'num hide-small'], ['Answer', 'num hide-small']];

const JobRow = ({item}) => html`<tr data-box>
  <td data-label="State"><${State} of=${item.state ?? 'untracked'} /></td>
  <th scope="row"><a data-row href=${to.job(item.id)}><${Text} of=${item.type ?? item.id} /></a></th>
  <td class="hide-small"><code>${item.id}</code></td>
  <td data-label="Queue"><a href=${to.queue(item.queue)}><${Text} of=${item.queue} /></a></td>
  <td class="hide-small"><${Text} of=${item.tenant} /></td>
  <td data-label="Created"><${When} at=${item.created_at} /></td>
  <td class="num hide-small">${age(between(item.started_at, item.finished_at))}</td>
  <td class="num hide-small">${item.status ?? '–'}</td></tr>`;

const States = ({text, terms}) => html`<nav class="facets" aria-label="States">
  <a href=${to.jobs(withTerm(text, 'state', ''))} aria-current=${terms.state ? undefined : 'true'}>all</a>
  ${STATES.map((state) => html`<a href=${to.jobs(withTerm(text, 'state', state))} aria-current=${terms.state === state ? 'true' : undefined}><i class=${`dot is-${state}`} />${state}</a>`)}</nav>`;

const Terms = ({text, terms}) => Object.keys(terms).length > 0 && html`<ul class="terms" aria-label="Filter">${Object.entries(terms).map(([name, value]) => html`<li><code>${name}:</code><${Text} of=${value} />
  <a href=${to.jobs(withTerm(text, name, ''))} aria-label=${`Remove ${name}`}>×</a></li>`)}</ul>`;

export function Jobs({params}) {
  const text = params.get('q') ?? '';
  const {terms, wrong} = parse(text);
  const asked = {...terms, limit: 50, cursor: params.get('cursor')};
  return html`<${Page} title="Jobs" sub="journal class, newest first" actions=${html`<${Copy} label="Copy as curl" text=${curl({method: 'GET', path: `/v1/jobs${query(asked)}`})} />`}>
    <${States} text=${text} terms=${terms} /><${Terms} text=${text} terms=${terms} />
    ${wrong.length > 0 ? html`<div class="problem" role="alert"><strong>The filter is not understood</strong>${wrong.map((line) => html`<span>${visible(line)}</span>`)}</div>`
      : html`<${List} class="cards jobs" path="/v1/jobs" params=${asked} what="The list of jobs" columns=${COLUMNS} Row=${JobRow} address=${(cursor) => `/ui/jobs${query({q: text, cursor})}`}
          empty=${html`<${Empty} icon="search">No job matches.</${Empty}>`} />`}</${Page}>`;
}

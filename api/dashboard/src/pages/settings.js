import {useState} from 'preact/hooks';
import {session, useData} from '../api.js';
import {Chip, Empty, Fact, html, Missing, Page, Text} from '../html.js';
import {Limits} from './limits.js';

const groupOf = (name) => name.split('.')[0];

const Setting = ({item}) => html`<tr data-box><th scope="row"><code>${item.name}</code><span class="sub"><${Text} of=${item.about ?? ''} /></span></th>
  <td data-label="Value" class="wide">${item.value === '***' ? html`<span class="masked">masked</span>` : html`<code class="wrap"><${Text} of=${item.value === '' || item.value == null ? '(empty)' : item.value} max=${2000} /></code>`}</td>
  <td data-label="From">${item.from === 'default' ? html`<span class="muted">default</span>` : html`<${Chip} kind="pinned">${item.from}</${Chip}>`}</td></tr>`;

const Group = ({name, items}) => html`<section aria-label=${name}><h2>${name}</h2><div class="table-box cards"><table class="settings"><thead><tr><th scope="col">Setting</th><th scope="col">Value in force</th><th scope="col">From</th></tr></thead>
  <tbody>${items.map((item) => html`<${Setting} key=${item.name} item=${item} />`)}</tbody></table></div></section>`;

const Identity = () => html`<section class="card"><h2>You</h2><dl class="facts"><${Fact} name="Name"><${Text} of=${session.value.name} /></${Fact}>
  ${session.value.tenant && html`<${Fact} name="Tenant"><${Text} of=${session.value.tenant} /></${Fact}>`}<${Fact} name="Scopes">${session.value.scopes?.join(', ') ?? 'all (local)'}</${Fact}></dl></section>`;

export function Settings() {
  const [wanted, want] = useState('');
  const {data, error} = useData('/v1/settings');
  const items = (data?.items ?? []).filter((item) => `${item.name} ${item.about ?? ''}`.toLowerCase().includes(wanted.toLowerCase()));
  const groups = Map.groupBy ? Map.groupBy(items, (item) => groupOf(item.name)) : new Map([['all', items]]);
  return html`<${Page} title="Settings" sub="in force in the API process that answers"><${Identity} /><${Limits} />
    ${!data ? html`<${Missing} error=${error} what="The list of settings" />` : html`
      <form class="filter" role="search" aria-label="Settings" onSubmit=${(event) => event.preventDefault()}><label>Find<input type="search" value=${wanted} onInput=${(event) => want(event.target.value)} /></label></form>
      ${items.length === 0 && html`<${Empty} icon="search">No setting matches.</${Empty}>`}
      ${[...groups].map(([name, some]) => html`<${Group} key=${name} name=${name} items=${some} />`)}`}</${Page}>`;
}

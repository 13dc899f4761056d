import {query} from '../api.js';
import {Empty, html, Page, Text, visible, When} from '../html.js';
import {List} from '../parts.js';
import {go} from '../router.js';

const short = (value) => (value == null ? '–' : typeof value === 'string' ? value : JSON.stringify(value));

/** What is neither the reason nor before and after. */
const rest = ({reason, before, after, ...more}) => (Object.keys(more).length > 0 ? more : null);

const Row = ({item, detail = item.detail ?? {}}) => html`<tr data-box><td data-label="When"><${When} at=${item.at} /></td><th scope="row"><${Text} of=${item.author} /></th><td data-label="Did"><code>${visible(item.action)}</code></td><td data-label="To"><${Text} of=${item.target} /></td>
  <td data-label="Why" class="wide"><${Text} of=${detail.reason || '–'} /></td><td data-label="Before"><code class="wrap"><${Text} of=${short(detail.before)} max=${120} /></code></td><td data-label="After"><code class="wrap"><${Text} of=${short(detail.after ?? rest(detail))} max=${120} /></code></td></tr>`;

const FIELDS = [['author', 'Who'], ['action', 'Did'], ['target', 'To']];

function Filter({params}) {
  const submit = (event) => {
    event.preventDefault();
    go(`/ui/audit${query(Object.fromEntries(new FormData(event.target)))}`);
  };
  return html`<form class="filter" role="search" aria-label="Audit" onSubmit=${submit}>${FIELDS.map(([name, label]) => html`<label>${label}<input name=${name} value=${params.get(name) ?? ''} autocomplete="off" /></label>`)}
    <button>Filter</button></form>`;
}

export function Audit({params}) {
  const asked = Object.fromEntries(FIELDS.map(([name]) => [name, params.get(name)]));
  return html`<${Page} title="Audit" sub="who changed what, and why"><${Filter} params=${params} />
    <${List} class="cards" path="/v1/audit" params=${{...asked, limit: 50, cursor: params.get('cursor')}} what="The audit log" columns=${[['When'], ['Who'], ['Did'], ['To'], ['Why'], ['Before'], ['After']]} Row=${Row}
      empty=${html`<${Empty} icon="audit">No entry matches.</${Empty}>`} address=${(cursor) => `/ui/audit${query({...asked, cursor})}`} /></${Page}>`;
}

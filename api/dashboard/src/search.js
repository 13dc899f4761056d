// The search field on top of every page, with completion (an ARIA combobox).
import {useEffect, useRef, useState} from 'preact/hooks';
import {get} from './api.js';
import {complete, STATES, UUID} from './filter.js';
import {html, Icon} from './html.js';
import {queueNames} from './live.js';
import {go, route, to} from './router.js';

let types; // once asked for

async function knownTypes() {
  types ??= get('/openapi.json').then((said) => Object.keys(said['x-job-types'] ?? {}), () => []);
  return types;
}

const Options = ({options, at, choose}) => html`<ul id="search-options" role="listbox" aria-label="Completions">
  ${options.map((one, i) => html`<li id=${`search-option-${i}`} role="option" aria-selected=${i === at}
    onMouseDown=${(event) => (event.preventDefault(), choose(one))}><code>${one.text}</code><span class="muted">${one.hint}</span></li>`)}</ul>`;

export function Search() {
  const input = useRef();
  const [text, set] = useState('');
  const [cursor, place] = useState(null); // null: closed
  const [at, select] = useState(-1);
  const [known, learn] = useState([]);
  const asked = route.value.path === 'jobs' ? route.value.params.get('q') ?? '' : '';
  useEffect(() => set(asked), [asked]);

  const {from, options} = cursor === null ? {options: []} : complete(text, cursor, {type: known, queue: queueNames.value, state: STATES});
  const close = () => (place(null), select(-1));
  const change = (value, where) => (set(value), place(where), select(-1));
  const choose = (one) => {
    const next = text.slice(0, from) + one.text + text.slice(cursor).trimStart();
    input.current.value = next; // at once: the next key may be on its way
    input.current.setSelectionRange(from + one.text.length, from + one.text.length);
    change(next, from + one.text.length);
  };
  const submit = () => {
    const wanted = text.trim();
    close();
    input.current.blur();
    go(UUID.test(wanted) ? to.job(wanted) : to.jobs(wanted));
    document.getElementById('main')?.focus({preventScroll: true});
  };
  const onKey = (event) => {
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (step && options.length) {
      select((at + step + options.length) % options.length);
      event.preventDefault();
    } else if (event.key === 'Tab' && at >= 0) {
      choose(options[at]);
      event.preventDefault();
    } else if (event.key === 'Enter') {
      event.preventDefault();
      at >= 0 ? choose(options[at]) : submit();
    } else if (event.key === 'Escape') {
      cursor === null || !options.length ? input.current.blur() : close();
    }
  };
  return html`<div class="search" role="search">
    <${Icon} name="search" />
    <input id="search" ref=${input} type="text" role="combobox" aria-label="Search jobs" aria-expanded=${options.length > 0} aria-controls="search-options"
      aria-autocomplete="list" aria-activedescendant=${at >= 0 ? `search-option-${at}` : undefined} autocomplete="off" spellcheck="false"
      placeholder="Search jobs: type: queue: state: age:>5m, or an id" value=${text}
      onFocus=${(event) => (place(event.target.value.length), knownTypes().then(learn))} onBlur=${close}
      onInput=${(event) => change(event.target.value, event.target.selectionStart)} onKeyDown=${onKey} />
    <kbd aria-hidden="true">/</kbd>
    ${options.length > 0 && html`<${Options} options=${options} at=${at} choose=${choose} />`}
  </div>`;
}

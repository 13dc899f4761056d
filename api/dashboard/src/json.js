// JSON, laid out and coloured. Strings from outside stay text; long ones are cut until they are asked for.
import {useState} from 'preact/hooks';
import {Copy, html, visible} from './html.js';

const CUT = 300, ROWS = 400;

function Long({text}) {
  const [whole, show] = useState(false);
  return html`<span class="j-string">"<bdi>${visible(whole ? text : text.slice(0, CUT))}</bdi>"</span>
    ${!whole && html` <button class="link" onClick=${() => show(true)}>+${(text.length - CUT).toLocaleString('en')} characters</button>`}`;
}

const MASK = '***';
const scalar = (value) => (value === MASK ? html`<span class="masked">masked</span>`
  : typeof value !== 'string' ? html`<span class="j-word">${String(value)}</span>`
    : value.length > CUT ? html`<${Long} text=${value} />` : html`<span class="j-string">"<bdi>${visible(value)}</bdi>"</span>`);

/** Lines: [depth, key or null, what, comma]. */
function lines(value, depth = 0, key = null, comma = '', out = []) {
  const entries = value !== null && typeof value === 'object' ? Object.entries(value) : null;
  if (!entries || entries.length === 0) {
    out.push([depth, key, entries ? (Array.isArray(value) ? '[]' : '{}') : scalar(value), comma]);
    return out;
  }
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  out.push([depth, key, open, '']);
  entries.forEach(([name, one], i) => lines(one, depth + 1, Array.isArray(value) ? null : name, i < entries.length - 1 ? ',' : '', out));
  out.push([depth, null, close, comma]);
  return out;
}

export function Json({of}) {
  const [whole, show] = useState(false);
  const all = lines(of);
  const shown = whole ? all : all.slice(0, ROWS);
  return html`<div class="block-box"><pre class="block json" tabindex="0">${shown.map(([depth, key, what, comma]) => html`<div style=${{paddingInlineStart: `${depth * 16}px`}}>
      ${key !== null && html`<span class="j-key"><bdi>${visible(JSON.stringify(key))}</bdi></span>: `}${what}${comma}</div>`)}</pre>
    ${shown.length < all.length && html`<button class="link" onClick=${() => show(true)}>Show all ${all.length} lines</button>`}
    <div class="corner"><${Copy} text=${JSON.stringify(of, null, 2)} label="Copy JSON" /></div></div>`;
}

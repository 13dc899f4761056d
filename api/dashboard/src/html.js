// What every page draws with. All text goes through text nodes: there is no way here from a string to markup.
import {h} from 'preact';
import {useEffect, useState} from 'preact/hooks';
import htm from 'htm';
import {absolute, ago, tick} from './format.js';

export const html = htm.bind(h);

export const Icon = ({name}) => html`<svg class="icon" aria-hidden="true"><use href=${`#i-${name}`} /></svg>`;

/** Bidirectional and other invisible control characters, which could make a text look like another one, are shown by their code. */
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;
export const visible = (text) => String(text).replace(HIDDEN, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);

/** A text from outside, on one line. */
export const Text = ({of, max = 300}) => {
  const text = visible(of ?? '–');
  return html`<bdi title=${text.length > max ? `${text.length} characters` : undefined}>${text.length > max ? `${text.slice(0, max)}…` : text}</bdi>`;
};

const CLIP = 4000;
/** A text from outside, in full: a long one when it is asked for. */
export function Block({text, class: extra = ''}) {
  const [whole, show] = useState(false);
  const shown = visible(text);
  const clipped = shown.length > CLIP && !whole;
  return html`<div class="block-box">
    <pre class=${`block ${extra}`} tabindex="0"><bdi>${clipped ? shown.slice(0, CLIP) : shown}</bdi></pre>
    ${clipped && html`<button class="link" onClick=${() => show(true)}>Show all ${shown.length.toLocaleString('en')} characters</button>`}
  </div>`;
}

/** A moment: how long ago, and exactly when on hover. */
export function When({at}) {
  if (at == null) {
    return '–';
  }
  tick.value;
  return html`<time dateTime=${new Date(at).toISOString()} title=${absolute(at)}>${ago(at)}</time>`;
}

export const Chip = ({kind, children}) => html`<span class=${`chip is-${kind}`}>${children}</span>`;

export const State = ({of}) => html`<${Chip} kind=${of}>${of}</${Chip}>`;

export const Empty = ({icon = 'check', children}) => html`<div class="empty"><${Icon} name=${icon} /><p>${children}</p></div>`;

/** What stands in the place of data that is not there: loading, an error, or a route that this server does not have. */
export function Missing({error, what}) {
  if (error === undefined) {
    return html`<p class="loading" role="status">Loading…</p>`;
  }
  if (error.isMissing) {
    return html`<p class="absent"><${Icon} name="help" />${what} is not available on this server.</p>`;
  }
  return html`<div class="problem" role="alert">
    <strong>${visible(error.title)}</strong>
    ${error.detail && html`<span>${visible(error.detail)}</span>`}
    ${error.hint && html`<span class="muted">${visible(error.hint)}</span>`}
    ${error.traceId && html`<span class="muted">trace <code>${error.traceId}</code></span>`}
  </div>`;
}

export function useTitle(title) {
  useEffect(() => {
    document.title = title ? `${visible(title)} · Penstock` : 'Penstock';
  }, [title]);
}

export const Page = ({title, sub, actions, children}) => {
  useTitle(typeof title === 'string' ? title : null);
  return html`<div class="page-head">
      <h1>${title}</h1>
      ${sub && html`<div class="sub">${sub}</div>`}
      ${actions && html`<div class="actions">${actions}</div>`}
    </div>${children}`;
};

export const Fact = ({name, children}) => html`<div class="fact"><dt>${name}</dt><dd>${children}</dd></div>`;

export const Copy = ({text, label = 'Copy'}) => {
  const [done, set] = useState(false);
  const copy = async () => {
    await navigator.clipboard?.writeText(text).then(() => set(true), () => set(false));
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class="quiet icon-only" onClick=${copy} aria-label=${done ? 'Copied' : label} title=${label}>
    <${Icon} name=${done ? 'check' : 'copy'} /></button>`;
};

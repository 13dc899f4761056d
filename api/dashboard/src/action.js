// Whatever changes something goes through one dialog: what will happen, why (for the audit), the same as curl and as CLI.
import {signal} from '@preact/signals';
import {useEffect, useRef, useState} from 'preact/hooks';
import {ask, may} from './api.js';
import {Copy, html, Icon, visible} from './html.js';

/** {title, text, needs, danger, verb, fields: [{name, label, type, value, options, hint, optional}], confirm, request(values), cli(values), done(answer, values)} */
const open = signal(null);
const toasts = signal([]);
let number = 0;

export const start = (action) => {
  open.value = action;
};

export function toast(text, {undo, kind = 'good'} = {}) {
  const id = ++number;
  toasts.value = [...toasts.value, {id, text, undo, kind}].slice(-4);
  setTimeout(() => dismiss(id), undo ? 20_000 : 6000);
}

const dismiss = (id) => {
  toasts.value = toasts.value.filter((one) => one.id !== id);
};

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

export const cli = (...words) => ['penstock', ...words.filter((word) => word != null && word !== '')].map((word) => quoted(String(word))).join(' ');

export function curl({method, path, body, headers = {}}) {
  const words = ['curl', ...(method === 'GET' ? [] : ['-X', method]), quoted(location.origin + path), '-H', '"Authorization: Bearer $PENSTOCK_KEY"'];
  for (const [name, value] of Object.entries(headers)) {
    words.push('-H', quoted(`${name}: ${value}`));
  }
  if (body !== undefined) {
    words.push('-H', quoted('Content-Type: application/json'), '-d', quoted(JSON.stringify(body)));
  }
  return words.join(' ');
}

/** A button that starts an action; keys: its shortcut while its row or page has the focus. */
export function Act({action, icon, keys, children, class: extra = 'quiet', label, disabled}) {
  const missing = action.needs && !may(action.needs);
  return html`<button type="button" class=${extra} disabled=${disabled || missing} aria-keyshortcuts=${keys} aria-label=${label}
      title=${missing ? `Needs the scope ${action.needs}` : label} onClick=${() => start(action)}>
    ${icon && html`<${Icon} name=${icon} />`}${children}</button>`;
}

const Command = ({name, text}) => html`<div class="command"><span class="muted">${name}</span><code tabindex="0">${visible(text)}</code>
  <${Copy} text=${text} label=${`Copy as ${name}`} /></div>`;

function Field({field, value, set}) {
  const id = `field-${field.name}`;
  const shared = {id, name: field.name, value, required: !field.optional, 'aria-describedby': field.hint ? `${id}-hint` : undefined,
    onInput: (event) => set(event.target.value)};
  const control = field.type === 'textarea' ? html`<textarea ...${shared} rows=${field.rows ?? 10} spellcheck="false" />`
    : field.type === 'select' ? html`<select ...${shared}>${field.options.map((one) => html`<option value=${one}>${one}</option>`)}</select>`
      : html`<input ...${shared} type=${field.type ?? 'text'} min=${field.min} step=${field.step} max=${field.max} maxlength=${field.maxlength} pattern=${field.pattern} autocomplete="off" />`;
  return html`<div class="field"><label for=${id}>${field.label}</label>${control}
    ${field.hint && html`<span class="hint" id=${`${id}-hint`}>${field.hint}</span>`}</div>`;
}

function useForm(action, close) {
  const [values, set] = useState(() => Object.fromEntries((action.fields ?? []).map((field) => [field.name, field.value ?? ''])));
  const [typed, type] = useState('');
  const [state, say] = useState({});
  const submit = async (event) => {
    event.preventDefault();
    say({busy: true});
    try {
      const answer = await action.run?.(values) ?? await send(action.request(values));
      close();
      action.done?.(answer, values);
    } catch (problem) {
      say({problem});
    }
  };
  return {values, change: (name) => (value) => set((old) => ({...old, [name]: value})), typed, type, state, submit};
}

const send = ({method, path, body, headers}) => ask(method, path, {body, headers});

/** A request that cannot be built yet (JSON being typed) has no command. */
const attempt = (make) => {
  try {
    return make?.();
  } catch {
    return undefined;
  }
};

const Trouble = ({problem}) => html`<div class="problem" role="alert"><strong>${visible(problem.title ?? problem.message)}</strong>
  ${problem.detail && html`<span>${visible(problem.detail)}</span>`}
  ${problem.errors?.map((error) => html`<span><code>${visible(error.pointer)}</code> ${visible(error.detail)}</span>`)}
  ${problem.hint && html`<span class="muted">${visible(problem.hint)}</span>`}</div>`;

function Form({action}) {
  const dialog = useRef();
  const form = useForm(action, () => dialog.current.close()); // closed, it gives the focus back
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  const request = attempt(() => action.request?.(form.values));
  const command = attempt(() => action.cli?.(form.values));
  const ready = (!action.confirm || form.typed === action.confirm) && !form.state.busy;
  return html`<dialog ref=${dialog} class="dialog" aria-labelledby="dialog-title" onClose=${() => (open.value = null)}>
    <form onSubmit=${form.submit}>
      <h2 id="dialog-title">${action.title}</h2>
      ${action.text && html`<p>${action.text}</p>`}
      ${action.fields?.map((field) => html`<${Field} field=${field} value=${form.values[field.name]} set=${form.change(field.name)} />`)}
      ${action.confirm && html`<div class="field"><label for="confirm">Type <strong>${visible(action.confirm)}</strong> to confirm</label>
        <input id="confirm" autocomplete="off" spellcheck="false" value=${form.typed} onInput=${(event) => form.type(event.target.value)} /></div>`}
      ${form.state.problem && html`<${Trouble} problem=${form.state.problem} />`}
      <div class="commands">
        ${request && html`<${Command} name="curl" text=${curl(request)} />`}
        ${command && html`<${Command} name="CLI" text=${command} />`}
      </div>
      <div class="buttons">
        <button type="button" onClick=${() => dialog.current.close()}>Cancel</button>
        <button type="submit" class=${action.danger ? 'danger' : 'primary'} disabled=${!ready} autofocus=${!action.fields?.length && !action.confirm}>${form.state.busy ? 'Working…' : action.verb ?? action.title}</button>
      </div>
    </form>
  </dialog>`;
}

const Toast = ({toast: {id, text, undo, kind}}) => html`<div class=${`toast is-${kind}`}>
  <span>${visible(text)}</span>
  ${undo && html`<button class="link" onClick=${() => (dismiss(id), undo())}>Undo</button>`}
  <button class="quiet icon-only" aria-label="Dismiss" onClick=${() => dismiss(id)}><${Icon} name="cancel" /></button></div>`;

/** Once, at the end of the page. */
export const Actions = () => html`
  ${open.value && html`<${Form} key=${open.value.title} action=${open.value} />`}
  <div class="toasts" role="status" aria-live="polite">${toasts.value.map((one) => html`<${Toast} key=${one.id} toast=${one} />`)}</div>`;

export const reason = {name: 'reason', label: 'Reason', optional: true, maxlength: 200, hint: 'Kept in the audit log.'};

/** A body with the reason, if there is one. */
export const withReason = (values, body = {}) => (values.reason ? {...body, reason: values.reason} : body);

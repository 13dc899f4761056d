import {useState} from 'preact/hooks';
import {ask, session} from '../api.js';
import {html, Icon, useTitle, visible} from '../html.js';

export function SignIn() {
  const [state, say] = useState({});
  useTitle('Sign in');
  const submit = async (event) => {
    event.preventDefault();
    const key = new FormData(event.target).get('key').trim();
    say({busy: true});
    try {
      session.value = await ask('POST', '/v1/session', {body: {key}});
    } catch (problem) {
      say({problem});
    }
  };
  return html`<form class="card" onSubmit=${submit}>
    <h1><${Icon} name="logo" /> Penstock</h1>
    <p>Sign in with an API key. It is exchanged for a session of 12 hours, and not kept by this page.</p>
    <div class="field"><label for="key">API key</label>
      <input id="key" name="key" type="password" required autocomplete="current-password" placeholder="pen_…" autofocus
        aria-invalid=${state.problem ? 'true' : undefined} aria-describedby=${state.problem ? 'key-problem' : 'key-hint'} /></div>
    ${state.problem ? html`<div class="problem" id="key-problem" role="alert"><strong>${visible(state.problem.title)}</strong>
        ${state.problem.detail && html`<span>${visible(state.problem.detail)}</span>`}</div>`
      : html`<p class="hint" id="key-hint"><code>penstock key create --scopes view,operate,replay</code> makes one.</p>`}
    <button class="primary" disabled=${state.busy}>${state.busy ? 'Signing in…' : 'Sign in'}</button>
  </form>`;
}

// Requests to the API of the same origin; the cookie of the session goes along by itself.
import {signal} from '@preact/signals';
import {useEffect, useRef, useState} from 'preact/hooks';

/** Who is signed in: undefined until asked, null: nobody. */
export const session = signal(undefined);

/** An answer that is no success (RFC 9457), or none at all. */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title);
    this.status = status;
    this.code = body.code;
    this.title = body.title ?? `The server answered ${status}`;
    this.detail = body.detail;
    this.hint = body.hint;
    this.errors = body.errors;
    this.traceId = body.trace_id;
  }
  get isMissing() {
    return this.code === 'no_route' || this.code === 'method_not_allowed';
  }
}

const parse = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};

/** The body of a success; throws a Problem. */
export async function ask(method, path, {body, headers, signal: stop} = {}) {
  let answer, text;
  try {
    answer = await fetch(path, {
      method,
      signal: stop,
      headers: {Accept: 'application/json', ...(body === undefined ? {} : {'Content-Type': 'application/json'}), ...headers},
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    text = await answer.text();
  } catch (error) {
    if (stop?.aborted) {
      throw error;
    }
    throw new Problem(0, {code: 'unreachable', title: 'The API does not answer', hint: 'Is the process running? This page tries again by itself.'});
  }
  const said = parse(text);
  if (answer.ok) {
    return said;
  }
  if (answer.status === 401 && path !== '/v1/session') {
    session.value = null;
  }
  throw new Problem(answer.status, said ?? {});
}

export const get = (path, stop) => ask('GET', path, {signal: stop});

/** Asks who we are. A server without sessions takes local requests as they are. */
export async function greet() {
  try {
    session.value = await get('/v1/session');
  } catch (problem) {
    session.value = problem.status === 401 ? null : {name: 'local', scopes: null};
  }
}

export const may = (scope) => {
  const scopes = session.value?.scopes;
  return scopes == null || scopes.includes(scope) || scopes.includes('admin');
};

/** "?a=b&c=d" of the members that have a value; percent-encoded throughout: to the API a plus is a plus. */
export const query = (members) => {
  const text = Object.entries(members).filter(([, value]) => value != null && value !== '').map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&');
  return text && `?${text}`;
};

const SOON_MS = 3000;

/** Calls then soon after a value has changed, once for all changes in between. */
function useChange(value, then) {
  const known = useRef(value), latest = useRef();
  latest.current = value;
  known.current ??= value;
  const isOld = value !== known.current;
  useEffect(() => {
    const timer = isOld && setTimeout(() => {
      known.current = latest.current;
      then();
    }, SOON_MS);
    return () => clearTimeout(timer);
  }, [isOld]);
}

/** GETs a path while it is shown. every: milliseconds to the next time; when: again, soon, after this has changed. What was there stays until
 * the new is. */
export function useData(path, {every = 0, when} = {}) {
  const [state, set] = useState({});
  const [turn, again] = useState(0);
  useEffect(() => {
    if (!path) {
      return undefined;
    }
    const stop = new AbortController();
    let timer;
    const load = async () => {
      if (!document.hidden || !every) {
        try {
          const data = await get(path, stop.signal);
          set({path, data});
        } catch (error) {
          if (stop.signal.aborted) {
            return;
          }
          set((old) => ({path, data: old.path === path ? old.data : undefined, error}));
        }
      }
      if (every && !stop.signal.aborted) {
        timer = setTimeout(load, every);
      }
    };
    load();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [path, every, turn]);
  useChange(when, () => again((n) => n + 1));
  const mine = state.path === path ? state : {};
  return {data: mine.data, error: mine.error, reload: () => again((n) => n + 1)};
}

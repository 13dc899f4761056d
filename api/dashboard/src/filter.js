// What is typed into the search field: qualifiers such as "type:order.place state:dead age:>5m".
export const STATES = ['waiting', 'running', 'delayed', 'parked', 'done', 'dead', 'cancelled', 'expired'];

/** name: [what it is, the API's check of its value] */
export const QUALIFIERS = {
  type: ['the job’s type', /^[\w.-]{1,64}$/],
  queue: ['the queue', /^[\w.-]{1,64}$/],
  state: ['its state', new RegExp(`^(${STATES.join('|')})$`)],
  key: ['the Idempotency-Key', /^.{1,255}$/],
  tenant: ['whose it is', /^[\w.-]{1,64}$/],
  error: ['a part of its error', /^.{1,200}$/],
  age: ['older than, as >5m', /^>?\d+(\.\d+)?(ms|s|m|h|d)$/],
};

export const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

const TOKEN = /(?:([a-z]+)([:>]))?("(?:[^"\\]|\\.)*"?|\S+)/giu;

const unquoted = (text) => (text.startsWith('"') ? text.replace(/^"|"$/g, '').replace(/\\(.)/g, '$1') : text);

/** {terms: {name: value}, wrong: [what to say]} */
export function parse(text) {
  const terms = {}, wrong = [];
  for (const [whole, name, , rest] of text.matchAll(TOKEN)) {
    const known = name && QUALIFIERS[name.toLowerCase()];
    const value = unquoted(rest);
    if (!known) {
      wrong.push(`“${whole}” has no qualifier: use ${Object.keys(QUALIFIERS).map((one) => `${one}:`).join(' ')}`);
    } else if (!known[1].test(value)) {
      wrong.push(`${name}: “${value}” is not ${known[0]}`);
    } else {
      terms[name.toLowerCase()] = name.toLowerCase() === 'age' ? `>${value.replace(/^>/, '')}` : value;
    }
  }
  return {terms, wrong};
}

/** The token that ends at the cursor, and what may stand in its place. values: by qualifier, those that are known. */
export function complete(text, cursor, values) {
  const token = /\S*$/.exec(text.slice(0, cursor))[0];
  const [, name, value] = /^([a-z]+):(.*)$/i.exec(token) ?? [];
  const options = name
    ? (values[name.toLowerCase()] ?? []).filter((one) => one.startsWith(value) && one !== value).map((one) => ({text: `${name}:${one} `, hint: ''}))
    : Object.entries(QUALIFIERS).filter(([one]) => one.startsWith(token)).map(([one, [hint]]) => ({text: `${one}:`, hint}));
  return {from: cursor - token.length, options: options.slice(0, 12)};
}

/** The text with one qualifier set to a value, or taken away. */
export function withTerm(text, name, value) {
  const kept = text.replace(new RegExp(`(^|\\s)${name}[:>]("(?:[^"\\\\]|\\\\.)*"|\\S*)`, 'gi'), '').trim();
  return [kept, value && `${name}:${/\s/.test(value) ? JSON.stringify(value) : value}`].filter(Boolean).join(' ');
}

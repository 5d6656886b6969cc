// The filter's grammar. Pure.
//
//   filter  = *( term SP )          every term must hold
//   term    = ["-"] ( key ":" values / words )
//   values  = value *( "," value )  one of them must hold
//   value, words may be quoted: "half-closed", "a b"
//
// A word is looked for anywhere in the row. What stands before ":" and is no key belongs to the word, so
// that 127.0.0.1:8007 is found as it is. A key without a value holds always: somebody is still typing.

const contains = (field, value) => field.includes(value);
const begins = (field, value) => field.startsWith(value);
const equals = (field, value) => field === value;

/** What each key looks at, and how. */
export const KEYS = {
  kind: [(row) => [row.kind, row.role, row.transport], begins],
  state: [(row) => [row.state], begins],
  cell: [(row) => [row.cell], equals],
  proto: [(row) => [row.protocol], contains],
  local: [(row) => [row.local], contains],
  peer: [(row) => [row.peer], contains],
  addr: [(row) => [row.local, row.peer], contains],
  id: [(row) => [String(row.id)], equals],
};

/** The terms of a filter: `{negated, key, values}`, `key` null for words. */
export function parseFilter(text) {
  const tokens = text.toLowerCase().match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
  return tokens.map(parseTerm).filter((term) => term.values.length > 0);
}

function parseTerm(token) {
  const negated = token.startsWith("-") && token.length > 1;
  const body = negated ? token.slice(1) : token;
  const colon = body.indexOf(":");
  const key = colon > 0 && Object.hasOwn(KEYS, body.slice(0, colon)) ? body.slice(0, colon) : null;
  const values = key === null ? [body] : body.slice(colon + 1).match(/(?:"[^"]*"?|[^,"])+/g) ?? [];
  return { negated, key, values: values.map((value) => value.replaceAll('"', "")).filter(Boolean) };
}

/** Whether `row` passes all `terms`. */
export function rowMatches(row, terms) {
  return terms.every((term) => termHolds(row, term) !== term.negated);
}

function termHolds(row, { key, values }) {
  if (key === null) return values.some((value) => searchText(row).includes(value));
  const [fields, compare] = KEYS[key];
  return fields(row).some((field) => values.some((value) => compare(field.toLowerCase(), value)));
}

/** All of a row that a word may be found in; kept until the row changes. */
function searchText(row) {
  row.search ??= [row.transport, row.kind, row.role, row.state, row.local, row.peer, row.protocol, row.cell]
    .join("\n").toLowerCase();
  return row.search;
}

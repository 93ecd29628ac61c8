/**
 * Parses YAML in a worker thread. It answers with JSON text: all aliases are expanded, only JSON values are left, and the
 * size is checked before the service receives it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { isScalar, parseDocument, visit } from 'yaml';

const { text, options, maxCharacters } = workerData;
const document = parseDocument(text, options);
if (document.errors.length > 0) throw new Error(document.errors[0].message);
// The parser has a check for duplicate keys too, but it takes quadratic time: many keys would take minutes.
visit(document, {
  Map(_, { items }) {
    const seen = new Set();
    for (const { key } of items) {
      if (!isScalar(key) || typeof key.value !== 'string')
        throw new Error(`the key ${String(key)} must be text`);
      if (seen.has(key.value)) throw new Error(`the key ${key.value} occurs twice in one map`);
      if (key.value === '__proto__') throw new Error('the key __proto__ is not allowed');
      seen.add(key.value);
    }
  },
  Scalar(_, { value }) {
    if (typeof value === 'number' && !Number.isFinite(value))
      throw new Error(`${value} is not a finite number`);
  },
});
const json = JSON.stringify(document.toJS(options)) ?? 'null';
if (json.length > maxCharacters)
  throw new Error(`with its aliases expanded it has more than ${maxCharacters} characters`);
parentPort.postMessage(json);

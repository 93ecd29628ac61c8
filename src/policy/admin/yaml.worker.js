/**
 * Reads YAML beside the event loop; a file of its own, because it is a thread of its own. It answers with JSON: so nothing is
 * shared any more, nothing is in it that JSON does not know, and its size is known before the service has to bear it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { isScalar, parseDocument, visit } from 'yaml';

const { text, options, maxCharacters } = workerData;
const document = parseDocument(text, options);
if (document.errors.length > 0) throw new Error(document.errors[0].message);
// The reader's own check compares every key with every other: a long list of them would take minutes.
visit(document, {
  Map(_, { items }) {
    const seen = new Set();
    for (const { key } of items) {
      if (!isScalar(key) || typeof key.value !== 'string')
        throw new Error(`the key ${String(key)} is not text`);
      if (seen.has(key.value)) throw new Error(`the key ${key.value} stands twice in one map`);
      if (key.value === '__proto__') throw new Error('the key __proto__ is not taken anywhere');
      seen.add(key.value);
    }
  },
  Scalar(_, { value }) {
    if (typeof value === 'number' && !Number.isFinite(value)) throw new Error(`${value} is not a number`);
  },
});
const json = JSON.stringify(document.toJS(options)) ?? 'null';
if (json.length > maxCharacters) throw new Error('with its aliases replaced it is too large');
parentPort.postMessage(json);

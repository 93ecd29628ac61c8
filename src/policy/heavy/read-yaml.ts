/**
 * Parses YAML. The result is JSON text: all aliases are expanded, only JSON values are left, and the size is checked before
 * the service receives it.
 */
import { isScalar, parseDocument, visit } from 'yaml';

/** Allows some aliases, but not enough to expand a kilobyte to a gigabyte. */
const OPTIONS = { maxAliasCount: 100, schema: 'core', uniqueKeys: false, logLevel: 'error' } as const;
/** The most characters of the text as JSON, with its aliases expanded. */
const MAX_CHARACTERS = 32 * 1024 * 1024;

export function readYaml(text: string): string {
  const document = parseDocument(text, OPTIONS);
  if (document.errors.length > 0) throw new Error(document.errors[0].message);
  // The parser has a check for duplicate keys too, but it takes quadratic time: many keys would take minutes.
  visit(document, {
    Map(_, { items }) {
      const seen = new Set<string>();
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
  const json = (JSON.stringify(document.toJS(OPTIONS)) as string | undefined) ?? 'null';
  if (json.length > MAX_CHARACTERS)
    throw new Error(`with its aliases expanded it has more than ${MAX_CHARACTERS} characters`);
  return json;
}

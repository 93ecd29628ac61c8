/** A limit on the size of JSON that the service keeps without reading it. */
import { invalid } from './errors.js';

/** Throws if the value has more than so many KiB as JSON. 0 allows any size. */
export function expectJsonWithin(maxKib: number, value: unknown, pointer: string): void {
  if (maxKib === 0 || value === undefined) return;
  const bytes = Buffer.byteLength(JSON.stringify(value));
  if (bytes <= maxKib * 1024) return;
  const detail = `must be at most ${maxKib} KiB as JSON, and has ${Math.ceil(bytes / 1024)} KiB; keep the details elsewhere and send a reference`;
  throw invalid(`${pointer.slice(1)} ${detail}.`, [{ pointer, detail, code: 'max_bytes' }]);
}

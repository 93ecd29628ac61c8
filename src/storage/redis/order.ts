/** Encodes numbers as text that sorts like the numbers. Redis sorts the members of an index by their bytes. */

const view = new DataView(new ArrayBuffer(8));
/** The length of an encoded number. */
export const ORDER_LENGTH = 16;

export function encodeOrder(order: number): string {
  if (!Number.isFinite(order)) throw new Error(`the order value ${order} is not a finite number`);
  // 0 and -0 are equal, so they need the same text.
  view.setFloat64(0, order === 0 ? 0 : order);
  const high = view.getUint32(0);
  const low = view.getUint32(4);
  // The bits of a negative number fall when it grows, so all of them are inverted. Of other numbers only the sign is.
  if (high >>> 31) return hex(~high) + hex(~low);
  return hex(high ^ 0x80000000) + hex(low);
}

export function decodeOrder(text: string): number {
  const high = Number.parseInt(text.slice(0, 8), 16);
  const low = Number.parseInt(text.slice(8, ORDER_LENGTH), 16);
  const positive = high >>> 31 === 1;
  view.setUint32(0, positive ? high ^ 0x80000000 : ~high);
  view.setUint32(4, positive ? low : ~low);
  return view.getFloat64(0);
}

function hex(bits: number): string {
  return (bits >>> 0).toString(16).padStart(8, '0');
}

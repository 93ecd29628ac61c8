/** Numbers as text that sorts like the numbers: the members of an index are ordered by their bytes. */

const view = new DataView(new ArrayBuffer(8));
/** How many characters an encoded number has. */
export const ORDER_LENGTH = 16;

export function encodeOrder(order: number): string {
  if (!Number.isFinite(order))
    throw new Error(`the order value ${order} is no number that rows can be ordered by`);
  // Zero has two signs, and they must not differ.
  view.setFloat64(0, order === 0 ? 0 : order);
  const high = view.getUint32(0);
  const low = view.getUint32(4);
  // Negative numbers grow with falling bits, so all their bits are turned; of the others only the sign.
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

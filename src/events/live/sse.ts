/** The text of Server-Sent Events (WHATWG HTML, 9.2). */

/** What is serialized once and sent to many. */
export interface Frame {
  text: string;
  bytes: number;
}

export function frame(type: string, id: string, data: string): Frame {
  // A line break would end the line of data; what we write has none, what another program wrote may.
  const lines = data.includes('\n') || data.includes('\r') ? data.split(/\r\n|\r|\n/).join('\ndata: ') : data;
  return frameOf(`id: ${id}\nevent: ${type}\ndata: ${lines}\n\n`);
}

/**
 * A comment that keeps the connection from looking idle. An id without data makes no event, but it is what the client
 * comes back with: so one whose filter lets little through needs no long replay.
 */
export function heartbeat(id?: string): Frame {
  return frameOf(`: still here\n${id === undefined ? '' : `id: ${id}\n`}\n`);
}

/** When a client that lost the connection comes back. */
export function retry(ms: number): Frame {
  return frameOf(`retry: ${Math.round(ms)}\n\n`);
}

function frameOf(text: string): Frame {
  return { text, bytes: Buffer.byteLength(text) };
}

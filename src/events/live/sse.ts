/** The text of Server-Sent Events (WHATWG HTML, 9.2). */

/** Text that is made once and sent to many readers. */
export interface Frame {
  text: string;
  bytes: number;
}

export function frame(type: string, id: string, data: string): Frame {
  // A line break would end the line of data. Only events of other programs can have one.
  const lines = data.includes('\n') || data.includes('\r') ? data.split(/\r\n|\r|\n/).join('\ndata: ') : data;
  return frameOf(`id: ${id}\nevent: ${type}\ndata: ${lines}\n\n`);
}

/**
 * A comment keeps proxies from closing an idle connection. An id without data is not an event, but a client that reconnects
 * sends it back, so that a client whose filter matches few events needs no long replay.
 */
export function heartbeat(id?: string): Frame {
  return frameOf(`: still here\n${id === undefined ? '' : `id: ${id}\n`}\n`);
}

/** Sets how long a client waits before it reconnects. */
export function retry(ms: number): Frame {
  return frameOf(`retry: ${Math.round(ms)}\n\n`);
}

function frameOf(text: string): Frame {
  return { text, bytes: Buffer.byteLength(text) };
}

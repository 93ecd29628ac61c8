/**
 * Keeps two connections on the same history of the log. After a failover one of them may still be connected to the old
 * server, because a connection that only reads need not break.
 */
import type { Terms } from './terms.js';

interface Connection {
  readonly terms: Terms;
  onConnect(listener: () => void): void;
  /** Opens a new connection, which finds the current server. */
  reconnect(): unknown;
}

/** How often the two connections are compared. */
const ALIGN_MS = 1000;

/** Returns the function that stops it. */
export function keepAligned(first: Connection, second: Connection): () => void {
  const align = (): void => {
    if (second.terms.isBehind(first.terms)) second.reconnect();
    else if (first.terms.isBehind(second.terms)) first.reconnect();
  };
  first.onConnect(align);
  second.onConnect(align);
  const timer = setInterval(align, ALIGN_MS).unref();
  return () => clearInterval(timer);
}

/**
 * Keeps two connections on the same history of the log. After a failover one of them may still be connected to the old
 * server, because a connection that only reads need not break.
 */
import type { ServerHistories } from './server-histories.js';

interface Connection {
  readonly histories: ServerHistories;
  onConnect(listener: () => void): void;
  /** Opens a new connection, which finds the current server. */
  reconnect(): unknown;
}

/** How often the two connections are compared. */
const ALIGN_MS = 1000;

/** Returns the function that stops it. */
export function keepAligned(first: Connection, second: Connection): () => void {
  const align = (): void => {
    if (second.histories.isBehind(first.histories)) second.reconnect();
    else if (first.histories.isBehind(second.histories)) first.reconnect();
  };
  first.onConnect(align);
  second.onConnect(align);
  const timer = setInterval(align, ALIGN_MS).unref();
  return () => clearInterval(timer);
}

/**
 * Loaded before the service (`--require`): its wall clock is wrong by SHIFTED_CLOCK milliseconds, or by as many as stand in
 * the file that SHIFTED_CLOCK names. Clocks that only count, as `performance.now()`, stay right, as they do on a real machine.
 */
const { readFileSync } = require('node:fs');

const POLL_MS = 20;
const RightDate = Date;
const rightNow = Date.now;
const given = process.env.SHIFTED_CLOCK;
let shiftMs = Number(given) || 0;

function read() {
  try {
    shiftMs = Number(readFileSync(given, 'utf8')) || 0;
  } catch {
    // Nobody has shifted it yet.
  }
}

Date.now = () => rightNow() + shiftMs;
globalThis.Date = new Proxy(RightDate, {
  construct: (target, args, made) =>
    Reflect.construct(target, args.length === 0 ? [Date.now()] : args, made === Date ? target : made),
  apply: () => new Date().toString(),
});
if (Number.isNaN(Number(given))) {
  read();
  setInterval(read, POLL_MS).unref();
}

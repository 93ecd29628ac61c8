// Loaded before the service (see `shiftedBy`): shifts the wall clock of the process, as a host whose clock is wrong has it.
// The monotonic clock and the timers stay as they are.
const shiftMs = Number(new URL(import.meta.url).searchParams.get('ms'));
const { now } = Date;
Date.now = () => now() + shiftMs;
globalThis.Date = new Proxy(Date, {
  construct: (made, args, by) => Reflect.construct(made, args.length === 0 ? [made.now()] : args, by),
});

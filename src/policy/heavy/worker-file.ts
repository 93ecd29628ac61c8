/** The file of the worker thread: next to the bundle, and in `build` next to this file. The tests replace this file. */
export function workerFile(): URL {
  return new URL('./heavy.worker.js', import.meta.url);
}

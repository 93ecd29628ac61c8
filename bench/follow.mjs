/**
 * The readers of the live stream, in a process of their own. Each of them must get every event once and in the same order
 * as the others. The delay of an event is measured from the time in it. It gets its jobs over IPC and sends the results.
 */
import { get } from 'node:http';

/** Longer than any pause of a loaded machine. */
const PATIENCE_MS = 60_000;
const TIMESTAMP = '"timestamp":';

/** Calls `take` with each event as text. What is no event (`retry`, a comment) is passed over. */
function follow(url, headers, take, begun) {
  let rest = '';
  const request = get(url, { headers, agent: false }, (response) => {
    if (response.statusCode !== 200) return fail(new Error(`${url} answers ${response.statusCode}`));
    response.setEncoding('utf8');
    response.on('error', fail);
    response.on('data', (chunk) => {
      begun?.();
      const text = rest + chunk;
      let from = 0;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n', from)) {
        if (text.startsWith('id: ', from)) take(text, from, end);
        from = end + 2;
      }
      rest = text.slice(from);
    });
  });
  request.on('error', fail);
  return request;
}

let fail;
let seen = [];
let order = [];
let latencies = [];
let complete = () => undefined;

function open({ open: readers, url, headers }) {
  const begun = Array.from({ length: readers }, (_, reader) => {
    return new Promise((resolve) => {
      follow(url, headers, (text, from, end) => look(reader, text, from, end), resolve);
    });
  });
  seen = begun.map(() => 0);
  return Promise.all(begun).then(() => ({ readers }));
}

function look(reader, text, from, end) {
  const id = text.slice(from + 4, text.indexOf('\n', from));
  const place = seen[reader];
  order[place] ??= id;
  if (order[place] !== id) fail(new Error(`reader ${reader} got ${id} where ${order[place]} was due`));
  seen[reader] += 1;
  const at = text.lastIndexOf(TIMESTAMP, end) + TIMESTAMP.length;
  latencies.push(Date.now() - Number(text.slice(at, text.indexOf(',', at))) * 1000);
  complete();
}

/** Until each has so many; then the count begins anew. */
async function until(events) {
  let ready = 0;
  await new Promise((resolve) => {
    const check = () => {
      while (ready < seen.length && seen[ready] >= events) ready += 1;
      if (ready === seen.length) resolve();
    };
    complete = check;
    check();
  });
  if (seen.some((count) => count > events)) throw new Error(`a reader got more than ${events} events`);
  const sorted = Float64Array.from(latencies).sort();
  const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  seen = seen.map(() => 0);
  order = [];
  latencies = [];
  return { p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** The time until so many events have come. */
function replay({ replay: events, url, headers }) {
  return new Promise((resolve) => {
    let count = 0;
    const startedMs = performance.now();
    const request = follow(url, headers, () => {
      count += 1;
      if (count !== events) return;
      request.off('error', fail);
      request.on('error', () => undefined);
      request.destroy();
      resolve({ ms: performance.now() - startedMs });
    });
  });
}

process.on('message', (job) => {
  const failed = new Promise((_, reject) => {
    fail = reject;
  });
  const late = setTimeout(
    () => fail(new Error(`${JSON.stringify(job)} takes too long: ${Math.min(...seen)}`)),
    PATIENCE_MS,
  );
  const work = job.open ? open(job) : job.until ? until(job.until) : replay(job);
  Promise.race([work, failed])
    .then(
      (answer) => process.send(answer),
      (error) => process.send({ error: error.message }),
    )
    .finally(() => clearTimeout(late));
});

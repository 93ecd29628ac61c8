/**
 * The client, in a process of its own: raw sockets that stay open, each with one running request. It writes bytes that were
 * made once, and reads only the status and the length of an answer, so that the server is the limit on two cores. It gets
 * its jobs over IPC and sends the results.
 */
import { connect } from 'node:net';

/** Longer than any pause of a loaded machine. A server that does not answer for so long is broken, not slow. */
const SILENCE_MS = 10_000;

function requestBytes({ method, path, headers = {}, body }, host) {
  const lines = [`${method} ${path} HTTP/1.1`, `Host: ${host}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  const payload = body === undefined ? '' : JSON.stringify(body);
  if (payload) lines.push('Content-Type: application/json', `Content-Length: ${Buffer.byteLength(payload)}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n${payload}`);
}

/** The length of the first answer in these bytes, or 0 while it is incomplete. */
function lengthOfAnswer(bytes) {
  const head = bytes.indexOf('\r\n\r\n');
  if (head < 0) return 0;
  const length = /\r\ncontent-length: *(\d+)/i.exec(bytes.latin1Slice(0, head + 2))?.[1];
  if (length === undefined) throw new Error('the answer has no Content-Length');
  const end = head + 4 + Number(length);
  return bytes.length < end ? 0 : end;
}

function run({ url, request, connections, ms, status }) {
  const { hostname, port, host } = new URL(url);
  // Several bodies are sent in turn, on the next free connection.
  const bodies = request.bodies ?? [request.body];
  const requests = bodies.map((body) => requestBytes({ ...request, body }, host));
  let sent = 0;
  const wanted = Buffer.from(`HTTP/1.1 ${status}`);
  return new Promise((resolve, reject) => {
    const latencies = [];
    const sockets = [];
    const startedMs = performance.now();
    let open = connections;
    const end = (error) => {
      for (const socket of sockets) socket.destroy();
      if (error) reject(error);
      else resolve({ requests: latencies.length, ms: performance.now() - startedMs, latencies });
    };
    const begin = () => {
      let received = Buffer.alloc(0);
      let sentMs = 0;
      const socket = connect({ host: hostname, port, noDelay: true });
      sockets.push(socket);
      const send = () => {
        sentMs = performance.now();
        socket.write(requests[sent++ % requests.length]);
      };
      socket.setTimeout(SILENCE_MS, () => end(new Error(`${url}${request.path} does not answer`)));
      socket.on('connect', send);
      socket.on('error', end);
      socket.on('data', (chunk) => {
        received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        const length = lengthOfAnswer(received);
        if (length === 0) return;
        if (!received.subarray(0, wanted.length).equals(wanted)) {
          return end(new Error(`${request.method} ${request.path}: ${received.toString('latin1', 0, 600)}`));
        }
        received = received.subarray(length);
        const nowMs = performance.now();
        latencies.push(nowMs - sentMs);
        if (nowMs - startedMs < ms) return send();
        open -= 1;
        if (open === 0) end();
      });
    };
    for (let i = 0; i < connections; i += 1) begin();
  });
}

process.on('message', (job) => {
  run(job).then(
    ({ requests, ms, latencies }) => {
      const sorted = Float64Array.from(latencies).sort();
      const at = (share) => sorted[Math.floor(share * (sorted.length - 1))];
      process.send({ perSecond: (requests * 1000) / ms, requests, p50Ms: at(0.5), p99Ms: at(0.99) });
    },
    (error) => process.send({ error: error.message }),
  );
});

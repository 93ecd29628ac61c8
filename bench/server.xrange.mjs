/** Compared with a replay: pages of 500 by XRANGE, written as Server-Sent Events without parsing. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Redis } from 'ioredis';

const PAGE = 500;
const redis = new Redis(process.env.REDIS_URL);

const server = createServer(async (_request, response) => {
  response.on('error', () => undefined);
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  for (let after = '-'; !response.destroyed; ) {
    const entries = await redis.xrange('brain:events:stream', after, '+', 'COUNT', PAGE);
    const text = entries.map(([id, [, json]]) => `id: ${id}\ndata: ${json}\n\n`).join('');
    if (!response.write(text)) await once(response, 'drain');
    if (entries.length < PAGE) break;
    after = `(${entries[PAGE - 1][0]}`;
  }
  response.end();
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));

/** Compared with a decision over HTTP: `node:http` alone, which parses the same JSON and gives the same answer. */
import { createServer } from 'node:http';

/** A request must have this member. */
const { ASKED } = process.env;
const ANSWER = JSON.parse(process.env.ANSWER);

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const received = JSON.parse(Buffer.concat(parts).toString());
    const body = Buffer.from(JSON.stringify(received[ASKED] ? ANSWER : {}));
    response.writeHead(200, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': body.length,
    });
    response.end(body);
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));

/** What a decision over HTTP is held against: `node:http` alone, which parses the same JSON and answers the same. */
import { createServer } from 'node:http';

/** What is asked for has this member. */
const { ASKED } = process.env;
const ANSWER = JSON.parse(process.env.ANSWER);

const server = createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const asked = JSON.parse(Buffer.concat(parts).toString());
    const body = Buffer.from(JSON.stringify(asked[ASKED] ? ANSWER : {}));
    response.writeHead(200, {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': body.length,
    });
    response.end(body);
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));

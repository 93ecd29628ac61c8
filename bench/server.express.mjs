/** Compared with POST /api/threats: Express with its own JSON parser and one awaited SET. */
import { randomUUID } from 'node:crypto';
import express from 'express';
import { Redis } from 'ioredis';

const redis = new Redis(process.env.REDIS_URL);
const app = express();
app.use(express.json());
app.post('/api/threats', async (request, response) => {
  const threat = { id: randomUUID(), ...request.body };
  await redis.set(`threat:${threat.id}`, JSON.stringify(threat));
  response.status(201).json(threat);
});
const server = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));

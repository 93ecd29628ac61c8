/** Checks of problem documents (RFC 9457), in the form that docs/api.md promises. */
import type { RawAnswer } from './raw-http.js';

export interface Answered {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: unknown;
}

/** An id that the service has made. */
const SERVER_ID = /^[0-9a-z]{20}$/;

/** Checks every field of a problem, and returns its body. */
export function expectProblem(answer: Answered, status: number, code: string): Record<string, unknown> {
  const body = answer.body as Record<string, unknown>;
  expect([answer.status, body.code]).toEqual([status, code]);
  expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
  expect(body).toEqual({
    type: `urn:brain:problem:${code}`,
    title: expect.stringMatching(/^[A-Z][a-z ]+$/),
    status,
    // A sentence.
    detail: expect.stringMatching(/^[A-Z].{10,}\.$/),
    code,
    request_id: answer.headers['x-request-id'],
    // Where the client has chosen the other id.
    ...(body.server_request_id !== undefined && { server_request_id: expect.stringMatching(SERVER_ID) }),
    ...(body.errors !== undefined && { errors: expect.any(Array) }),
  });
  expect(body.request_id).toEqual(expect.any(String));
  expect(body.server_request_id).not.toBe(body.request_id);
  expect(answer.headers['www-authenticate']).toBe(status === 401 ? 'Bearer' : undefined);
  if (status === 429 || status === 503) expect(answer.headers['retry-after']).toMatch(/^[1-9]\d*$/);
  else expect(answer.headers['retry-after']).toBeUndefined();
  expect(JSON.stringify(body)).not.toMatch(/\bat \S+ \(|node_modules|\.[jt]s:\d/);
  return body;
}

export const expectRawProblem = (answer: RawAnswer, status: number, code: string): Record<string, unknown> =>
  expectProblem({ ...answer, body: answer.json() }, status, code);

/**
 * Gives each problem in the OpenAPI document an example for each of its codes. The codes are those of its status, and those that
 * its description has in brackets: "The id is taken (`mission_exists`)".
 */
import type { OpenAPIObject } from '@nestjs/swagger';
import { type Problem, problem } from './problem.filter.js';

interface Answer {
  description: string;
  content?: Record<string, { examples?: Record<string, { $ref: string }> }>;
}

const TYPE = 'application/problem+json';
const REQUEST_ID = 'k3v9x2abq8w1z4m7p0t5';
const IDS = { requestId: REQUEST_ID, serverRequestId: REQUEST_ID };

/** The code that a status usually has, and its detail. 404 and 409 have none: their codes say what is missing or in the way. */
const USUAL: Record<number, [code: string, detail: string]> = {
  400: ['malformed_json', 'The body is not valid JSON; correct it and send it again.'],
  401: ['unauthenticated', 'The request has no API key; send it as `Authorization: Bearer <key>`.'],
  403: [
    'forbidden',
    'The role of the key lacks the permission of this route; use a key of a role that has it.',
  ],
  412: ['version_mismatch', 'It was changed since you have read it; read it again, and send its ETag.'],
  413: ['body_too_large', 'The body is larger than this route takes; send less.'],
  415: ['unsupported_content_type', 'Send JSON, with Content-Type: application/json.'],
  422: ['invalid_request', 'The body has a fault; see errors.'],
  429: [
    'too_many_failures',
    'Too many wrong API keys came from this address. Wait 60 s, then send a valid key.',
  ],
  503: ['store_unreachable', 'The store cannot be reached; try again in a second.'],
};
const FAULT = { pointer: '/name', detail: 'is required and must be text', code: 'required' };

/** Each example is in the document once; the answers refer to it. */
export function addProblemExamples(document: OpenAPIObject): void {
  const known: Record<string, { value: Problem }> = {};
  document.components = { ...document.components, examples: known };
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const { responses } of Object.values(operations) as { responses: Record<string, Answer> }[]) {
      for (const [status, answer] of Object.entries(responses)) {
        const content = answer.content?.[TYPE];
        if (!content) continue;
        content.examples = {};
        for (const value of examplesOf(Number(status), path, answer.description)) {
          const { code } = value;
          known[code] ??= { value };
          content.examples[code] = { $ref: `#/components/examples/${code}` };
        }
      }
    }
  }
}

function examplesOf(status: number, path: string, description: string): Problem[] {
  const found: [code: string, detail: string][] = USUAL[status] ? [USUAL[status]] : [];
  const declared = description.split('\n\n').flatMap(codesIn);
  if (status === 404 && declared.length === 0) found.push(missing(path));
  return [...found, ...declared].map(([code, detail]) => {
    const value = problem(status, code, detail, IDS);
    if (code === 'invalid_request') value.errors = [FAULT];
    return value;
  });
}

/** "Or the key may not name this agent (`agent_not_yours`)" */
function codesIn(text: string): [code: string, detail: string][] {
  const detail = text.replace(/^Or,? /, '').replaceAll(/ \([^)]*\)/g, '');
  const sentence = `${detail.charAt(0).toUpperCase()}${detail.slice(1)}.`;
  return [...text.matchAll(/\(([^)]*)\)/g)].flatMap(([, inner]) =>
    [...inner.matchAll(/`([a-z]+(?:_[a-z]+)+)`/g)].map(([, code]): [string, string] => [code, sentence]),
  );
}

/** The last id in the path is that of what is missing: of `/api/threats/{id}` it is a threat. */
function missing(path: string): [code: string, detail: string] {
  const parts = path.split('/');
  const at = parts.findLastIndex((part) => part.startsWith('{'));
  const name = parts[at] === '{id}' ? parts[at - 1].replace(/s$/, '') : parts[at].replace(/^\{|_id\}$/g, '');
  return [`${name}_not_found`, `The ${name} does not exist; check the id.`];
}

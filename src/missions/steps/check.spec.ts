import { AllowedHosts } from './allowed-hosts.js';
import { stepFaults } from './check.js';
import { kindsOf } from './kinds.js';

const kinds = kindsOf({ immune: { report: async () => 1 }, allowPrivate: false, hosts: AllowedHosts.all });
const of = (path: string): string => `\${${path}}`;
const url = 'https://example.org/';
const http = (over: object = {}, params: object = {}): object => ({
  name: 'a',
  kind: 'http',
  params: { url, ...params },
  ...over,
});
const faultsOf = (...steps: unknown[]): string[] =>
  stepFaults(steps, kinds).map(({ pointer, code }) => `${pointer} ${code}`);

describe('the check of the steps of a new mission', () => {
  it('accepts steps that can run', () => {
    const steps = [
      http({
        timeout_seconds: 5,
        retry: { attempts: 1, backoff_seconds: 0, max_seconds: 10 },
        resource: url,
      }),
      { name: 'b', kind: 'wait', params: { seconds: of('steps.a.result.body.pause') } },
      {
        name: 'c',
        kind: 'immune_event',
        action: 'immune.report',
        continue_on_failure: true,
        params: {
          severity: 'INFO',
          type: of('data.type'),
          message: `it is ${of('data.what')}`,
          meta: { a: 1 },
        },
      },
    ];
    expect(faultsOf(...steps)).toEqual([]);
    expect(faultsOf()).toEqual([]);
  });

  it.each<[string, unknown, string]>([
    ['no object', 'text', '/steps/0 object'],
    ['no name', { kind: 'wait', params: { seconds: 1 } }, '/steps/0/name required'],
    ['a strange name', http({ name: 'a b' }), '/steps/0/name text'],
    ['no kind', { name: 'a', params: {} }, '/steps/0/kind required'],
    ['an unknown kind', http({ kind: 'shell' }), '/steps/0/kind one_of'],
    ['a kind that is a prototype', http({ kind: 'constructor' }), '/steps/0/kind one_of'],
    ['an unknown field', http({ 'when/then': 1 }), '/steps/0/when~1then unknown_field'],
    ['params that are no object', http({ params: [] }), '/steps/0/params json_object'],
    ['no time at all', http({ timeout_seconds: 0 }), '/steps/0/timeout_seconds number'],
    ['too much time', http({ timeout_seconds: 3601 }), '/steps/0/timeout_seconds number'],
    ['a retry that is no object', http({ retry: 3 }), '/steps/0/retry object'],
    ['no attempt', http({ retry: { attempts: 0 } }), '/steps/0/retry/attempts number'],
    ['half an attempt', http({ retry: { attempts: 1.5 } }), '/steps/0/retry/attempts number'],
    [
      'a pause in the past',
      http({ retry: { backoff_seconds: -1 } }),
      '/steps/0/retry/backoff_seconds number',
    ],
    ['an unknown part of retry', http({ retry: { forever: true } }), '/steps/0/retry/forever unknown_field'],
    ['a strange flag', http({ continue_on_failure: 'yes' }), '/steps/0/continue_on_failure boolean'],
    ['no url', { name: 'a', kind: 'http', params: {} }, '/steps/0/params/url required'],
    ['no params', { name: 'a', kind: 'http' }, '/steps/0/params/url required'],
    ['another protocol', http({}, { url: 'file:///etc/passwd' }), '/steps/0/params/url param'],
    ['a password in the url', http({}, { url: 'http://me:secret@example.org' }), '/steps/0/params/url param'],
    ['a url that is none', http({}, { url: 'example.org' }), '/steps/0/params/url param'],
    ['an unknown method', http({}, { method: 'TRACE' }), '/steps/0/params/method param'],
    ['a header of the client', http({}, { headers: { Host: 'x' } }), '/steps/0/params/headers param'],
    [
      'a header with a line break',
      http({}, { headers: { a: 'b\r\nc: d' } }),
      '/steps/0/params/headers param',
    ],
    [
      'a status that is none',
      http({}, { expected_status: [200, 700] }),
      '/steps/0/params/expected_status param',
    ],
    ['an empty list of statuses', http({}, { expected_status: [] }), '/steps/0/params/expected_status param'],
    ['an unknown parameter', http({}, { proxy: 'x' }), '/steps/0/params/proxy unknown_field'],
    [
      'a wait into the past',
      { name: 'a', kind: 'wait', params: { seconds: -1 } },
      '/steps/0/params/seconds param',
    ],
    [
      'a wait for years',
      { name: 'a', kind: 'wait', params: { seconds: 1e9 } },
      '/steps/0/params/seconds param',
    ],
    [
      'a strange severity',
      { name: 'a', kind: 'immune_event', params: { severity: 'BAD', type: 'ERROR_SPIKE', message: 'm' } },
      '/steps/0/params/severity param',
    ],
    ['a template of its own result', http({ resource: of('steps.a.result') }), '/steps/0/resource template'],
    [
      'a template with code',
      http({}, { body: { x: [of('process.exit()')] } }),
      '/steps/0/params/body/x/0 template',
    ],
  ])('finds %s', (_what, step, fault) => {
    expect(faultsOf(step)).toEqual([fault]);
  });

  it('finds a repeated name, and a reference to a later step', () => {
    const late = { name: 'b', kind: 'wait', params: { seconds: of('steps.c.result') } };
    expect(faultsOf(http(), http(), late, http({ name: 'c' }))).toEqual([
      '/steps/1/name duplicate_name',
      '/steps/2/params/seconds template',
    ]);
  });

  it('reports all faults of all steps at once, with what to do', () => {
    const steps = [
      { kind: 'http', params: { url: 1 }, more: true },
      { name: 'x', kind: 'wait', retry: null },
    ];
    const faults = stepFaults(steps, kinds);
    expect(faults.map(({ pointer }) => pointer).sort()).toEqual([
      '/steps/0/more',
      '/steps/0/name',
      '/steps/0/params/url',
      '/steps/1/params/seconds',
      '/steps/1/retry',
    ]);
    for (const { detail } of faults) expect(detail).toMatch(/^(must be|is required|is not a field) ?.*/);
  });

  it('limits the number of steps and of reported faults', () => {
    const many = (count: number): unknown[] => Array.from({ length: count }, () => 0);
    expect(stepFaults(many(101), kinds)).toEqual([
      { pointer: '/steps', detail: 'must have at most 100 steps, and has 101', code: 'too_many_steps' },
    ]);
    expect(stepFaults(many(100), kinds)).toHaveLength(50);
  });
});

describe('the check of the parameters before a step runs', () => {
  it('finds a fault even if the value looks like a template', () => {
    const strange = '${not a template';
    for (const [kind, params] of [
      ['wait', { seconds: strange }],
      ['http', { url: `http://me:secret@example.org/${strange}` }],
      ['http', { url, method: strange }],
      ['http', { url, headers: { a: `b\r\nc: ${strange}` } }],
    ] as const) {
      expect([kind, kinds.get(kind)?.faults(params, 'filled').length]).toEqual([kind, 1]);
      expect([kind, kinds.get(kind)?.faults(params, 'written').length]).toEqual([kind, 0]);
    }
  });
});

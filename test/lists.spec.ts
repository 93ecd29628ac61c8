/** What all lists have in common: they are bounded in bytes, leave out large members, and show the members that are asked for. */
import { Store } from '../src/storage/store.js';
import { type StoredThreat, THREATS } from '../src/threats/threats.collection.js';
import { STORES, serviceOn } from './support/stores.js';

const MIB = 1024 * 1024;
const step = { name: 's', kind: 'wait', params: { seconds: 1 } };

/** A list: how a row of it is made, its members, and those that it leaves out. */
interface List {
  path: string;
  rows: string;
  make: [path: string, body: object];
  large: string[];
  member: string;
}

const LISTS: List[] = [
  {
    path: '/api/threats',
    rows: 'threats',
    make: ['/api/threats', { type: 't', source: 's', severity: 'LOW', metadata: { a: 1 } }],
    large: ['metadata'],
    member: 'severity',
  },
  {
    path: '/api/immune/events',
    rows: 'events',
    make: ['/api/immune/event', { severity: 'INFO', type: 'ERROR_SPIKE', message: 'm', meta: { a: 1 } }],
    large: ['meta'],
    member: 'severity',
  },
  {
    path: '/api/missions',
    rows: 'missions',
    make: ['/api/missions', { name: 'm', data: { a: 1 }, steps: [step] }],
    large: ['data', 'steps', 'result'],
    member: 'status',
  },
  {
    path: '/api/policy/policies',
    rows: 'policies',
    make: ['/api/policy/policies', { name: 'listed', rules: [{ name: 'r', effect: 'deny' }] }],
    large: [],
    member: 'policy_id',
  },
  {
    path: '/api/policy/policies/listed/revisions',
    rows: 'revisions',
    make: ['/api/policy/policies/listed/rules', { name: 'r2', effect: 'allow' }],
    large: [],
    member: 'revision',
  },
  {
    path: '/api/keys',
    rows: 'keys',
    make: ['/api/keys', { name: 'listed', role: 'viewer' }],
    large: [],
    member: 'role',
  },
];

describe.each(STORES)('lists on %s', (_name, startStore) => {
  const service = serviceOn(startStore);
  const rowsOf = async (path: string, rows: string): Promise<Record<string, unknown>[]> =>
    (await service.get(path).expect(200)).body[rows] as Record<string, unknown>[];

  it.each(LISTS)('$path leaves out large members unless they are asked for', async (list) => {
    const { status } = await service.post(...list.make);
    expect([200, 201]).toContain(status);
    const [basic] = await rowsOf(list.path, list.rows);
    expect(list.large.filter((name) => name in basic)).toEqual([]);
    expect(basic).toHaveProperty(list.member);
    const [named] = await rowsOf(`${list.path}?fields=${list.member}`, list.rows);
    expect(named).toEqual({ [list.member]: basic[list.member] });
    const wrong = await service.get(`${list.path}?fields=${list.member},colour`).expect(422);
    expect(wrong.body.errors).toEqual([expect.objectContaining({ pointer: '/fields', code: 'fields' })]);
    expect(wrong.body.errors[0].detail).toContain(list.member);
    for (const query of ['fields=', 'fields=__proto__', 'fields=v'])
      await service.get(`${list.path}?${query}`).expect(422);
    if (list.large.length === 0) {
      await service.get(`${list.path}?view=full`).expect(422);
      return;
    }
    await service.get(`${list.path}?view=large`).expect(422);
    const [full] = await rowsOf(`${list.path}?view=full`, list.rows);
    expect(Object.keys(full).sort()).toEqual([...Object.keys(basic), ...list.large].sort());
    const [one] = await rowsOf(`${list.path}?fields=${list.large[0]}`, list.rows);
    expect(one).toEqual({ [list.large[0]]: full[list.large[0]] });
  });

  it('are documented: OpenAPI says which members are left out', async () => {
    const { body } = await service.get('/openapi.json').expect(200);
    const { schemas } = body.components as {
      schemas: Record<string, { required: string[]; properties: object }>;
    };
    for (const [name, large] of [
      ['ListedThreat', ['metadata']],
      ['ListedImmuneEvent', ['meta']],
      ['ListedMission', ['data', 'steps', 'result']],
    ] as const) {
      const { required, properties } = schemas[name];
      for (const member of large) {
        expect(required).not.toContain(member);
        const { description } = (properties as Record<string, { description: string }>)[member];
        expect(description).toContain('view=full');
      }
      expect(Object.keys(properties).length - required.length).toBe(large.length);
    }
    const parameters = body.paths['/api/threats'].get.parameters as { name: string }[];
    expect(parameters.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['view', 'fields', 'limit', 'cursor']),
    );
  });

  it('stop at 1 MiB, and a walk has every row once, also if earlier releases stored large ones', async () => {
    const store = service.app.get(Store);
    const stored = (n: number): StoredThreat => ({
      ...{ id: `large-${n}`, type: 'large', source: 's', severity: 'LOW', status: 'OPEN', description: null },
      ...{
        metadata: { x: 'x'.repeat(250_000) },
        created_at: n,
        last_seen_at: n,
        occurrences: 1,
        fingerprint: null,
      },
      ...{ resolution: null, mitigated_at: null, opened_at: n, first_report: null, version: 1 },
    });
    for (let n = 0; n < 40; n += 1) await store.transaction((tx) => tx.insert(THREATS, stored(n)));
    const walk = async (query: string): Promise<{ ids: string[]; sizes: number[]; rows: number[] }> => {
      const walked = { ids: [] as string[], sizes: [] as number[], rows: [] as number[] };
      let cursor: string | null = '';
      while (cursor !== null) {
        const path = `/api/threats?type=large&limit=500&${query}${cursor && `&cursor=${cursor}`}`;
        const { text, body } = await service.get(path).expect(200);
        expect(body.total).toBe(40);
        walked.sizes.push(Buffer.byteLength(text));
        walked.rows.push((body.threats as object[]).length);
        walked.ids.push(...(body.threats as { id: string }[]).map(({ id }) => id));
        cursor = body.next_cursor as string | null;
      }
      return walked;
    };
    const ids = Array.from({ length: 40 }, (_, n) => `large-${39 - n}`);
    const full = await walk('view=full');
    expect(full.ids).toEqual(ids);
    expect(Math.max(...full.sizes)).toBeLessThan(MIB + 1024);
    expect(Math.min(...full.rows)).toBe(4);
    // What is read is bounded as well, so this page is short although its rows are small.
    const basic = await walk('');
    expect(basic.ids).toEqual(ids);
    expect(basic.rows).toEqual([16, 16, 8]);
    // Two filters.
    expect((await walk('status=OPEN')).ids).toEqual(ids);
  }, 60_000);

  it('of events stop at 1 MiB as well', async () => {
    const made: string[] = [];
    for (let n = 0; n < 60; n += 1) {
      const report = { type: 'wide', source: 's', severity: 'LOW', metadata: { x: 'x'.repeat(31_000) } };
      made.push((await service.post('/api/threats', report).expect(201)).body.id as string);
    }
    const seen: string[] = [];
    const sizes: number[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const path = `/api/events?type=threat.detected&order=asc&limit=500${cursor && `&cursor=${cursor}`}`;
      const { text, body } = await service.get(path).expect(200);
      const events = body.events as { payload: { threat_id: string; type: string } }[];
      seen.push(
        ...events.filter(({ payload }) => payload.type === 'wide').map(({ payload }) => payload.threat_id),
      );
      sizes.push(Buffer.byteLength(text));
      cursor = body.next_cursor as string | null;
    }
    expect(seen).toEqual(made);
    expect(sizes.length).toBeGreaterThan(1);
    expect(Math.max(...sizes)).toBeLessThan(MIB + 64 * 1024);
  }, 60_000);

  it('have a row larger than the page alone', async () => {
    const rules = Array.from({ length: 300 }, (_, n) => ({
      ...{ name: `rule ${n}`, effect: 'deny', description: 'x'.repeat(4000) },
    }));
    for (const policy_id of ['wide-1', 'wide-2'])
      await service.post('/api/policy/policies', { policy_id, name: policy_id, rules }).expect(201);
    const seen: string[][] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const { body } = await service
        .get(`/api/policy/policies?limit=500${cursor && `&cursor=${cursor}`}`)
        .expect(200);
      seen.push((body.policies as { policy_id: string }[]).map(({ policy_id }) => policy_id));
      cursor = body.next_cursor as string | null;
    }
    expect(seen.slice(-2)).toEqual([['wide-1'], ['wide-2']]);
  });
});

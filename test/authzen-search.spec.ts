/** The searches of OpenID AuthZEN Authorization API 1.0 over HTTP, with the cases of its certification scenario (levels Search). */
import { comparisonOf, conditionOf, policyOf } from './support/policies.js';
import { STORES, serviceOn, startEmbedded } from './support/stores.js';

const AT = '/access/v1/search';

interface Answer {
  page: { next_token: string; count: number; total: number };
  context: { complete: boolean; reasons?: string[]; policy_revision: number };
  results: { type?: string; id?: string; name?: string }[];
}

/** The rules of the scenario by ids, because a search has no properties of the entities that it looks for. */
const isUser = conditionOf(['environment.subject.type', '==', 'user']);
const fixture = policyOf({
  policy_id: 'authzen_search',
  rules: [
    {
      rule_id: 'alice_reads_and_writes',
      conditions: [
        isUser,
        conditionOf(['agent_id', '==', 'alice']),
        conditionOf(['action', 'in', ['read', 'write']]),
        conditionOf(['resource', '==', 'record:record-1']),
      ],
    },
    {
      rule_id: 'bob_reads',
      conditions: [
        isUser,
        conditionOf(['agent_id', '==', 'bob']),
        conditionOf(['action', '==', 'read']),
        conditionOf(['resource', '==', 'record:record-1']),
      ],
    },
    {
      rule_id: 'bob_writes_the_archive',
      conditions: [
        isUser,
        conditionOf(['agent_id', '==', 'bob']),
        conditionOf(['action', '==', 'write']),
        conditionOf(['resource', '==', 'record:record-2']),
      ],
    },
  ],
});

const user = { type: 'user' };
const alice = { type: 'user', id: 'alice' };
const bob = { type: 'user', id: 'bob', properties: { role: 'admin' } };
const record = { type: 'record' };
const first = { type: 'record', id: 'record-1' };
const archived = { type: 'record', id: 'record-2', properties: { status: 'archived' } };
const read = { name: 'read' };
const write = { name: 'write' };
const context = { time: '2025-06-27T18:03-07:00' };

describe.each(STORES)('a search on %s', (_name, startStore) => {
  const service = serviceOn(startStore);
  const search = async (what: string, body: object, key?: string): Promise<Answer> =>
    (await service.post(`${AT}/${what}`, body, key).expect(200)).body as Answer;
  const ids = ({ results }: Answer): (string | undefined)[] => results.map(({ id, name }) => id ?? name);
  beforeAll(async () => {
    await service.delete('/api/policy/policies/admin_full_access').expect(204);
    await service.post('/api/policy/policies', fixture).expect(201);
  });

  it.each<[string, string, object, string[]]>([
    ['4.2.1 finds subjects', 'subject', { subject: user, action: read, resource: first }, ['alice', 'bob']],
    [
      '4.2.2 takes a context',
      'subject',
      { subject: user, action: read, resource: first, context },
      ['alice', 'bob'],
    ],
    ['4.2.3 ignores an id', 'subject', { subject: alice, action: read, resource: first }, ['alice', 'bob']],
    ['4.2.4 takes properties', 'subject', { subject: user, action: write, resource: archived }, ['bob']],
    ['4.3.1 finds resources', 'resource', { subject: alice, action: read, resource: record }, ['record-1']],
    ['4.3.3 ignores an id', 'resource', { subject: alice, action: read, resource: archived }, ['record-1']],
    ['4.3.4 takes properties', 'resource', { subject: bob, action: write, resource: record }, ['record-2']],
    ['4.4.1 finds actions', 'action', { subject: alice, resource: first }, ['read', 'write']],
    ['4.4.2 takes a context', 'action', { subject: alice, resource: first, context }, ['read', 'write']],
    ['4.4.3 takes properties', 'action', { subject: bob, resource: archived }, ['write']],
    ['4.6.1 finds nothing', 'action', { subject: { type: 'user', id: 'nobody' }, resource: first }, []],
    [
      '4.6.2 knows no such type',
      'subject',
      { subject: { type: 'spaceship' }, action: read, resource: first },
      [],
    ],
    [
      'ignores unknown members',
      'action',
      { subject: alice, resource: first, action: 7, x: 1 },
      ['read', 'write'],
    ],
  ])('%s', async (_what, what, body, wanted) => {
    const answer = await search(what, body);
    expect(ids(answer)).toEqual(wanted);
    expect(answer.page).toEqual({ next_token: '', count: wanted.length, total: wanted.length });
    expect(answer.context).toMatchObject({ complete: true, policy_revision: expect.any(Number) });
    if (what === 'subject')
      for (const { type } of answer.results)
        expect(type).toBe((body as { subject: typeof user }).subject.type);
  });

  it('returns pages, each with the token of the next', async () => {
    const body = { subject: user, action: read, resource: first };
    const one = await search('subject', { ...body, page: { limit: 1 } });
    expect([ids(one), one.page.count, one.page.total]).toEqual([['alice'], 1, 2]);
    const token = one.page.next_token;
    for (const page of [{ token }, { token, limit: 1 }]) {
      const two = await search('subject', { ...body, page });
      expect([ids(two), two.page]).toEqual([['bob'], { next_token: '', count: 1, total: 2 }]);
    }
    const none = await search('subject', { ...body, page: { limit: 0 } });
    expect([ids(none), none.page.count, none.page.total]).toEqual([[], 0, 2]);
    expect(none.page.next_token).not.toBe('');
    for (const [changed, pointer] of [
      [{ action: write, page: { token } }, '/page/token'],
      [{ page: { token, limit: 2 } }, '/page/token'],
      [{ page: { token: 'x' } }, '/page/token'],
      [{ page: { limit: -1 } }, '/page/limit'],
      [{ page: [] }, '/page'],
    ] as const) {
      const answer = await service.post(`${AT}/subject`, { ...body, ...changed }).expect(400);
      expect(answer.body.errors).toMatchObject([{ pointer }]);
    }
  });

  it.each<[string, string, object, string]>([
    ['subject', 'no action', { subject: user, resource: first }, '/action'],
    ['subject', 'no type', { subject: {}, action: read, resource: first }, '/subject/type'],
    [
      'subject',
      'a resource without an id',
      { subject: user, action: read, resource: record },
      '/resource/id',
    ],
    ['resource', 'no subject', { action: read, resource: record }, '/subject'],
    ['resource', 'a subject without an id', { subject: user, action: read, resource: record }, '/subject/id'],
    ['action', 'no resource', { subject: alice }, '/resource'],
    ['action', 'a subject without an id', { subject: user, resource: first }, '/subject/id'],
  ])('for a %s gets 400 with %s', async (what, _why, body, pointer) => {
    const answer = await service.post(`${AT}/${what}`, body).expect(400);
    expect((answer.body as { errors: { pointer: string }[] }).errors.map((one) => one.pointer)).toEqual([
      pointer,
    ]);
    await service.post(`${AT}/${what}`, []).expect(400);
    await service.post(`${AT}/${what}`).set('Content-Type', 'text/plain').send('x').expect(400);
  });

  it('says what it cannot know, and finds the owner whom the request names', async () => {
    const rules = [
      {
        rule_id: 'owners',
        conditions: [comparisonOf(['agent_id', '==', 'environment.resource.properties.owner'])],
      },
      { rule_id: 'team', conditions: [conditionOf(['agent_id', 'starts_with', 'team-'])] },
    ];
    await service.post('/api/policy/policies', policyOf({ policy_id: 'owned', rules })).expect(201);
    await service.post('/api/keys', { name: 'team-7', role: 'agent' }).expect(201);
    const note = { type: 'note', id: '1', properties: { owner: 'carol' } };
    const answer = await search('subject', { subject: user, action: { name: 'edit' }, resource: note });
    expect(ids(answer)).toEqual(['carol', 'team-7']);
    expect(answer.context).toMatchObject({
      complete: false,
      reasons: ["Rule 'team' of policy 'owned' may allow others: it does not name them"],
    });
    await service.delete('/api/policy/policies/owned').expect(204);
  });

  it('counts nothing and publishes nothing', async () => {
    const stats = async (): Promise<unknown> => (await service.get('/api/policy/stats').expect(200)).body;
    const before = [await stats(), (await service.events()).length];
    await search('subject', { subject: user, action: read, resource: first });
    expect([await stats(), (await service.events()).length]).toEqual(before);
  });
});

describe('a search', () => {
  const service = serviceOn(startEmbedded);
  const body = { subject: { type: 'user' }, action: read, resource: first };
  const make = async (role: string, more: object = {}): Promise<string> =>
    (await service.post('/api/keys', { name: `${role} ${Math.random()}`, role, ...more }).expect(201)).body
      .key;
  beforeAll(() => service.post('/api/policy/policies', fixture).expect(201));

  it('needs a key that may read policies', async () => {
    for (const what of ['subject', 'resource', 'action'])
      await service.post(`${AT}/${what}`, body, '').expect(401);
    await service.post(`${AT}/subject`, body, await make('gateway')).expect(403);
    for (const role of ['viewer', 'operator', 'approver']) {
      const answer = await service.post(`${AT}/subject`, body, await make(role)).expect(200);
      expect((answer.body as Answer).results).toHaveLength(2);
    }
  });

  it('shows an agent only the subjects for which its key may speak', async () => {
    const key = await make('agent', { agents: ['bob', 'zoe'], agent_roles: ['reader'] });
    const own = (await service.post(`${AT}/subject`, body, key).expect(200)).body as Answer;
    expect([own.results, own.context.complete]).toEqual([[{ type: 'user', id: 'bob' }], true]);
    const foreign = { ...body, subject: alice, resource: record };
    for (const [what, sent] of [
      ['resource', foreign],
      ['action', { subject: alice, resource: first }],
    ] as const) {
      const answer = await service.post(`${AT}/${what}`, sent, key).expect(403);
      expect(answer.body.code).toBe('agent_not_yours');
    }
    const asAdmin = { ...body, subject: { type: 'user', properties: { role: 'admin' } } };
    expect((await service.post(`${AT}/subject`, asAdmin, key).expect(403)).body.code).toBe('role_not_yours');
    const mine = { subject: { type: 'user', id: 'bob' }, resource: first };
    expect((await service.post(`${AT}/action`, mine, key).expect(200)).body).toMatchObject({
      results: [{ name: 'read' }],
    });
  });

  it('looks at most at a thousand ids, and says so', async () => {
    const names = Array.from({ length: 1001 }, (_, i) => `user-${i}`);
    const conditions = [conditionOf(['agent_id', 'in', names])];
    const policy = policyOf({ policy_id: 'many', rules: [{ rule_id: 'many', conditions }] });
    await service.post('/api/policy/policies', policy).expect(201);
    const { body: answer } = await service.post(`${AT}/subject`, body).expect(200);
    expect((answer as Answer).context).toMatchObject({
      complete: false,
      reasons: ['There are more than 1000 ids to look at'],
    });
    expect((answer as Answer).results.length).toBeLessThanOrEqual(1000);
  });
});

/** Reports of threats over HTTP, on both stores: a reporter can neither hide what others report, nor flood the store. */
import type { Threat, ThreatReport, ThreatWithReports } from '../src/threats/threats.dto.js';
import { ADMIN, type Service } from './support/service.js';
import { STORES, serviceOn, withService } from './support/stores.js';

const noise = { type: 'test', source: 'noise', severity: 'LOW', description: 'ignore' };
const real = {
  type: 'prompt_injection',
  source: 'agent:r7',
  severity: 'CRITICAL',
  description: 'REAL',
  metadata: { ioc: '1.2.3.4' },
};
const fingerprint = 'injection:evil.example';
const KIB = 1024;

describe.each(STORES)('reports on %s', (_name, startStore) => {
  const service = serviceOn(startStore);
  const keyFor = async (name: string, on: Service = service): Promise<{ id: string; key: string }> =>
    (await on.post('/api/keys', { name, role: 'agent', agents: [name, 'r7'] }).expect(201)).body as never;
  const threatOf = async (id: string): Promise<ThreatWithReports> =>
    (await service.get(`/api/threats/${id}`).expect(200)).body as ThreatWithReports;

  it('of another type or source are another threat, whatever their fingerprint', async () => {
    const first = (await service.post('/api/threats', { ...noise, fingerprint }).expect(201)).body as Threat;
    const second = (await service.post('/api/threats', { ...real, fingerprint }).expect(201)).body as Threat;
    expect(second).toMatchObject({ ...real, fingerprint, occurrences: 1 });
    expect((await threatOf(first.id)).occurrences).toBe(1);
    const elsewhere = { ...noise, source: 'elsewhere', fingerprint };
    await service.post('/api/threats', elsewhere).expect(201);
    await service.post('/api/threats', elsewhere).expect(200);
    // Type and source are not only put together as one text.
    await service.post('/api/threats', { ...noise, type: 'a","b', source: 'c', fingerprint }).expect(201);
    await service.post('/api/threats', { ...noise, type: 'a', source: 'b","c', fingerprint }).expect(201);
  });

  it('of the same threat keep what each of them said, and who said it', async () => {
    const [quiet, honest] = [await keyFor('quiet'), await keyFor('honest')];
    const lie = { ...real, severity: 'LOW', description: 'ignore', metadata: {}, fingerprint: 'lie' };
    const { id } = (await service.post('/api/threats', lie, quiet.key).expect(201)).body as Threat;
    await service.post('/api/threats', { ...real, fingerprint: 'lie' }, honest.key).expect(200);
    const { reports, severity } = await threatOf(id);
    expect(severity).toBe('CRITICAL');
    const reported_at = expect.any(Number) as number;
    const reporter = ({ id }: { id: string }, name: string) => ({ id, role: 'agent', name });
    expect(reports).toEqual([
      {
        occurrence: 1,
        reported_at,
        severity: 'LOW',
        description: 'ignore',
        metadata: {},
        reporter: reporter(quiet, 'quiet'),
      },
      {
        ...{ occurrence: 2, reported_at, severity: 'CRITICAL', description: 'REAL', metadata: real.metadata },
        reporter: reporter(honest, 'honest'),
      },
    ]);
    const again = (await service.events({ subject: id, type: 'threat.seen_again' }))[0];
    expect(again.payload).toMatchObject({
      ...{
        description: 'REAL',
        metadata: real.metadata,
        reported_severity: 'CRITICAL',
        severity: 'CRITICAL',
      },
    });
    expect(again.meta.actor?.id).toBe(honest.id);
  });

  it('are the last 20, however many there are, also when they come at once', async () => {
    const report = (n: number) =>
      service.post('/api/threats', { ...real, metadata: { n }, fingerprint: 'many' });
    const { id } = (await report(1).expect(201)).body as Threat;
    for (let n = 2; n <= 20; n += 1) await report(n).expect(200);
    const numbers = (reports: ThreatReport[]) =>
      reports.map(({ occurrence, metadata }) => [occurrence, metadata.n]);
    expect(numbers((await threatOf(id)).reports)).toEqual(
      Array.from({ length: 20 }, (_, i) => [i + 1, i + 1]),
    );
    for (let n = 21; n <= 23; n += 1) await report(n).expect(200);
    expect(numbers((await threatOf(id)).reports)).toEqual(
      Array.from({ length: 20 }, (_, i) => [i + 4, i + 4]),
    );
    await Promise.all(Array.from({ length: 30 }, (_, i) => report(100 + i).expect(200)));
    const { reports, occurrences } = await threatOf(id);
    expect(occurrences).toBe(53);
    expect(reports.map(({ occurrence }) => occurrence)).toEqual(Array.from({ length: 20 }, (_, i) => i + 34));
    expect(new Set(reports.map(({ metadata }) => metadata.n)).size).toBe(20);
  });

  it('may have 32 KiB of metadata', async () => {
    const withBytes = (bytes: number, text = 'x') =>
      service.post('/api/threats', { ...real, metadata: { x: text.repeat(bytes) } });
    const around = '{"x":""}'.length;
    await withBytes(32 * KIB - around).expect(201);
    const refused = await withBytes(32 * KIB - around + 1).expect(422);
    expect(refused.body.errors).toEqual([
      { pointer: '/metadata', detail: expect.stringContaining('at most 32 KiB'), code: 'max_bytes' },
    ]);
    // Bytes of UTF-8, not characters.
    await withBytes(17 * KIB, 'ä').expect(422);
  });

  it('of one reporter make a limited number of open threats, exactly, and others are not affected', async () => {
    await withService(startStore, { BRAIN_THREATS_MAX_OPEN: '5' }, async (small) => {
      const [flood, other] = [await keyFor('flood', small), await keyFor('other', small)];
      const known = { ...real, fingerprint: 'known' };
      const { id } = (await small.post('/api/threats', known, flood.key).expect(201)).body as Threat;
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => small.post('/api/threats', real, flood.key)),
      );
      expect(answers.filter(({ status }) => status === 201)).toHaveLength(4);
      const refused = answers.find(({ status }) => status !== 201);
      expect([refused?.status, refused?.body.code]).toEqual([409, 'too_many_open_threats']);
      expect(refused?.body.detail).toMatch(/Close some of them.*BRAIN_THREATS_MAX_OPEN/);
      expect((await small.get('/api/threats')).body.total).toBe(5);
      // Repetitions go on to be counted, and other reporters go on to report.
      await small.post('/api/threats', known, flood.key).expect(200);
      await small.post('/api/threats', real, other.key).expect(201);
      await small.post(`/api/threats/${id}/status`, { status: 'RESOLVED' }).expect(200);
      await small.post('/api/threats', real, flood.key).expect(201);
      await small.post('/api/threats', real, flood.key).expect(409);
      // An operator may reopen it nevertheless.
      await small.post(`/api/threats/${id}/status`, { status: 'OPEN' }).expect(200);
    });
    await withService(startStore, { BRAIN_THREATS_MAX_OPEN: '0' }, async (open) => {
      for (let i = 0; i < 7; i += 1) await open.post('/api/threats', real).expect(201);
    });
  }, 60_000);

  describe('a threat', () => {
    const make = async (over: object = {}): Promise<Threat> =>
      (await service.post('/api/threats', { ...real, ...over }).expect(201)).body as Threat;
    const overview = async () =>
      (await service.get('/api/threats/stats/overview')).body.stats as { total: number };

    it('is deleted by an admin, with its reports, whatever its status', async () => {
      const before = await overview();
      const open = await make({ fingerprint: 'deleted' });
      await service.post('/api/threats', { ...real, fingerprint: 'deleted' }).expect(200);
      const closed = await make();
      await service.post(`/api/threats/${closed.id}/status`, { status: 'IGNORED' }).expect(200);
      for (const { id } of [open, closed]) {
        await service.delete(`/api/threats/${id}`).expect(204);
        await service.get(`/api/threats/${id}`).expect(404);
        expect((await service.delete(`/api/threats/${id}`).expect(404)).body.code).toBe('threat_not_found');
      }
      expect((await overview()).total).toBe(before.total);
      const event = (await service.events({ subject: open.id })).at(-1);
      expect(event).toMatchObject({ type: 'threat.deleted', source: 'threat_service' });
      expect(event?.payload).toEqual({
        ...{ threat_id: open.id, type: real.type, source: real.source, severity: 'CRITICAL', status: 'OPEN' },
        ...{ deleted_by: 'bootstrap', deleted_at: expect.any(Number) },
      });
      // Its fingerprint is free again, and a new threat has no old reports.
      const anew = await make({ fingerprint: 'deleted' });
      expect((await threatOf(anew.id)).reports).toHaveLength(1);
    });

    it('is deleted only in the version that the caller knows', async () => {
      const { id } = await make();
      await service.delete(`/api/threats/${id}`).set('If-Match', '"2"').expect(412);
      await service.delete(`/api/threats/${id}`).set('If-Match', '"1"').expect(204);
    });

    it('is not deleted by an operator', async () => {
      const { id } = await make();
      const { key } = (await service.post('/api/keys', { name: 'op', role: 'operator' }).expect(201)).body;
      await service.delete(`/api/threats/${id}`, key as string).expect(403);
      await service.get(`/api/threats/${id}`, ADMIN).expect(200);
    });
  });
});

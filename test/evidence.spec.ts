/** A flood of denied decisions by an agent's key does not push other events out of the log. On both stores. */
import { LogTrimmer } from '../src/events/trimmer.js';
import { comparePositions, EventLog } from '../src/storage/event-log.js';
import { policyOf } from './support/policies.js';
import { SseClient } from './support/sse-client.js';
import { STORES, serviceOn } from './support/stores.js';
import { until } from './support/until.js';

const MAX = 1000;
const FLOOD = 12;
const threat = { type: 'prompt_injection', source: 'agent:r7', severity: 'CRITICAL' };

interface Report {
  counts: Record<string, number>;
  reason: string;
  first: string;
  last: string;
}

describe.each(STORES)('a flood of denied decisions on %s', (_name, startStore) => {
  const service = serviceOn(startStore, { BRAIN_EVENTS_MAX_LENGTH: String(MAX) });
  let threatId: string;
  let log: EventLog;

  beforeAll(async () => {
    log = service.app.get(EventLog);
    const made = await service.post('/api/keys', { name: 'noise', role: 'agent' }).expect(201);
    const { key } = made.body as { key: string };
    ({ id: threatId } = (await service.post('/api/threats', threat).expect(201)).body as { id: string });
    const policy = policyOf({ policy_id: 'evidence', name: 'Evidence', rules: [] });
    await service.post('/api/policy/policies', policy).expect(201);
    for (let round = 0; round < FLOOD; round += 1) {
      const evaluations = Array.from({ length: 500 }, (_, n) => ({
        agent_id: 'noise',
        action: `noise.${round}.${n}`,
      }));
      await service.post('/api/policy/evaluate/batch', { evaluations }, key).expect(200);
    }
    await until(async () => (await log.bounds()).recent.length <= MAX, 20_000, 'the trim');
  }, 60_000);

  const positionOf = async (type: string): Promise<string> =>
    (await service.events({ type })).at(-1)?.position as string;

  it('leaves the threat and the policy in the list, by type and by subject', async () => {
    const [detected] = await service.events({ type: 'threat.detected' });
    expect(detected.payload).toMatchObject({ threat_id: threatId });
    expect(await service.events({ subject: threatId })).toEqual([detected]);
    const created = await service.events({ subject: 'evidence' });
    expect(created.map(({ type }) => type)).toContain('policy.created');
    const { recent, evidence } = await log.bounds();
    expect(comparePositions(detected.position, recent.first as string)).toBeLessThan(0);
    expect(evidence.length).toBeGreaterThan(0);
  });

  it('leaves them for a reader that comes back, and says that only decisions are missing', async () => {
    const from = await positionOf('access.key_created');
    const url = `${await service.app.getUrl()}/api/events/stream`;
    const client = await SseClient.open(url, undefined, from);
    await until(() => client.events.length >= MAX * 0.9, 20_000, 'the events');
    client.close();
    const [gap, first] = client.events;
    expect([gap.event, gap.data.reason, gap.data.missing, gap.data.from]).toEqual([
      ...['gap', 'trimmed', 'decisions', from],
    ]);
    expect([first.event, first.data.payload]).toEqual([
      ...['threat.detected', expect.objectContaining({ threat_id: threatId })],
    ]);
    expect(client.events.filter(({ event }) => event === 'gap')).toHaveLength(1);
    const ids = client.events.slice(1).map(({ id }) => id);
    expect([...ids].sort(comparePositions)).toEqual(ids);
    const listed = (await service.events()).map(({ position }) => position);
    expect(listed.slice(listed.indexOf(ids[0]))).toEqual(ids);
  });

  it('is reported: the reports and the log together have every decision', async () => {
    const reports = (await service.events({ type: 'stream.trimmed' })).map(
      ({ payload }) => payload as Report,
    );
    const denied = await service.events({ type: 'policy.action_denied' });
    const inReports = reports.map(({ counts }) => counts['policy.action_denied'] ?? 0);
    expect(inReports.reduce((sum, n) => sum + n, 0) + denied.length).toBe(FLOOD * 500);
    const types = new Set(reports.flatMap(({ counts }) => Object.keys(counts)));
    expect(
      [...types].filter((type) => !/^(policy\.(rule_evaluated|action_denied)|stream\.)/.test(type)),
    ).toEqual([]);
    expect(new Set(reports.map(({ reason }) => reason))).toEqual(new Set(['length']));
    // The reports are in the recent tier only, so they do not fill the other one.
    const evidence = await log.read({
      order: 'asc',
      limit: 500,
      until: (await log.bounds()).recent.first as string,
    });
    expect(evidence.filter(({ json }) => json.includes('"type":"stream.trimmed"'))).toEqual([]);
  });
});

describe.each(STORES)('the evidence tier on %s', (_name, startStore) => {
  const service = serviceOn(startStore, {
    BRAIN_EVENTS_MAX_LENGTH: String(MAX),
    BRAIN_EVENTS_EVIDENCE_MAX_LENGTH: '1000',
  });

  const report = async (howMany: number): Promise<void> => {
    for (let n = 0; n < howMany; n += 50)
      await Promise.all(Array.from({ length: 50 }, () => service.post('/api/threats', threat).expect(201)));
  };
  const warnings = async (): Promise<string[]> =>
    (await service.get('/readyz').expect(200)).body.warnings as string[];

  it('warns when it is nearly full, and then loses its oldest events, which is reported', async () => {
    const log = service.app.get(EventLog);
    await report(1950);
    await until(async () => (await log.bounds()).evidence.length >= 900, 20_000, 'the evidence');
    await service.app.get(LogTrimmer).sweep();
    expect((await warnings()).filter((text) => text.startsWith('events_evidence_nearly_full'))).toEqual([
      expect.stringContaining('BRAIN_EVENTS_EVIDENCE_MAX_LENGTH'),
    ]);
    const { first } = await log.bounds();
    await report(300);
    const isTrimmed = async (): Promise<boolean> => (await log.bounds()).first !== first;
    await until(isTrimmed, 20_000, 'the trim');
    await until(async () => (await log.bounds()).evidence.length <= 1000, 20_000, 'the trim');
    const reports = (await service.events({ type: 'stream.trimmed' })).map(
      ({ payload }) => payload as Report,
    );
    const [{ reason, last }] = reports.slice(-1);
    expect([reason, last]).toEqual(['evidence_length', (await log.bounds()).evidenceTrimmed]);
    const left = await service.events({ type: 'threat.detected' });
    const removed = reports.map(({ counts }) => counts['threat.detected'] ?? 0);
    expect(removed.reduce((sum, n) => sum + n, 0) + left.length).toBe(2250);
    const url = `${await service.app.getUrl()}/api/events/stream?type=threat.detected`;
    const client = await SseClient.open(url, undefined, first as string);
    await until(() => client.events.length > left.length, 20_000, 'the events');
    client.close();
    expect(client.events[0]).toMatchObject({
      event: 'gap',
      data: { reason: 'trimmed', missing: 'any', from: first },
    });
    expect(client.events.slice(1).map(({ id }) => id)).toEqual(left.map(({ position }) => position));
  }, 90_000);
});

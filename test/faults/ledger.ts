/** Records the answers to clients, and checks that they still hold after a fault. */
import type { Envelope } from '../../src/events/event.js';
import type { Threat } from '../../src/threats/threats.dto.js';
import {
  isClosed,
  mayMove,
  SEVERITIES,
  STATUSES,
  type ThreatStatus,
} from '../../src/threats/threats.lifecycle.js';
import type { ProcessAnswer, ServiceProcess } from '../support/process.js';

type ReadEvent = Envelope & { position: string };

/** A report whose answer was lost with the connection, or was a 503: it may have been done. */
export interface Report {
  key: string;
  body: { type: string; source: string; severity: string; fingerprint?: string };
}

export class Ledger {
  /** Each threat as in its latest answer. */
  private readonly told = new Map<string, Threat>();
  private readonly sources = new Set<string>();
  private occurrences = 0;
  private unanswered: Report[] = [];

  /** So many answers said that something was done. */
  get acknowledged(): number {
    return [...this.told.values()].reduce((sum, { version }) => sum + version, 0);
  }

  anyId(random: () => number): string | undefined {
    const ids = [...this.told.keys()].slice(-100);
    return ids[Math.floor(random() * ids.length)];
  }

  acknowledge(threat: Threat): void {
    const known = this.told.get(threat.id);
    if (!known || known.version < threat.version) this.told.set(threat.id, threat);
  }

  acknowledgeReport({ body }: Report, threat: Threat): void {
    this.acknowledge(threat);
    if (body.fingerprint === undefined) this.sources.add(body.source);
    else this.occurrences += 1;
  }

  leaveOpen(report: Report): void {
    this.unanswered.push(report);
  }

  /** Sends again what had no answer, under the same key: whether it was done or not, afterwards it was done once. */
  async settle(service: ServiceProcess): Promise<void> {
    const reports = this.unanswered;
    this.unanswered = [];
    for (const report of reports) {
      const answer = await service.post('/api/threats', report.body, { 'Idempotency-Key': report.key });
      expect([200, 201]).toContain(answer.status);
      this.acknowledgeReport(report, answer.body as unknown as Threat);
    }
  }

  /** Everything that was answered is there, nothing is there by half, and what is counted equals a recount. */
  async verify(service: ServiceProcess): Promise<void> {
    const threats = (await walk(service, '/api/threats?view=full', 'threats')) as Threat[];
    const events = (await walk(service, '/api/events?order=asc', 'events')) as ReadEvent[];
    const byId = new Map(threats.map((threat) => [threat.id, threat]));
    expect(byId.size).toBe(threats.length);
    this.expectAcknowledged(byId);
    expectHistories(byId, events);
    this.expectOnce(threats);
    await expectTrueStatistics(service, threats, events);
  }

  private expectAcknowledged(byId: Map<string, Threat>): void {
    const lost = [...this.told.values()].filter(({ id, version }) => (byId.get(id)?.version ?? 0) < version);
    expect(lost).toEqual([]);
    for (const told of this.told.values()) {
      const found = byId.get(told.id);
      if (found?.version === told.version) expect(found).toEqual(told);
    }
  }

  private expectOnce(threats: Threat[]): void {
    const made = new Map<string, number>();
    for (const { source, fingerprint } of threats)
      if (fingerprint === null) made.set(source, (made.get(source) ?? 0) + 1);
    const times = [...this.sources].map((source) => ({ source, times: made.get(source) ?? 0 }));
    expect(times.filter((one) => one.times !== 1)).toEqual([]);
    const marked = threats.filter(({ fingerprint }) => fingerprint !== null);
    const open = marked.filter(({ status }) => !isClosed(status)).map(({ fingerprint }) => fingerprint);
    expect(new Set(open).size).toBe(open.length);
    // Nothing is open any more once it was settled, so each report was counted once.
    if (this.unanswered.length > 0) return;
    expect(marked.reduce((sum, { occurrences }) => sum + occurrences, 0)).toBe(this.occurrences);
  }
}

/** Each event's threat exists, and each threat's events tell how it became what it is, one for each version. */
function expectHistories(byId: Map<string, Threat>, events: ReadEvent[]): void {
  const histories = new Map<string, ReadEvent[]>([...byId.keys()].map((id) => [id, []]));
  for (const event of events.filter(({ type }) => type.startsWith('threat.'))) {
    const { threat_id } = event.payload as { threat_id: string };
    const history = histories.get(threat_id);
    if (!history) throw new Error(`${event.type} tells of the threat ${threat_id}, which is not there`);
    history.push(event);
  }
  for (const [id, history] of histories) {
    const { status, severity, occurrences, version } = byId.get(id) as Threat;
    expect([id, retold(history)]).toEqual([id, { status, severity, occurrences, version }]);
  }
  expect(new Set(events.map(({ id }) => id)).size).toBe(events.length);
}

interface Told {
  old_status: ThreatStatus;
  new_status: ThreatStatus;
  new_severity: string;
  occurrences: number;
  severity: string;
}

/** What a threat must be after this history; throws at the first step that the table does not allow. */
function retold(history: ReadEvent[]): object {
  const [first, ...steps] = history;
  if (first?.type !== 'threat.detected') throw new Error(`A history begins with ${first?.type}`);
  const { severity } = first.payload as Told;
  const is = { status: 'OPEN' as ThreatStatus, severity, occurrences: 1, version: 1 };
  for (const { type, payload } of steps) {
    const told = payload as Told;
    if (type === 'threat.seen_again') {
      is.version += 1;
      expect(told.occurrences).toBe(is.occurrences + 1);
      is.occurrences = told.occurrences;
    }
    if (type === 'threat.severity_changed') is.severity = told.new_severity;
    if (type !== 'threat.status_changed') continue;
    is.version += 1;
    expect([is.status, mayMove(told.old_status, told.new_status)]).toEqual([told.old_status, true]);
    is.status = told.new_status;
  }
  return is;
}

async function expectTrueStatistics(
  service: ServiceProcess,
  threats: Threat[],
  events: ReadEvent[],
): Promise<void> {
  const { status, body } = await service.get('/api/threats/stats/overview');
  expect(status).toBe(200);
  const stats = body.stats as Record<string, unknown>;
  const count = (is: (threat: Threat) => boolean): number => threats.filter(is).length;
  expect(stats).toEqual({
    total: threats.length,
    by_status: Object.fromEntries(STATUSES.map((one) => [one, count((threat) => threat.status === one)])),
    by_severity: Object.fromEntries(
      SEVERITIES.map((one) => [one, count((threat) => threat.severity === one)]),
    ),
    mean_time_to_mitigate_seconds: stats.mean_time_to_mitigate_seconds,
    last_updated: expect.any(Number),
  });
  const durations = new Map<string, number>();
  for (const { type, payload } of events) {
    const { threat_id, duration_seconds } = payload as { threat_id: string; duration_seconds: number };
    if (type === 'threat.mitigated') durations.set(threat_id, duration_seconds);
  }
  const over = threats.filter(({ mitigated_at }) => mitigated_at !== null);
  const sum = over.reduce((all, { id }) => all + (durations.get(id) as number), 0);
  const mean = stats.mean_time_to_mitigate_seconds;
  if (over.length === 0) expect(mean).toBeNull();
  else expect(mean).toBeCloseTo(sum / over.length, 2);
}

/** Every row of a list, page by page. */
export async function walk(service: ServiceProcess, path: string, name: string): Promise<unknown[]> {
  const rows: unknown[] = [];
  let cursor = '';
  do {
    const more = `${path.includes('?') ? '&' : '?'}limit=500${cursor && `&cursor=${cursor}`}`;
    const page: ProcessAnswer = await service.get(path + more);
    expect([path, page.status]).toEqual([path, 200]);
    rows.push(...(page.body[name] as unknown[]));
    cursor = (page.body.next_cursor as string | null) ?? '';
  } while (cursor !== '');
  return rows;
}

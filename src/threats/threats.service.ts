import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { EventStream } from '../events/event-stream.js';
import { nowSeconds } from '../shared/clock.js';
import { countedStats } from '../shared/counted-stats.js';
import { expectVersion, type Versions } from '../shared/expect-version.js';
import { type IdempotencyKey, type Page, Store, type StoreHealth, type Tx } from '../storage/store.js';
import { type StoredThreat, THREAT_STATS, THREATS, toThreat } from './threats.collection.js';
import type { ChangeSeverity, ReportThreat, Threat, ThreatQuery, ThreatStats } from './threats.dto.js';
import { closedThreat, fingerprintOpen, illegalMove, noSuchThreat, sameSeverity } from './threats.errors.js';
import {
  threatDetected,
  threatEscalated,
  threatMitigated,
  threatSeenAgain,
  threatSeverityChanged,
  threatStatusChanged,
} from './threats.events.js';
import {
  isClosed,
  isMitigation,
  isReopening,
  isWorse,
  mayMove,
  type ThreatStatus,
} from './threats.lifecycle.js';

interface StatusChange {
  status: ThreatStatus;
  resolution?: string | null;
  reason?: string | null;
}

@Injectable()
export class ThreatsService {
  constructor(
    @Inject(Store) private readonly store: Store,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    store.declare(THREATS);
  }

  health(): Promise<StoreHealth> {
    return this.store.health();
  }

  /** Creates a threat, or counts one more occurrence of the open threat with the same fingerprint. */
  report(input: ReportThreat, idempotency?: IdempotencyKey): Promise<{ threat: Threat; created: boolean }> {
    const fingerprint = input.fingerprint ?? null;
    return this.store.transaction(
      async (tx) => {
        const open =
          fingerprint === null ? undefined : await tx.getUnique(THREATS, 'open_fingerprint', fingerprint);
        const threat = open ? this.seeAgain(open, input, tx) : this.detect(input, fingerprint, tx);
        return { threat: toThreat(threat), created: !open };
      },
      { idempotency },
    );
  }

  async get(id: string): Promise<Threat> {
    const threat = await this.store.get(THREATS, id);
    if (!threat) throw noSuchThreat(id);
    return toThreat(threat);
  }

  async list({ limit, cursor, status, severity, type, source }: ThreatQuery): Promise<Page<Threat>> {
    const page = await this.store.list(THREATS, { where: { status, severity, type, source }, limit, cursor });
    return { ...page, rows: page.rows.map(toThreat) };
  }

  changeStatus(
    id: string,
    { status, resolution, reason }: StatusChange,
    versions?: Versions,
  ): Promise<Threat> {
    return this.change(id, versions, async (old, tx) => {
      if (!mayMove(old.status, status)) throw illegalMove(old.status, status);
      const reopening = isReopening(old.status, status);
      if (reopening && old.fingerprint !== null) {
        const other = await tx.getUnique(THREATS, 'open_fingerprint', old.fingerprint);
        if (other) throw fingerprintOpen(other.id);
      }
      const now = nowSeconds();
      const threat = put(tx, old, {
        status,
        resolution: resolution ?? (reopening ? null : old.resolution),
        opened_at: reopening ? now : old.opened_at,
        mitigated_at: isMitigation(old.status, status) ? now : reopening ? null : old.mitigated_at,
        last_seen_at: now,
      });
      this.publishMove(threat, old.status, reason ?? undefined, tx);
      return threat;
    });
  }

  changeSeverity(id: string, { severity, reason }: ChangeSeverity, versions?: Versions): Promise<Threat> {
    return this.change(id, versions, (old, tx) => {
      if (isClosed(old.status)) throw closedThreat(old.status);
      if (old.severity === severity) throw sameSeverity(severity);
      const rises = isWorse(severity, old.severity);
      const status = rises ? 'ESCALATED' : old.status;
      const threat = put(tx, old, { severity, status, last_seen_at: nowSeconds() });
      const why = reason ?? undefined;
      this.events?.publish(threatSeverityChanged(threat, old.severity, why), tx);
      const moved = status === old.status ? undefined : old.status;
      if (moved) this.events?.publish(threatStatusChanged(threat, moved, why), tx);
      if (rises)
        this.events?.publish(threatEscalated(threat, { status: moved, severity: old.severity }, why), tx);
      return threat;
    });
  }

  async stats(): Promise<ThreatStats> {
    return countedStats(THREAT_STATS, await this.store.counts(THREATS)) as ThreatStats;
  }

  private detect(input: ReportThreat, fingerprint: string | null, tx: Tx): StoredThreat {
    const now = nowSeconds();
    const threat: StoredThreat = {
      id: randomUUID(),
      type: input.type,
      source: input.source,
      severity: input.severity,
      status: 'OPEN',
      description: input.description ?? null,
      metadata: input.metadata ?? {},
      created_at: now,
      last_seen_at: now,
      occurrences: 1,
      fingerprint,
      resolution: null,
      mitigated_at: null,
      opened_at: now,
      version: 1,
    };
    tx.insert(THREATS, threat);
    this.events?.publish(threatDetected(threat), tx);
    return threat;
  }

  private seeAgain(open: StoredThreat, input: ReportThreat, tx: Tx): StoredThreat {
    const rises = isWorse(input.severity, open.severity);
    const threat = put(tx, open, {
      occurrences: open.occurrences + 1,
      severity: rises ? input.severity : open.severity,
      last_seen_at: nowSeconds(),
    });
    this.events?.publish(threatSeenAgain(threat), tx);
    if (rises) {
      this.events?.publish(threatSeverityChanged(threat, open.severity), tx);
      this.events?.publish(threatEscalated(threat, { severity: open.severity }), tx);
    }
    return threat;
  }

  private publishMove(threat: StoredThreat, from: ThreatStatus, reason: string | undefined, tx: Tx): void {
    this.events?.publish(threatStatusChanged(threat, from, reason), tx);
    if (threat.status === 'ESCALATED')
      this.events?.publish(threatEscalated(threat, { status: from }, reason), tx);
    if (!isMitigation(from, threat.status)) return;
    const duration = Math.max(0, threat.last_seen_at - threat.opened_at);
    this.events?.publish(threatMitigated(threat, from, duration), tx);
  }

  private change(
    id: string,
    versions: Versions | undefined,
    work: (old: StoredThreat, tx: Tx) => StoredThreat | Promise<StoredThreat>,
  ): Promise<Threat> {
    const change = async (tx: Tx): Promise<Threat> => {
      const old = await tx.get(THREATS, id);
      if (!old) throw noSuchThreat(id);
      expectVersion(old.version, versions);
      return toThreat(await work(old, tx));
    };
    return this.store.transaction(change, { essential: true });
  }
}

function put(tx: Tx, old: StoredThreat, change: Partial<StoredThreat>): StoredThreat {
  const threat = { ...old, ...change, version: old.version + 1 };
  tx.put(THREATS, threat);
  return threat;
}

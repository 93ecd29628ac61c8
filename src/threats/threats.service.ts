import { randomUUID } from 'node:crypto';
import { Inject, Injectable, Optional } from '@nestjs/common';
import { CONFIG, type Config, settingsIn } from '../config/config.js';
import { EventStream } from '../events/event-stream.js';
import { nowSeconds } from '../shared/clock.js';
import { currentActor } from '../shared/context.js';
import { countedStats } from '../shared/counted-stats.js';
import { expectVersion, type Versions } from '../shared/expect-version.js';
import { expectJsonWithin } from '../shared/json-limit.js';
import { pageOf } from '../storage/page.js';
import { type IdempotencyKey, type Page, Store, type StoreHealth, type Tx } from '../storage/store.js';
import type { ThreatStats } from './stats.dto.js';
import {
  identityOf,
  KEPT_REPORTS,
  reportsOf,
  type StoredThreat,
  THREAT_STATS,
  THREATS,
  toThreat,
} from './threats.collection.js';
import type {
  ChangeSeverity,
  ListedThreat,
  ReportThreat,
  Threat,
  ThreatQuery,
  ThreatReport,
  ThreatWithReports,
} from './threats.dto.js';
import {
  closedThreat,
  fingerprintOpen,
  illegalMove,
  noSuchThreat,
  sameSeverity,
  tooManyOpen,
} from './threats.errors.js';
import {
  threatDeleted,
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
import { THREATS_SETTINGS } from './threats.settings.js';

/** The part of the service that reports a threat if no principal does. */
const PART = 'threat';

interface StatusChange {
  status: ThreatStatus;
  resolution?: string | null;
  reason?: string | null;
}

@Injectable()
export class ThreatsService {
  private readonly maxOpen: number;
  private readonly maxMetadataKib: number;

  constructor(
    @Inject(Store) private readonly store: Store,
    @Inject(CONFIG) config: Config,
    @Optional() @Inject(EventStream) private readonly events?: EventStream,
  ) {
    store.declare(THREATS);
    const settings = settingsIn(config, THREATS_SETTINGS);
    this.maxOpen = settings.BRAIN_THREATS_MAX_OPEN;
    this.maxMetadataKib = settings.BRAIN_THREATS_MAX_METADATA_KIB;
  }

  health(): Promise<StoreHealth> {
    return this.store.health();
  }

  /** Creates a threat, or counts one more occurrence of the open threat with the same type, source and fingerprint. */
  async report(
    input: ReportThreat,
    idempotency?: IdempotencyKey,
  ): Promise<{ threat: Threat; created: boolean }> {
    expectJsonWithin(this.maxMetadataKib, input.metadata, '/metadata');
    const identity = identityOf(input);
    return this.store.transaction(
      async (tx) => {
        const open =
          identity === null ? undefined : await tx.getUnique(THREATS, 'open_fingerprint', identity);
        const threat = open ? this.seeAgain(open, input, tx) : this.detect(input, tx);
        return { threat: toThreat(threat), created: !open };
      },
      { idempotency },
    );
  }

  async get(id: string): Promise<ThreatWithReports> {
    const later: ThreatReport[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.store.entries(THREATS, id, { limit: KEPT_REPORTS, cursor });
      later.push(...(page.entries as ThreatReport[]));
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    const threat = await this.store.get(THREATS, id);
    if (!threat) throw noSuchThreat(id);
    return { ...toThreat(threat), reports: reportsOf(threat, later) };
  }

  list(query: ThreatQuery): Promise<Page<ListedThreat>> {
    const { limit, cursor, status, severity, type, source, members } = query;
    const where = { status, severity, type, source };
    return pageOf(this.store, THREATS, { where, limit, cursor }, { of: toThreat, members });
  }

  /** Removes the threat with its reports, whatever its status. */
  async remove(id: string, versions?: Versions): Promise<void> {
    await this.store.transaction(async (tx) => {
      const threat = await tx.get(THREATS, id);
      if (!threat) throw noSuchThreat(id);
      expectVersion(threat.version, versions);
      tx.delete(THREATS, id);
      this.events?.publish(threatDeleted(threat, currentActor(PART).id, nowSeconds()), tx);
    });
  }

  changeStatus(
    id: string,
    { status, resolution, reason }: StatusChange,
    versions?: Versions,
  ): Promise<Threat> {
    return this.change(id, versions, async (old, tx) => {
      if (!mayMove(old.status, status)) throw illegalMove(old.status, status);
      const reopening = isReopening(old.status, status);
      const identity = identityOf(old);
      if (reopening && identity !== null) {
        const other = await tx.getUnique(THREATS, 'open_fingerprint', identity);
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

  private detect(input: ReportThreat, tx: Tx): StoredThreat {
    const now = nowSeconds();
    const reporter = currentActor(PART);
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
      fingerprint: input.fingerprint ?? null,
      resolution: null,
      mitigated_at: null,
      opened_at: now,
      first_report: { severity: input.severity, reporter },
      version: 1,
    };
    if (this.maxOpen > 0) {
      const refusal = () => tooManyOpen(reporter.id, this.maxOpen);
      tx.limit(THREATS, { index: 'open_by', value: reporter.id, most: this.maxOpen, refusal });
    }
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
    const report: ThreatReport = {
      occurrence: threat.occurrences,
      reported_at: threat.last_seen_at,
      severity: input.severity,
      description: input.description ?? null,
      metadata: input.metadata ?? {},
      reporter: currentActor(PART),
    };
    tx.append(THREATS, threat.id, report, KEPT_REPORTS);
    this.events?.publish(threatSeenAgain(threat, report), tx);
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

// One connection as a node sees it: the policy trace of each end, and counts that are not reported yet.
import type { Family } from '#lib';
import type { FlowTranslation, PolicyHit } from './flow.ts';

/** A policy decision that the kernel logged for one packet. */
export interface RuleHit {
  readonly action: 'Allow' | 'Deny' | 'Pass';
  readonly direction: 'ingress' | 'egress';
  /** Null where a profile decided. */
  readonly tier: string | null;
  /** Null for the default action of a tier, and where no profile decided. */
  readonly policy: {
    readonly kind: string;
    readonly namespace: string | null;
    readonly name: string;
  } | null;
  /** −1 for a default action. */
  readonly rule: number;
}

/** The packet that a rule hit is about. */
export interface HitPacket {
  readonly family: Family;
  readonly source: string;
  readonly destination: string;
  /** IP protocol number. */
  readonly protocol: number;
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  readonly icmpType?: number | undefined;
  readonly icmpCode?: number | undefined;
  /** Bytes of the whole IP packet. */
  readonly length: number;
}

/** One direction of a connection as conntrack keeps it. */
export interface ConnectionTuple {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort?: number | undefined;
  readonly destinationPort?: number | undefined;
  readonly icmpType?: number | undefined;
  /** Of the first packet; no part of a connection's identity. */
  readonly icmpCode?: number | undefined;
}

/** Since the connection began, one way. */
export interface ConntrackCounter {
  readonly packets: number;
  readonly bytes: number;
}

export interface ConnectionEvent {
  readonly type: 'new' | 'update' | 'destroy';
  /** The kernel's number of the entry, the same for all its life. */
  readonly id: number;
  readonly original: ConnectionTuple;
  /** Its source is whom the connection reaches after destination NAT. */
  readonly reply: ConnectionTuple;
  /** Absent where the kernel does not say. */
  readonly counters?: { readonly original: ConntrackCounter; readonly reply: ConntrackCounter };
  /** In lower case. */
  readonly tcpState?: string;
}

export interface Counts {
  packetsIn: number;
  packetsOut: number;
  bytesIn: number;
  bytesOut: number;
}

export function noCounts(): Counts {
  return { packetsIn: 0, packetsOut: 0, bytesIn: 0, bytesOut: 0 };
}

/** Steps of one trace; a trace that grows beyond is begun anew. */
const TRACE_MAX = 64;

/** What policy did at one end. */
export class ConnectionHalf {
  /** The trace of the last packet that was let through, and whether it is reported. */
  allowTrace: readonly PolicyHit[] | undefined;
  traceReported = false;
  denyTrace: readonly PolicyHit[] = [];
  deniedPackets = 0;
  deniedBytes = 0;
  #open: PolicyHit[] = [];

  onHit(hit: PolicyHit, length: number): void {
    // A tier appears once in a trace: a second time means that the end of the first was lost.
    const again = this.#open.some((step) => step.tier === hit.tier);
    if (again || this.#open.length >= TRACE_MAX) this.#open = [];
    this.#open.push(hit);
    if (hit.action === 'pass') return;
    if (hit.action === 'deny') {
      this.denyTrace = this.#open;
      this.deniedPackets++;
      this.deniedBytes += length;
    } else {
      if (!sameTrace(this.allowTrace, this.#open)) this.traceReported = false;
      this.allowTrace = this.#open;
    }
    this.#open = [];
  }
}

function sameTrace(a: readonly PolicyHit[] | undefined, b: readonly PolicyHit[]): boolean {
  const sameStep = (step: PolicyHit, other: PolicyHit | undefined) =>
    step.tier === other?.tier &&
    step.kind === other.kind &&
    step.namespace === other.namespace &&
    step.name === other.name &&
    step.rule === other.rule &&
    step.action === other.action;
  return a?.length === b.length && a.every((step, index) => sameStep(step, b[index]));
}

interface ConntrackEntry {
  counts: Counts;
  /** What it had counted when it was first heard of, not reported: it may belong to an earlier time. */
  skipped: Counts;
  /** TCP has ended; the kernel keeps the entry for a while. */
  ended: boolean;
  /** Whether its start was counted. */
  begun: boolean;
  /** Number of the listing that it was last seen in, or before which it was first heard of. */
  listing: number;
}

/** What is known of an entry that is heard of for the first time. */
export interface EntryOrigin {
  /** Nothing of it was ever counted, and it began while it could be. */
  readonly whole: boolean;
  /** What was counted of it when it was known before. */
  readonly counted?: Counts | undefined;
  readonly listing: number;
}

const TCP_ENDED: ReadonlySet<string> = new Set(['time_wait', 'close']);
const COUNTERS = ['packetsIn', 'packetsOut', 'bytesIn', 'bytesOut'] as const;

/** What is not reported yet of one end. */
export class Account {
  pending = noCounts();
  started = 0;
  completed = 0;
  reported = false;
  /** When its last report ended. */
  reportedMs: number | undefined;

  get isEmpty(): boolean {
    return this.packets + this.completed === 0;
  }

  get packets(): number {
    return this.pending.packetsIn + this.pending.packetsOut;
  }

  settle(atMs: number): void {
    this.pending = noCounts();
    this.started = 0;
    this.completed = 0;
    this.reported = true;
    this.reportedMs = atMs;
  }
}

/** A connection with its conntrack entries; for ICMP there may be several at once. */
export class Connection {
  readonly tuple: ConnectionTuple;
  readonly firstMs: number;
  /** Numbers connections in the order in which they were heard of. */
  readonly serial: number;
  lastMs: number;
  readonly halves: Partial<Record<'egress' | 'ingress', ConnectionHalf>> = {};
  readonly #entries = new Map<number, ConntrackEntry>();
  /** Whether any conntrack entry was seen: then packets did pass. */
  confirmed = false;
  translation: FlowTranslation | undefined;
  /** Each end reports when it knows by which rule packets passed: not both at once. */
  readonly accounts = { egress: new Account(), ingress: new Account() };

  constructor(tuple: ConnectionTuple, nowMs: number, serial: number) {
    this.tuple = tuple;
    this.serial = serial;
    this.firstMs = nowMs;
    this.lastMs = nowMs;
  }

  /** Conntrack entries, those of ended connections too. */
  get entries(): number {
    return this.#entries.size;
  }

  get live(): number {
    let live = 0;
    for (const { ended } of this.#entries.values()) if (!ended) live++;
    return live;
  }

  half(direction: 'egress' | 'ingress'): ConnectionHalf {
    return (this.halves[direction] ??= new ConnectionHalf());
  }

  knows(id: number): boolean {
    return this.#entries.has(id);
  }

  /** What was counted of each entry so far. */
  *counted(): IterableIterator<[id: number, counts: Counts]> {
    for (const [id, { counts }] of this.#entries) yield [id, counts];
  }

  /** Takes the difference to what the entry said before. */
  onEvent(event: ConnectionEvent, origin: EntryOrigin): void {
    this.confirmed = true;
    this.translation ??= translationOf(event);
    let entry = this.#entries.get(event.id);
    if (!entry) {
      entry = firstHeard(event, origin);
      if (origin.whole && event.type !== 'new') this.#begin(entry);
    }
    if (event.type === 'new') {
      this.#begin(entry);
      this.#count(entry.skipped);
      entry.skipped = noCounts();
    }
    const counts = countsOf(event, entry.counts);
    this.#count(difference(entry.counts, counts));
    entry.counts = counts;
    if (hasEnded(event) && !entry.ended) this.#complete();
    entry.ended ||= hasEnded(event);
    if (event.type === 'destroy') this.#entries.delete(event.id);
    else this.#entries.set(event.id, entry);
  }

  #begin(entry: ConntrackEntry): void {
    if (!entry.begun) for (const account of this.#both()) account.started++;
    entry.begun = true;
  }

  #complete(): void {
    for (const account of this.#both()) account.completed++;
  }

  #count(counts: Counts): void {
    for (const account of this.#both()) addCounts(account.pending, counts);
  }

  #both(): readonly Account[] {
    return [this.accounts.egress, this.accounts.ingress];
  }

  /** The entry is in a listing of all that there are. */
  onListed(id: number, listing: number): void {
    const entry = this.#entries.get(id);
    if (entry) entry.listing = listing;
  }

  /** Forgets entries that are in no listing since; how many of them nobody had said to be over. */
  forgetUnlisted(since: number): number {
    let unsaid = 0;
    for (const [id, entry] of this.#entries) {
      if (entry.listing >= since) continue;
      this.#entries.delete(id);
      if (entry.ended) continue;
      this.#complete();
      unsaid++;
    }
    return unsaid;
  }

  /** Whether an update repeats what is known. */
  repeats(event: ConnectionEvent): boolean {
    const entry = this.#entries.get(event.id);
    if (!entry || event.type !== 'update' || entry.ended !== hasEnded(event)) return false;
    const counts = countsOf(event, entry.counts);
    return COUNTERS.every((field) => counts[field] === entry.counts[field]);
  }
}

function firstHeard(event: ConnectionEvent, origin: EntryOrigin): ConntrackEntry {
  const { listing, counted } = origin;
  const fresh = { skipped: noCounts(), ended: false, begun: false, listing };
  if (counted) return { ...fresh, counts: { ...counted }, begun: true };
  if (origin.whole) return { ...fresh, counts: noCounts() };
  const counts = countsOf(event, noCounts());
  return { ...fresh, counts, skipped: { ...counts }, ended: hasEnded(event) };
}

/** Undefined where neither end's address was translated. */
function translationOf({ original, reply }: ConnectionEvent): FlowTranslation | undefined {
  const ported = original.destinationPort !== undefined && reply.sourcePort !== undefined;
  const called =
    original.destination !== reply.source ||
    (ported && original.destinationPort !== reply.sourcePort);
  const seen =
    original.source !== reply.destination ||
    (ported && original.sourcePort !== reply.destinationPort);
  if (!called && !seen) return undefined;
  const { destinationPort } = original;
  return {
    ...(called && { calledAddress: original.destination }),
    ...(called && destinationPort !== undefined && { calledPort: destinationPort }),
    ...(seen && { seenAddress: reply.destination }),
    ...(seen && reply.destinationPort !== undefined && { seenPort: reply.destinationPort }),
  };
}

function hasEnded({ type, tcpState }: ConnectionEvent): boolean {
  return type === 'destroy' || (tcpState !== undefined && TCP_ENDED.has(tcpState));
}

function addCounts(sum: Counts, more: Counts): void {
  for (const field of COUNTERS) sum[field] += more[field];
}

/** Counts that fall mean that the kernel began anew: then all of it is new. */
function difference(before: Counts, now: Counts): Counts {
  const counts = noCounts();
  for (const field of COUNTERS) {
    counts[field] = now[field] >= before[field] ? now[field] - before[field] : now[field];
  }
  return counts;
}

function countsOf({ counters }: ConnectionEvent, before: Counts): Counts {
  if (!counters) return before;
  const { original, reply } = counters;
  return {
    packetsOut: original.packets,
    packetsIn: reply.packets,
    bytesOut: original.bytes,
    bytesIn: reply.bytes,
  };
}

/** The 5-tuple as text; ICMP by its type. */
export function connectionKey(tuple: ConnectionTuple): string {
  const { protocol, source, destination, sourcePort, destinationPort, icmpType } = tuple;
  const ports = `${sourcePort ?? ''}|${destinationPort ?? ''}|${icmpType ?? ''}`;
  return `${protocol}|${source}|${destination}|${ports}`;
}

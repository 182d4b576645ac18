// What one asks of kept flow records: one tree, evaluated here slowly and obviously, printed elsewhere as SQL.
import type { Selector } from '#selector';
import { compareCodePoints, parseAddress, type Prefix, prefixContains } from '#lib';
import { type FlowRecord, policyName } from './flow-record.ts';
import type { PolicyHit } from './flow.ts';

/** What a record has once. Absent values are '' for texts and −1 for numbers. */
export const SCALARS = {
  reporter: (record: FlowRecord) => record.reporter,
  node: (record) => record.node,
  verdict: (record) => record.verdict,
  protocol: (record) => record.protocol,
  sourcePort: (record) => record.sourcePort ?? -1,
  port: (record) => record.port ?? -1,
  icmpType: (record) => record.icmpType ?? -1,
  level: (record) => record.level,
  sourceType: ({ source }) => source.type,
  sourceNamespace: ({ source }) => source.namespace ?? '',
  sourceName: ({ source }) => source.name,
  sourceAggregate: ({ source }) => source.aggregate,
  sourceAddress: ({ source }) => source.address ?? '',
  destinationType: ({ destination }) => destination.type,
  destinationNamespace: ({ destination }) => destination.namespace ?? '',
  destinationName: ({ destination }) => destination.name,
  destinationAggregate: ({ destination }) => destination.aggregate,
  destinationAddress: ({ destination }) => destination.address ?? '',
  serviceNamespace: ({ service }) => service?.namespace ?? '',
  serviceName: ({ service }) => service?.name ?? '',
  servicePort: ({ service }) => service?.port ?? -1,
} as const satisfies Record<string, (record: FlowRecord) => string | number>;

/** What a record has many of. */
export const LISTS = {
  /** Names of deciding and passing policies, as in Calico's flow logs. */
  policy: ({ policies }: FlowRecord) => names(policies),
  policyTier: ({ policies }) => tiers(policies),
  pendingPolicy: ({ pending }) => names(pending),
  process: ({ processes }) => distinct(processes.map(({ name }) => name)),
} as const satisfies Record<string, (record: FlowRecord) => readonly string[]>;

export type ScalarField = keyof typeof SCALARS;
export type ListField = keyof typeof LISTS;
export type RecordSide = 'source' | 'destination';

export type FlowCondition =
  | { readonly all: readonly FlowCondition[] }
  | { readonly any: readonly FlowCondition[] }
  | { readonly not: FlowCondition }
  /** Equals one of the values. */
  | { readonly field: ScalarField; readonly in: readonly (string | number)[] }
  /** Text with `*` for any run of characters. */
  | { readonly field: ScalarField; readonly like: string }
  /** Some item of the list equals one of the values, or is like the pattern. */
  | { readonly list: ListField; readonly in: readonly string[] }
  | { readonly list: ListField; readonly like: string }
  | { readonly side: RecordSide; readonly selector: Selector }
  /** Records without an address never match. */
  | { readonly side: RecordSide; readonly prefix: Prefix }
  /** Each packet once: of a connection that both ends report, the destination's word. */
  | { readonly once: true };

export const MEASURES = [
  'packetsIn',
  'packetsOut',
  'bytesIn',
  'bytesOut',
  'started',
  'completed',
  'live',
  'flows',
] as const;
export type Measure = (typeof MEASURES)[number];

export interface FlowQueryWindow {
  /** Buckets that begin at or after this time, in milliseconds since the epoch. */
  readonly from: number;
  /** And before this one. */
  readonly to: number;
  readonly where?: FlowCondition;
}

/** Groups with their sums. */
export interface FlowSummaryQuery extends FlowQueryWindow {
  readonly groupBy: readonly ScalarField[];
  /** One row for each group and each item of this list that it has. */
  readonly each?: ListField;
  /** Length of a step in time, in milliseconds; one step for all when absent. */
  readonly step?: number;
  readonly orderBy?: Measure;
  readonly limit: number;
}

export interface FlowSummaryRow {
  /** In the order of `groupBy`. */
  readonly group: readonly (string | number)[];
  /** The item of `each`. */
  readonly item?: string;
  /** The beginning of the step; `from` without steps. */
  readonly time: number;
  /** `live` is the most that any bucket of the step had; all else are sums. */
  readonly sums: Readonly<Record<Measure, number>>;
}

export interface FlowRecordsQuery extends FlowQueryWindow {
  /** The newest so many. */
  readonly limit: number;
}

/** Records that match, newest bucket first; those of one bucket in any order. */
export function selectRecords(
  records: readonly FlowRecord[],
  { from, to, where, limit }: FlowRecordsQuery,
): FlowRecord[] {
  return records
    .filter((record) => isInWindow(record, { from, to, ...(where && { where }) }))
    .toSorted((a, b) => b.bucketStart - a.bucketStart)
    .slice(0, limit);
}

/**
 * The groups of matching records: by step in time, then by `orderBy` from the greatest, then by the
 * group's own values; the first `limit` of them.
 */
export function summarise(
  records: readonly FlowRecord[],
  query: FlowSummaryQuery,
): FlowSummaryRow[] {
  const groups = new Map<string, Group>();
  for (const record of records.filter((it) => isInWindow(it, query))) {
    for (const item of query.each === undefined ? [undefined] : LISTS[query.each](record)) {
      const group = query.groupBy.map((field) => SCALARS[field](record));
      const time = stepOf(record.bucketStart, query);
      const key = JSON.stringify([time, group, item ?? null]);
      const found = groups.get(key) ?? { time, group, item, buckets: new Map() };
      groups.set(key, found);
      const before = found.buckets.get(record.bucketStart) ?? noSums();
      found.buckets.set(record.bucketStart, addSums(before, sumsOf(record)));
    }
  }
  return [...groups.values()].map(rowOf).toSorted(ordering(query)).slice(0, query.limit);
}

interface Group {
  readonly time: number;
  readonly group: readonly (string | number)[];
  readonly item: string | undefined;
  readonly buckets: Map<number, Record<Measure, number>>;
}

function rowOf({ time, group, item, buckets }: Group): FlowSummaryRow {
  const each = [...buckets.values()];
  const sums = each.reduce(addSums, noSums());
  return {
    time,
    group,
    ...(item !== undefined && { item }),
    sums: { ...sums, live: Math.max(...each.map(({ live }) => live)) },
  };
}

function ordering({ orderBy }: FlowSummaryQuery) {
  return (a: FlowSummaryRow, b: FlowSummaryRow): number => {
    const byMeasure = orderBy === undefined ? 0 : b.sums[orderBy] - a.sums[orderBy];
    return (
      a.time - b.time ||
      byMeasure ||
      compareGroups([...a.group, a.item ?? ''], [...b.group, b.item ?? ''])
    );
  };
}

function compareGroups(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  for (const [index, value] of a.entries()) {
    const other = b[index];
    const order =
      typeof value === 'number' && typeof other === 'number'
        ? value - other
        : compareCodePoints(String(value), String(other));
    if (order !== 0) return order;
  }
  return 0;
}

function stepOf(bucketStart: number, { from, step }: FlowSummaryQuery): number {
  return step === undefined ? from : Math.floor(bucketStart / step) * step;
}

function noSums(): Record<Measure, number> {
  return {
    packetsIn: 0,
    packetsOut: 0,
    bytesIn: 0,
    bytesOut: 0,
    started: 0,
    completed: 0,
    live: 0,
    flows: 0,
  };
}

function addSums(a: Record<Measure, number>, b: Record<Measure, number>): Record<Measure, number> {
  const sums = noSums();
  for (const measure of MEASURES) sums[measure] = a[measure] + b[measure];
  return sums;
}

/** What a record adds to the sums of its group. */
export function sumsOf({
  packets,
  bytes,
  connections,
  flows,
}: FlowRecord): Record<Measure, number> {
  return {
    packetsIn: packets.in,
    packetsOut: packets.out,
    bytesIn: bytes.in,
    bytesOut: bytes.out,
    started: connections.started,
    completed: connections.completed,
    live: connections.live,
    flows,
  };
}

function isInWindow(record: FlowRecord, { from, to, where }: FlowQueryWindow): boolean {
  const { bucketStart } = record;
  return bucketStart >= from && bucketStart < to && (!where || matchesRecord(where, record));
}

/** Whether a record meets a condition. */
export function matchesRecord(condition: FlowCondition, record: FlowRecord): boolean {
  if ('all' in condition) return condition.all.every((it) => matchesRecord(it, record));
  if ('any' in condition) return condition.any.some((it) => matchesRecord(it, record));
  if ('not' in condition) return !matchesRecord(condition.not, record);
  if ('once' in condition) return isCountedOnce(record);
  if ('selector' in condition) return condition.selector.evaluate(record[condition.side].labels);
  if ('prefix' in condition) {
    const address = parseAddress(record[condition.side].address ?? '');
    return address !== undefined && prefixContains(condition.prefix, address);
  }
  const values =
    'field' in condition ? [SCALARS[condition.field](record)] : LISTS[condition.list](record);
  return values.some((value) =>
    'like' in condition
      ? isLike(String(value), condition.like)
      : condition.in.some((wanted) => wanted === value),
  );
}

/** Denied at the source, it never came to the destination; else a workload there has the last word. */
function isCountedOnce({ reporter, source, destination, verdict }: FlowRecord): boolean {
  return reporter === 'src'
    ? destination.type !== 'workload' || verdict === 'deny'
    : destination.type === 'workload' || source.type !== 'workload' || verdict === 'deny';
}

/** `*` is any run of characters; letter case counts. */
export function isLike(text: string, pattern: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return text === pattern;
  if (!text.startsWith(first)) return false;
  const last = rest.pop() ?? '';
  let position = first.length;
  for (const part of rest) {
    const found = text.indexOf(part, position);
    if (found < 0) return false;
    position = found + part.length;
  }
  return text.length - last.length >= position && text.endsWith(last);
}

function names(trace: readonly PolicyHit[]): readonly string[] {
  return distinct(trace.map(policyName));
}

function tiers(trace: readonly PolicyHit[]): readonly string[] {
  return distinct(trace.flatMap(({ tier }) => tier ?? []));
}

function distinct(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}

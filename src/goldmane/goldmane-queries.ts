// Goldmane's questions, answered from records: lists, hints, statistics. Pure.
import { countsAtReporter, type FlowRecord, type PolicyHit } from '#flows';
import { compareCodePoints } from '#lib';
import { flowOf, hitOf, keyText, responsible } from './goldmane-flow.ts';
import { matchesPolicy } from './goldmane-filter.ts';
import type { FlowMessage, PolicyMatch, StatisticsResultMessage } from './goldmane-messages.ts';

const BUCKET_MS = 15_000;

export interface KeyedFlow {
  readonly key: string;
  readonly flow: FlowMessage;
}

/** Flows by key, and by interval where one is given (milliseconds). */
export function flowsOf(records: readonly FlowRecord[], intervalMs: number): KeyedFlow[] {
  const groups = Map.groupBy(records, (record) => {
    const interval = intervalMs > 0 ? Math.floor(record.bucketStart / intervalMs) : 0;
    return `${interval} ${keyText(record)}`;
  });
  return [...groups.values()].map((own) => {
    const [first] = own;
    return { key: first ? keyText(first) : '', flow: flowOf(own) };
  });
}

type SortKey = (flow: FlowMessage) => string | number;

/** In the order of the API's numbers: time, then names, namespaces and types of both ends. */
const SORT_KEYS: readonly SortKey[] = [
  ({ startTime }) => -startTime,
  ({ key }) => key?.destName ?? '',
  ({ key }) => key?.destNamespace ?? '',
  ({ key }) => key?.destType ?? 0,
  ({ key }) => key?.sourceName ?? '',
  ({ key }) => key?.sourceNamespace ?? '',
  ({ key }) => key?.sourceType ?? 0,
];

/** By one field, newest first among equals; by time where the number is unknown. */
export function sortFlows(flows: readonly KeyedFlow[], sortBy: number): KeyedFlow[] {
  const byTime = (flow: FlowMessage): number => -flow.startTime;
  const chosen = SORT_KEYS[sortBy] ?? byTime;
  return flows.toSorted(
    (a, b) =>
      compare(chosen(a.flow), chosen(b.flow)) ||
      compare(byTime(a.flow), byTime(b.flow)) ||
      compareCodePoints(a.key, b.key),
  );
}

function compare(a: string | number, b: string | number): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return compareCodePoints(String(a), String(b));
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly meta: { readonly totalPages: number; readonly totalResults: number };
}

/** Pages count from 0; no size is one page. */
export function pageOf<T>(all: readonly T[], page: number, pageSize: number): Page<T> {
  if (pageSize <= 0) {
    return { items: all, meta: { totalPages: all.length > 0 ? 1 : 0, totalResults: all.length } };
  }
  const meta = { totalPages: Math.ceil(all.length / pageSize), totalResults: all.length };
  return { items: all.slice(page * pageSize, (page + 1) * pageSize), meta };
}

type Hint = (record: FlowRecord) => readonly (string | number | null)[];

const steps = ({ policies, pending }: FlowRecord): PolicyHit[] =>
  [...policies, ...pending].map(responsible);

/** As the API's enumeration calls it; null where nobody is known to have decided. */
function kindName({ kind, rule }: PolicyHit): string | null {
  if (kind === null) return rule === -1 ? 'EndOfTier' : null;
  const others: Readonly<Record<string, string>> = {
    NetworkPolicy: 'CalicoNetworkPolicy',
    KubernetesNetworkPolicy: 'NetworkPolicy',
  };
  return others[kind] ?? kind;
}

/** By the API's numbers from 1. */
const HINTS: readonly Hint[] = [
  ({ destination }) => [destination.aggregate],
  ({ source }) => [source.aggregate],
  ({ destination }) => [destination.namespace],
  ({ source }) => [source.namespace],
  (record) => steps(record).map(({ tier }) => tier),
  (record) => steps(record).map(({ name }) => name),
  (record) => steps(record).map(kindName),
  (record) => steps(record).map(({ namespace }) => namespace),
];

/** Distinct values of what a filter can be about, sorted; undefined for a type that is not known. */
export function hintsOf(records: readonly FlowRecord[], type: number): string[] | undefined {
  const hint = HINTS[type - 1];
  if (!hint) return undefined;
  const values = new Set<string>();
  for (const record of records) {
    for (const value of hint(record)) if (value !== null && value !== '') values.add(String(value));
  }
  return [...values].toSorted(compareCodePoints);
}

export interface StatisticsQuestion {
  readonly fromMs: number;
  readonly toMs: number;
  /** 0 packets, 1 bytes, 2 live connections. */
  readonly type: number;
  /** 0 by policy, 1 by rule. */
  readonly groupBy: number;
  readonly match: PolicyMatch | undefined;
  readonly timeSeries: boolean;
}

type Series = 'allowedIn' | 'allowedOut' | 'deniedIn' | 'deniedOut' | 'passedIn' | 'passedOut';
const WAYS = { allow: 'allowed', deny: 'denied', pass: 'passed' } as const;
const EMPTY: Readonly<Record<Series, readonly number[]>> = {
  allowedIn: [],
  allowedOut: [],
  deniedIn: [],
  deniedOut: [],
  passedIn: [],
  passedOut: [],
};
const POINTS_MAX = 1_000;

/** One result for each policy or rule that decided about some record, or would if it were enforced. */
export function statisticsOf(
  records: readonly FlowRecord[],
  question: StatisticsQuestion,
): StatisticsResultMessage[] {
  const { groupBy, match, type } = question;
  const axis = axisOf(records, question);
  const results = new Map<string, { hit: PolicyHit; series: Record<Series, number[]> }>();
  for (const record of records) {
    const point = question.timeSeries ? axis.indexOf(record.bucketStart) : 0;
    if (point < 0) continue;
    for (const hit of decisionsOf(record)) {
      if (match && !matchesPolicy(match, hit)) continue;
      const rule = groupBy === 1 ? [hit.direction, hit.rule, hit.action] : [];
      const key = JSON.stringify([hit.kind, hit.namespace, hit.name, hit.tier, ...rule]);
      const found = results.get(key) ?? { hit, series: noSeries(Math.max(axis.length, 1)) };
      results.set(key, found);
      const counted = countsOf(record, type);
      addAt(found.series[`${WAYS[hit.action]}In`], point, counted.in);
      addAt(found.series[`${WAYS[hit.action]}Out`], point, counted.out);
    }
  }
  return [...results.entries()]
    .toSorted(([a], [b]) => compareCodePoints(a, b))
    .map(([, { hit, series }]) => ({
      ...EMPTY,
      ...series,
      policy: groupBy === 1 ? hitOf(hit, 0) : { ...hitOf(hit, 0), action: 0, ruleIndex: 0 },
      direction: groupBy === 1 ? (hit.direction === 'ingress' ? 1 : 2) : 0,
      groupBy,
      type,
      x: question.timeSeries ? axis.map((start) => start / 1_000) : [],
    }));
}

/** Each step once, also of the pending trace, which repeats what is not staged. */
function decisionsOf(record: FlowRecord): PolicyHit[] {
  const once = new Map(
    steps(record).map((hit) => {
      const { kind, namespace, name, tier, direction, rule, action } = hit;
      return [JSON.stringify([kind, namespace, name, tier, direction, rule, action]), hit];
    }),
  );
  return [...once.values()];
}

/** Every bucket of the window; of a very long one, those that have records. */
function axisOf(
  records: readonly FlowRecord[],
  { fromMs, toMs, timeSeries }: StatisticsQuestion,
): number[] {
  if (!timeSeries) return [];
  const first = Math.floor(fromMs / BUCKET_MS);
  const count = Math.ceil(toMs / BUCKET_MS) - first;
  if (count <= POINTS_MAX) {
    return Array.from({ length: Math.max(count, 0) }, (_, index) => (first + index) * BUCKET_MS);
  }
  return [...new Set(records.map(({ bucketStart }) => bucketStart))].toSorted((a, b) => a - b);
}

function noSeries(length: number): Record<Series, number[]> {
  const zeros = (): number[] => Array.from({ length }, () => 0);
  return {
    allowedIn: zeros(),
    allowedOut: zeros(),
    deniedIn: zeros(),
    deniedOut: zeros(),
    passedIn: zeros(),
    passedOut: zeros(),
  };
}

function addAt(series: number[], point: number, value: number): void {
  series[point] = (series[point] ?? 0) + value;
}

/** As the end saw it that reports; live connections count on its side. */
function countsOf(
  { packets, bytes, connections, reporter }: FlowRecord,
  type: number,
): { in: number; out: number } {
  if (type === 0) return countsAtReporter(packets, reporter);
  if (type === 1) return countsAtReporter(bytes, reporter);
  const { live } = connections;
  return reporter === 'dst' ? { in: live, out: 0 } : { in: 0, out: live };
}

// For tests: random flow records, and random questions about them.
import fc from 'fast-check';
import { parsePrefix } from '#lib';
import {
  type FlowCondition,
  type FlowRecord,
  type FlowSummaryQuery,
  LISTS,
  type ListField,
  MEASURES,
  type PolicyHit,
  type RecordEnd,
  type ScalarField,
} from '#flows';
import { parseSelector } from '#selector';

/** Records lie in these hours after the epoch. */
export const HOURS = 3;
const HOUR_MS = 3_600_000;
const NAMES = ['web', "o'web", 'db%', 'd_b', 'back\\slash', 'żółw'];

const end: fc.Arbitrary<RecordEnd> = fc
  .record({
    type: fc.constantFrom('workload' as const, 'host' as const, 'network' as const),
    namespace: fc.constantFrom(null, 'shop', 'data'),
    name: fc.constantFrom(...NAMES),
    address: fc.constantFrom(null, '10.0.0.1', '10.0.1.2', '2001:db8::7', '192.0.2.9'),
    labels: fc.dictionary(fc.constantFrom('app', 'tier', 'a/b'), fc.constantFrom(...NAMES, '')),
  })
  .map((it) => ({ ...it, aggregate: `${it.name}-*` }));

const hit: fc.Arbitrary<PolicyHit> = fc.record({
  direction: fc.constantFrom('egress' as const, 'ingress' as const),
  tier: fc.constantFrom('default', 'security', null),
  kind: fc.constantFrom('NetworkPolicy', 'GlobalNetworkPolicy', 'Profile', null),
  namespace: fc.constantFrom('shop', null),
  name: fc.constantFrom('allow-web', 'security.block', "it's"),
  rule: fc.integer({ min: -1, max: 3 }),
  action: fc.constantFrom('allow' as const, 'deny' as const, 'pass' as const),
});

const count = fc.integer({ min: 0, max: 2 ** 40 });
const counts = fc.record({ in: count, out: count });

export const anyRecord: fc.Arbitrary<FlowRecord> = fc
  .record({
    bucketStart: fc.integer({ min: 0, max: HOURS * 240 - 1 }).map((bucket) => bucket * 15_000),
    reporter: fc.constantFrom('src' as const, 'dst' as const),
    node: fc.constantFrom('one', 'two'),
    source: end,
    destination: end,
    service: fc.constantFrom(null, { namespace: 'shop', name: 'db', portName: 'sql', port: 5432 }),
    protocol: fc.constantFrom('tcp', 'udp', 'icmp'),
    sourcePort: fc.constantFrom(null, 40_000),
    port: fc.constantFrom(null, 80, 443),
    icmpType: fc.constantFrom(null, 8),
    verdict: fc.constantFrom('allow' as const, 'deny' as const),
    policies: fc.array(hit, { maxLength: 3 }),
    pending: fc.array(hit, { maxLength: 2 }),
    packets: counts,
    bytes: counts,
    connections: fc.record({ started: count, completed: count, live: count }),
    flows: fc.integer({ min: 1, max: 9 }),
    level: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
    calledAddress: fc.constantFrom(null, '10.96.0.1'),
    calledPort: fc.constantFrom(null, 80),
    processes: fc.array(
      fc.record({ name: fc.constantFrom(...NAMES), pid: count, args: fc.constant(['-v']) }),
      { maxLength: 2 },
    ),
    tcp: fc.constantFrom(null, {
      samples: 2,
      rttSum: 10,
      rttMax: 7,
      minRttMin: 3,
      mssMin: 1448,
      congestionWindowMin: 10,
      retransmissions: 1,
      lost: 0,
    }),
  })
  .map((it) => ({
    ...it,
    startTime: it.bucketStart + 1,
    endTime: it.bucketStart + 2,
    processCount: it.processes.length,
  }));

const FIELDS: readonly ScalarField[] = [
  'reporter',
  'verdict',
  'protocol',
  'port',
  'level',
  'sourceNamespace',
  'sourceName',
  'destinationName',
  'destinationAggregate',
  'serviceName',
];
const TEXT_FIELDS: readonly ScalarField[] = ['protocol', 'sourceName', 'destinationAggregate'];
const PATTERNS = ['*', 'web*', '*b%', 'd_*', '*\\*', "o'*", 'w*b', '', 'ż*w-*'];
const SELECTORS = [
  "app == 'web'",
  "app != 'web'",
  'has(a/b)',
  "tier in {'db%', 'd_b'}",
  "tier not in {'web'} && has(app)",
  "app contains 'e' || !has(tier)",
  "app starts with 'd_'",
  "app ends with 'slash'",
  "app contains ''",
  'all()',
];
const list = fc.constantFrom(...(Object.keys(LISTS) as ListField[]));
const side = fc.constantFrom('source' as const, 'destination' as const);
const texts = fc.array(
  fc.constantFrom(...NAMES, 'tcp', 'deny', 'src', 'shop', '', 'shop/default.allow-web', 'security'),
  { maxLength: 3 },
);

function prefixes(): fc.Arbitrary<FlowCondition> {
  const written = [
    '10.0.0.0/8',
    '10.0.1.0/24',
    '2001:db8::/32',
    '::/0',
    '0.0.0.0/0',
    '192.0.2.9/32',
  ];
  const parsed = written.flatMap((text) => parsePrefix(text) ?? []);
  return fc.record({ side, prefix: fc.constantFrom(...parsed) });
}

const leaf: fc.Arbitrary<FlowCondition> = fc.oneof(
  fc.record({
    field: fc.constantFrom(...FIELDS),
    in: fc.oneof(texts, fc.array(fc.constantFrom(80, -1, 2), { maxLength: 2 })),
  }),
  fc.record({ field: fc.constantFrom(...TEXT_FIELDS), like: fc.constantFrom(...PATTERNS) }),
  fc.record({ list, in: texts }),
  fc.record({ list, like: fc.constantFrom('*', 'shop/*', "*it's", '*security*') }),
  fc.record({ side, selector: fc.constantFrom(...SELECTORS.map(parseSelector)) }),
  prefixes(),
  fc.constant({ once: true } as const),
);

export const anyCondition: fc.Arbitrary<FlowCondition> = fc.letrec<{ node: FlowCondition }>(
  (tie) => ({
    node: fc.oneof(
      { depthSize: 'small' },
      leaf,
      fc.record({ all: fc.array(tie('node'), { maxLength: 3 }) }),
      fc.record({ any: fc.array(tie('node'), { maxLength: 3 }) }),
      fc.record({ not: tie('node') }),
    ),
  }),
).node;

export const anySummary: fc.Arbitrary<FlowSummaryQuery> = fc.record(
  {
    from: fc.constantFrom(0, HOUR_MS / 2, HOUR_MS),
    to: fc.constantFrom(HOUR_MS * 2, HOUR_MS * HOURS),
    where: anyCondition,
    groupBy: fc.uniqueArray(fc.constantFrom(...FIELDS), { maxLength: 3 }),
    each: list,
    step: fc.constantFrom(15_000, 60_000, HOUR_MS),
    orderBy: fc.constantFrom(...MEASURES),
    limit: fc.constantFrom(1, 5, 10_000),
  },
  { requiredKeys: ['from', 'to', 'groupBy', 'limit'] },
);

/** Records as texts that are equal for equal records, in an order that is theirs. */
export function asSet(records: readonly FlowRecord[]): string[] {
  return records.map((record) => JSON.stringify(sorted(record))).toSorted();
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([key, item]) => [key, sorted(item)]);
}

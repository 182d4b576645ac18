// The pending trace of flows, walked by the agent over its desired state, is the reference's would-be answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PendingJudge } from '#agent';
import { kindOf, type Resource } from '#api';
import { CalcGraph } from '#calc';
import type { SyncerUpdate } from '#datastore/syncer';
import { type ConnectionReport, decidingHit, type PolicyHit } from '#flows';
import { buildWorld, evaluate } from '#policy';
import { NODES, podAddress, podsOf, world } from './worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['WORLDS'] ?? 60);
const CHANGES = ['keep', 'add', 'replace', 'delete', 'ignore'] as const;
type Change = (typeof CHANGES)[number];

function stage(one: Resource, change: Change): Resource[] {
  if (change === 'keep' || !['NetworkPolicy', 'GlobalNetworkPolicy'].includes(one.kind))
    return [one];
  const { spec } = one as Resource & { spec: { ingress?: object[]; egress?: object[] } };
  const kubernetes = one.apiVersion === 'networking.k8s.io/v1' ? 'Kubernetes' : '';
  const kind = `Staged${kubernetes}${one.kind}`;
  const { ingress, egress } = spec;
  const shorter = {
    ...spec,
    ...(ingress && { ingress: ingress.slice(1) }),
    ...(egress && { egress: egress.slice(1) }),
  };
  const staged = (stagedAction: string, body: object): Resource => {
    const change = { apiVersion: 'projectcalico.org/v3', kind, spec: { ...body, stagedAction } };
    return { ...one, ...change };
  };
  switch (change) {
    case 'add':
      return [staged('Set', spec)];
    case 'replace':
      return [one, staged('Set', shorter)];
    case 'delete':
      return [one, staged('Delete', spec)];
    case 'ignore':
      return [one, staged('Ignore', shorter)];
  }
}

function updateOf(resource: Resource): SyncerUpdate {
  const kind = kindOf(resource.apiVersion, resource.kind);
  assert.ok(kind, `no kind ${resource.apiVersion} ${resource.kind}`);
  const { namespace = '', name } = resource.metadata;
  return { kind, key: `${namespace}/${name}`, resource };
}

interface Probe {
  readonly protocol: number;
  readonly destinationPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
}
const PROBES: readonly Probe[] = [
  { protocol: 6, destinationPort: 8080 },
  { protocol: 17, destinationPort: 5353 },
  { protocol: 1, icmpType: 8, icmpCode: 0 },
];

function reportOf(
  source: string,
  destination: string,
  probe: Probe,
  more: object,
): ConnectionReport {
  const ports = probe.destinationPort === undefined ? {} : { sourcePort: 40_000 };
  const counts = { in: 0, out: 0 };
  return {
    startTime: 0,
    endTime: 0,
    direction: 'egress',
    tuple: { source, destination, ...probe, ...ports },
    verdict: 'allow',
    packets: counts,
    bytes: counts,
    connections: { started: 0, completed: 0, live: 0 },
    policies: [],
    ...more,
  };
}

/** Of the last step; a staged policy is said to be the one that it would be. */
function said(hits: readonly PolicyHit[], direction: PolicyHit['direction']) {
  const last = decidingHit({ policies: hits } as never, direction);
  assert.ok(last, JSON.stringify(hits));
  const { action, tier, kind, namespace, name, rule } = last;
  if (tier === null) return { verdict: action, tier };
  const policy = name === null ? null : { kind: kind?.replace(/^Staged/, ''), namespace, name };
  return { verdict: action, tier, policy, rule };
}

test('the pending trace ends where the reference says, in random worlds with staged policies', (t) => {
  const seen = { compared: 0, absent: 0 };
  const staging = fc.tuple(
    world,
    fc.array(fc.constantFrom(...CHANGES), { minLength: 3, maxLength: 9 }),
  );
  fc.assert(
    fc.property(staging, ([{ resources }, changes]) => {
      let turn = 0;
      compare(
        resources.flatMap((one) => stage(one, changes[turn++ % changes.length] ?? 'keep')),
        seen,
      );
    }),
    { seed: SEED, numRuns: WORLDS },
  );
  t.diagnostic(`${JSON.stringify(seen)}, seed ${SEED}`);
  assert.ok(seen.compared > 0 && seen.absent > 0);
});

function compare(resources: readonly Resource[], seen: { compared: number; absent: number }): void {
  const reference = buildWorld(resources);
  const judges = NODES.map((node) => {
    const graph = new CalcGraph(node);
    graph.onUpdates(resources.map(updateOf));
    const judge = new PendingJudge();
    judge.onUpdates(resources.map(updateOf));
    judge.onState(graph.state());
    return judge;
  });
  const pods = podsOf(resources);
  for (const from of pods) {
    for (const to of pods.filter((pod) => pod !== from)) {
      for (const probe of PROBES) {
        const party = ({ metadata: { namespace = '', name } }: Resource) =>
          ({ type: 'workload', namespace, name }) as const;
        const index = ({ metadata }: Resource) => Number(metadata.name.slice(1));
        const { destinationPort: port, ...icmp } = probe;
        const now = evaluate(reference, {
          from: party(from),
          to: party(to),
          ...icmp,
          ...(port !== undefined && { port, sourcePort: 40_000 }),
          family: 4,
        });
        const would = now.pending ?? now;
        for (const direction of ['egress', 'ingress'] as const) {
          const place = direction === 'egress' ? from : to;
          const addresses = [podAddress(index(from), 4), podAddress(index(to), 4)] as const;
          const verdict = now[direction].verdict;
          const report = reportOf(...addresses, probe, { direction, verdict });
          const hits = judges[index(place) % 2]?.pendingOf(report);
          const { verdict: expected, tier, policy, rule } = would[direction];
          if (!hits) {
            seen.absent++;
            assert.deepEqual({ expected, tier, policy, rule }, { ...pick(now[direction]) });
            continue;
          }
          seen.compared++;
          const half =
            tier === null ? { verdict: expected, tier } : { verdict: expected, tier, policy, rule };
          assert.deepEqual(said(hits, direction), half, JSON.stringify({ report, hits }));
        }
      }
    }
  }
}

function pick(half: { verdict: string; tier: unknown; policy: unknown; rule: unknown }) {
  return { expected: half.verdict, tier: half.tier, policy: half.policy, rule: half.rule };
}

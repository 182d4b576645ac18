// Two independent engines agree: the calculation, interpreted in memory, and the plain reference.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kindOf, type Resource } from '#api';
import { CalcGraph, type DataplaneState, type Direction } from '#calc';
import type { SyncerUpdate } from '#datastore/syncer';
import type { Family } from '#lib';
import { buildWorld, evaluate, type Explanation, type Party } from '#policy';
import { decide, type Decision, type WirePacket } from './dataplane-interpreter.ts';
import { NODE_ADDRESS, NODES, OUTSIDE, podAddress, world } from './worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['WORLDS'] ?? 200);
const PROBES = [
  { protocol: 6, port: 8080 },
  { protocol: 6, port: 9090 },
  { protocol: 17, port: 5353 },
] as const;
const PODS = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5'];

interface Place {
  readonly party: (family: Family) => Party;
  readonly address: Readonly<Record<Family, string>>;
  readonly node: string | undefined;
  readonly endpoint: string | undefined;
}

test('every half of every probe of random worlds has the same verdict, policy and rule', (t) => {
  let halves = 0;
  fc.assert(
    fc.property(world, ({ resources }) => {
      halves += compare(resources);
    }),
    { seed: SEED, numRuns: WORLDS },
  );
  t.diagnostic(`${halves} halves of ${WORLDS} worlds agree, seed ${SEED}`);
  assert.ok(halves > 0);
});

function compare(resources: readonly Resource[]): number {
  const reference = buildWorld(resources);
  const states = new Map(NODES.map((node) => [node as string, stateOf(node, resources)]));
  const places = placesOf(resources);
  let halves = 0;
  for (const from of places) {
    for (const to of places) {
      if (from === to || !(from.endpoint ?? to.endpoint)) continue;
      for (const family of [4, 6] as const) {
        for (const { protocol, port } of PROBES) {
          const expected = evaluate(reference, {
            from: from.party(family),
            to: to.party(family),
            protocol,
            port,
            sourcePort: 40_000,
            family,
          });
          const packet: WirePacket = {
            source: from.address[family],
            destination: to.address[family],
            protocol,
            sourcePort: 40_000,
            destinationPort: port,
            icmp: undefined,
          };
          const ends = { from, to, states, packet };
          assertSame(decideHalf('egress', ends), expected, 'egress', ends);
          assertSame(decideHalf('ingress', ends), expected, 'ingress', ends);
          halves += 2;
        }
      }
    }
  }
  return halves;
}

interface Ends {
  readonly from: Place;
  readonly to: Place;
  readonly states: ReadonlyMap<string, DataplaneState>;
  readonly packet: WirePacket;
}

/** Undefined where no workload's policy has a say. */
function decideHalf(
  direction: Direction,
  { from, to, states, packet }: Ends,
): Decision | undefined {
  const place = direction === 'egress' ? from : to;
  const state = states.get(place.node ?? '');
  const endpoint = state?.endpoints.get(place.endpoint ?? '');
  // A host always reaches its own pods.
  if (direction === 'ingress' && from.endpoint === undefined && from.node === to.node)
    return undefined;
  return state && endpoint ? decide(state, endpoint, direction, packet) : undefined;
}

function assertSame(
  got: Decision | undefined,
  expected: Explanation,
  direction: Direction,
  { packet }: Ends,
): void {
  const half = expected[direction];
  const steps = expected.steps.map((step) => `${step.direction} ${step.reason}`).join('\n');
  const where = `${direction} of ${JSON.stringify(packet)}, the reference says:\n${steps}`;
  assert.equal(got?.verdict ?? 'allow', half.verdict, where);
  if (!got || got.tier === null) {
    assert.equal(half.tier, null, where);
    return;
  }
  const { tier, policy, rule } = got;
  const said = { tier: half.tier, policy: half.policy, rule: half.rule };
  assert.deepEqual({ tier, policy, rule }, said, where);
}

function stateOf(node: string, resources: readonly Resource[]): DataplaneState {
  const graph = new CalcGraph(node);
  graph.onUpdates(resources.map(updateOf));
  assert.deepEqual(graph.problems(), []);
  return graph.state();
}

function updateOf(resource: Resource): SyncerUpdate {
  const kind = kindOf(resource.apiVersion, resource.kind);
  assert.ok(kind, `no kind ${resource.apiVersion} ${resource.kind}`);
  const { namespace = '', name } = resource.metadata;
  return { kind, key: `${kind.group}/${kind.kind} ${namespace}/${name}`, resource };
}

function placesOf(resources: readonly Resource[]): Place[] {
  const pods = resources.filter(
    ({ kind, metadata }) => kind === 'Pod' && PODS.includes(metadata.name),
  );
  const workloads = pods.map(({ metadata: { name, namespace = '' } }): Place => {
    const index = PODS.indexOf(name);
    return {
      party: () => ({ type: 'workload', namespace, name }),
      address: { 4: podAddress(index, 4), 6: podAddress(index, 6) },
      node: NODES[index % 2],
      endpoint: `${namespace}/${name}`,
    };
  });
  const hosts = NODES.map(
    (name): Place => ({
      party: () => ({ type: 'node', name }),
      address: NODE_ADDRESS[name],
      node: name,
      endpoint: undefined,
    }),
  );
  const outside: Place = {
    party: (family) => ({ type: 'address', address: OUTSIDE[family] }),
    address: OUTSIDE,
    node: undefined,
    endpoint: undefined,
  };
  return [...workloads, ...hosts, outside];
}

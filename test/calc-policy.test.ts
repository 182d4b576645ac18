// Two independent engines agree: the calculation, interpreted in memory, and the plain reference.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kindOf, validateResource } from '#api';
import type { NetworkPolicy, Pod, Resource, Rule } from '#api';
import { CalcGraph, type DataplaneState, type Direction } from '#calc';
import type { SyncerUpdate } from '#datastore/syncer';
import type { Family } from '#lib';
import { buildWorld, evaluate, type Explanation, type Party, WorldError } from '#policy';
import { decide, type Decision, type WirePacket } from './dataplane-interpreter.ts';
import { NODE_ADDRESS, NODES, OUTSIDE, podAddress, world } from './worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['WORLDS'] ?? 200);
interface Probe {
  readonly protocol: number;
  readonly port?: number;
  readonly icmp?: { readonly type: number; readonly code: number };
}
const PORT_PROBES: readonly Probe[] = [
  { protocol: 6, port: 8080 },
  { protocol: 6, port: 9090 },
  { protocol: 17, port: 5353 },
];
const PROBES: Readonly<Record<Family, readonly Probe[]>> = {
  4: [
    ...PORT_PROBES,
    { protocol: 1, icmp: { type: 8, code: 0 } },
    { protocol: 1, icmp: { type: 3, code: 1 } },
  ],
  6: [
    ...PORT_PROBES,
    { protocol: 58, icmp: { type: 128, code: 0 } },
    { protocol: 58, icmp: { type: 1, code: 4 } },
  ],
};
/** The only thing that calc may find wrong with a valid world. */
const HTTP =
  /^spec\.ingress\[\d\]: HTTP conditions need the application layer, which is not enforced here$/;
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

/** What no rule may say, with the field that the reference names. */
const BROKEN: readonly (readonly [rule: Omit<Rule, 'action'>, path: string])[] = [
  [{ destination: { ports: [80] } }, 'destination.ports'],
  [{ source: { notPorts: ['1:9'] } }, 'source.notPorts'],
  [{ protocol: 'ICMP', destination: { ports: [80] } }, 'destination.ports'],
  [{ protocol: 'TCP', destination: { ports: [0] } }, 'destination.ports[0]'],
  [{ protocol: 'TCP', icmp: { type: 8 } }, 'icmp'],
  [{ icmp: { type: 8 } }, 'icmp'],
  [{ protocol: 'ICMP', notICMP: { code: 1 } }, 'notICMP.code'],
  [{ protocol: 'carrier pigeon' }, 'protocol'],
  [{ source: { nets: ['10.0.0.0/33'] } }, 'source.nets[0]'],
  [{ source: { selector: 'app ==' } }, 'source'],
  [{ source: { services: {} } }, 'source.services'],
];

test('what validation refuses the reference refuses too, and the calculation fails closed', () => {
  for (const [rule, path] of BROKEN) {
    for (const action of ['Allow', 'Deny', 'Pass'] as const) {
      const policy: NetworkPolicy = {
        apiVersion: 'projectcalico.org/v3',
        kind: 'NetworkPolicy',
        metadata: { name: 'p', namespace: 'red' },
        spec: { ingress: [{ action, ...rule }] },
      };
      const text = JSON.stringify(policy.spec);
      assert.equal(validateResource(policy).resource, undefined, text);
      assert.throws(
        () => buildWorld([policy]),
        (error) => {
          assert.ok(error instanceof WorldError);
          const paths = error.problems.map((problem) => problem.path);
          assert.deepEqual(paths, [`spec.ingress[0].${path}`], text);
          return true;
        },
      );
      const graph = new CalcGraph('node-1');
      graph.onUpdates([policy, POD].map(updateOf));
      assert.equal(graph.problems().length, 1, text);
      const [only] = graph.state().policies.get('NetworkPolicy/red/p')?.ingress ?? [];
      const end = { ipSets: [], notIpSets: [] };
      const everything = { action: 'Deny', index: 0, source: end, destination: end };
      assert.deepEqual(only, action === 'Deny' ? everything : undefined, text);
    }
  }
});

const POD: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p0', namespace: 'red' },
  spec: { nodeName: 'node-1', containers: [{ name: 'main' }] },
  status: { podIPs: [{ ip: '10.244.1.2' }] },
};

function compare(resources: readonly Resource[]): number {
  for (const resource of resources) {
    const { problems } = validateResource(resource);
    assert.deepEqual(
      problems.filter(({ severity }) => severity === 'error'),
      [],
      JSON.stringify(resource),
    );
  }
  const reference = buildWorld(resources);
  const states = new Map(NODES.map((node) => [node as string, stateOf(node, resources)]));
  const places = placesOf(resources);
  let halves = 0;
  for (const from of places) {
    for (const to of places) {
      if (from === to || !(from.endpoint ?? to.endpoint)) continue;
      for (const family of [4, 6] as const) {
        for (const { protocol, port, icmp } of PROBES[family]) {
          const expected = evaluate(reference, {
            from: from.party(family),
            to: to.party(family),
            protocol,
            ...(port !== undefined && { port, sourcePort: 40_000 }),
            ...(icmp && { icmpType: icmp.type, icmpCode: icmp.code }),
            family,
          });
          const packet: WirePacket = {
            source: from.address[family],
            destination: to.address[family],
            protocol,
            sourcePort: port === undefined ? undefined : 40_000,
            destinationPort: port,
            icmp,
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
  assert.deepEqual(
    graph.problems().filter(({ message }) => !HTTP.test(message)),
    [],
  );
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

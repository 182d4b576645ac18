// Host endpoints: the calculation's stages, walked in memory, against the plain reference, on random worlds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kindOf, type Resource } from '#api';
import {
  CalcGraph,
  type DataplaneState,
  type Direction,
  type EndpointTier,
  type FailsafePort,
  type HostEndpoint,
} from '#calc';
import { type Family, parseAddress, parsePrefix, prefixContains } from '#lib';
import { buildWorld, evaluate, type Half, type Party } from '#policy';
import { decide, decideTiers, type Decision, type WirePacket } from './dataplane-interpreter.ts';
import { extras } from './policy-diff-extras.ts';
import { NODE_ADDRESS, NODES, OUTSIDE, podAddress, world } from './worlds.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['WORLDS'] ?? 60);
const PODS = ['p0', 'p1', 'p2', 'p3'];
const PORTS = [
  { port: 22, sourcePort: 40_000 },
  { port: 80, sourcePort: 40_000 },
  { port: 8080, sourcePort: 40_000 },
  { port: 6443, sourcePort: 40_000 },
  // As the answers of failsafe ports come.
  { port: 40_000, sourcePort: 22 },
  { port: 40_000, sourcePort: 6443 },
] as const;
const EXTRA_KINDS = ['HostEndpoint', 'GlobalNetworkPolicy', 'FelixConfiguration'];

interface Place {
  readonly type: 'pod' | 'node' | 'outside';
  readonly party: (family: Family) => Party;
  readonly address: Readonly<Record<Family, string>>;
  readonly node: string | undefined;
  readonly endpoint: string;
}

type Verdict = Decision | 'allow' | 'deny';

test('both halves of packets to, from and through host endpoints have the verdict of the reference', (t) => {
  let [halves, decided] = [0, 0];
  fc.assert(
    fc.property(world, extras, ({ resources }, more) => {
      const added = more.filter(({ kind }) => EXTRA_KINDS.includes(kind));
      const counts = compare([...resources, ...added, ...added.flatMap(stagedOf)]);
      halves += counts.halves;
      decided += counts.decided;
    }),
    { seed: SEED, numRuns: WORLDS, endOnFailure: true },
  );
  t.diagnostic(`${halves} halves agree, ${decided} of them decided by a policy, seed ${SEED}`);
  assert.ok(decided > halves / 50);
});

/** A staged policy of the same name that would deny all: it must make no difference. */
function stagedOf({ apiVersion, kind, metadata, spec }: Resource & { spec?: unknown }): Resource[] {
  if (kind !== 'GlobalNetworkPolicy') return [];
  const { tier, order } = spec as { readonly tier: string; readonly order: number };
  const deny = [{ action: 'Deny' }];
  const stagedSpec = { tier, order, selector: 'all()', ingress: deny, egress: deny };
  const staged = { apiVersion, kind: 'StagedGlobalNetworkPolicy', metadata, spec: stagedSpec };
  return [staged];
}

function compare(resources: readonly Resource[]): { halves: number; decided: number } {
  const reference = buildWorld(resources);
  const states = new Map(NODES.map((node) => [node as string, stateOf(node, resources)]));
  const places = placesOf(resources);
  let [halves, decided] = [0, 0];
  for (const from of places) {
    for (const to of places) {
      if (from === to) continue;
      for (const family of [4, 6] as const) {
        for (const { port, sourcePort } of PORTS) {
          const expected = evaluate(reference, {
            from: from.party(family),
            to: to.party(family),
            protocol: 6,
            port,
            sourcePort,
            family,
          });
          const packet: WirePacket = {
            source: from.address[family],
            destination: to.address[family],
            protocol: 6,
            sourcePort,
            destinationPort: port,
            icmp: undefined,
          };
          const walk = new HalfWalk(states, packet, from, to);
          const steps = expected.steps.map((step) => `${step.direction} ${step.reason}`).join('\n');
          const where = `${JSON.stringify(packet)} in\n${JSON.stringify(resources)}\n${steps}`;
          for (const [direction, got] of [
            ['egress', walk.egress()],
            ['ingress', walk.ingress()],
          ] as const) {
            assertSame(got, expected[direction], `${direction} of ${where}`);
            halves++;
            if (expected[direction].policy !== null) decided++;
          }
        }
      }
    }
  }
  return { halves, decided };
}

function assertSame(got: Verdict, expected: Half, where: string): void {
  const said = { tier: expected.tier, policy: expected.policy, rule: expected.rule };
  if (typeof got === 'string') {
    assert.equal(got, expected.verdict, where);
    return;
  }
  assert.equal(got.verdict, expected.verdict, where);
  const { tier, policy, rule } = got;
  if (tier === null) assert.equal(expected.tier, null, where);
  else assert.deepEqual({ tier, policy, rule }, said, where);
}

/** One packet's way, by the order of stages of spec 10. */
class HalfWalk {
  readonly #states: ReadonlyMap<string, DataplaneState>;
  readonly #packet: WirePacket;
  readonly #from: Place;
  readonly #to: Place;

  constructor(
    states: ReadonlyMap<string, DataplaneState>,
    packet: WirePacket,
    from: Place,
    to: Place,
  ) {
    this.#states = states;
    this.#packet = packet;
    this.#from = from;
    this.#to = to;
  }

  egress(): Verdict {
    if (this.#from.type === 'outside') return 'allow';
    return this.#from.type === 'pod' ? this.#fromPod() : this.#fromNode();
  }

  ingress(): Verdict {
    if (this.#to.type === 'outside') return 'allow';
    return this.#to.type === 'pod' ? this.#toPod() : this.#toNode();
  }

  get #onOneHost(): boolean {
    return this.#from.node === this.#to.node;
  }

  #fromPod(): Verdict {
    const state = this.#state(this.#from.node);
    const toOwnHost = this.#to.type === 'node' && this.#onOneHost;
    const wildcard = endpointOf(state);
    if (wildcard?.interfaceName === '*') {
      const entered = this.#enter(state, wildcard, toOwnHost ? 'to host' : 'forward');
      if (isDenied(entered)) return entered;
    }
    const own = this.#workload(state, this.#from, 'egress');
    if (own.verdict === 'deny') return own;
    if (toOwnHost) return state.endpointToHostAction === 'Drop' ? 'deny' : own;
    if (this.#to.type === 'pod' && this.#onOneHost) return own;
    const endpoint = endpointOf(state);
    if (!endpoint) return own;
    const left = this.#tiers(state, endpoint.forward.egress, 'egress');
    return isDenied(left) ? left : own;
  }

  #fromNode(): Verdict {
    if (this.#to.type === 'pod' && this.#onOneHost) return 'allow';
    const state = this.#state(this.#from.node);
    const endpoint = endpointOf(state);
    if (!endpoint) return 'allow';
    const raw = this.#untracked(state, endpoint, 'egress');
    if (raw) return raw;
    return this.#normal(state, endpoint, 'egress');
  }

  #toPod(): Verdict {
    const state = this.#state(this.#to.node);
    if (this.#onOneHost) {
      return this.#from.type === 'node' ? 'allow' : this.#workload(state, this.#to, 'ingress');
    }
    const endpoint = endpointOf(state);
    const entered = endpoint && this.#enter(state, endpoint, 'forward');
    if (isDenied(entered)) return entered;
    return this.#workload(state, this.#to, 'ingress');
  }

  #toNode(): Verdict {
    if (this.#from.type === 'pod' && this.#onOneHost) return 'allow';
    const state = this.#state(this.#to.node);
    const endpoint = endpointOf(state);
    if (!endpoint) return 'allow';
    return this.#early(state, endpoint) ?? this.#normal(state, endpoint, 'ingress');
  }

  /** Through a host endpoint, bound for elsewhere or, by a pod, for the host itself. */
  #enter(
    state: DataplaneState,
    endpoint: HostEndpoint,
    route: 'to host' | 'forward',
  ): Decision | undefined {
    const early = this.#early(state, endpoint);
    if (early || route === 'to host') return early;
    return this.#tiers(state, endpoint.forward.ingress, 'ingress');
  }

  #early(state: DataplaneState, endpoint: HostEndpoint): Decision | undefined {
    const raw = this.#untracked(state, endpoint, 'ingress');
    if (raw) return raw;
    if (this.#isFailsafe(state, 'ingress')) return undefined;
    return this.#tiers(state, endpoint.preDnat, 'ingress');
  }

  /** Spares what may be the answer of a failsafe port too. */
  #untracked(
    state: DataplaneState,
    endpoint: HostEndpoint,
    direction: Direction,
  ): Decision | undefined {
    const opposite = direction === 'ingress' ? 'egress' : 'ingress';
    const { sourcePort, destinationPort } = this.#packet;
    if (this.#isFailsafe(state, direction, direction, destinationPort)) return undefined;
    if (this.#isFailsafe(state, direction, opposite, sourcePort)) return undefined;
    return this.#tiers(state, endpoint.untracked[direction], direction);
  }

  #normal(state: DataplaneState, endpoint: HostEndpoint, direction: Direction): Verdict {
    if (this.#isFailsafe(state, direction)) return 'allow';
    const { profiles, normal } = endpoint;
    const local = { ...normal, profiles };
    return decide(state, local, direction, this.#packet);
  }

  #workload(state: DataplaneState, place: Place, direction: Direction): Decision {
    const endpoint = state.endpoints.get(place.endpoint);
    assert.ok(endpoint, `${place.endpoint} is no endpoint`);
    return decide(state, endpoint, direction, this.#packet);
  }

  #tiers(
    state: DataplaneState,
    tiers: readonly EndpointTier[],
    direction: Direction,
  ): Decision | undefined {
    const decision = decideTiers(state, tiers, direction, this.#packet);
    return decision === 'next tier' ? undefined : decision;
  }

  #isFailsafe(
    { settings }: DataplaneState,
    direction: Direction,
    list = direction,
    port = this.#packet.destinationPort,
  ): boolean {
    const { protocol, source, destination } = this.#packet;
    const remote = direction === 'ingress' ? source : destination;
    const ports: readonly FailsafePort[] =
      list === 'ingress' ? settings.failsafeInbound : settings.failsafeOutbound;
    return ports.some(
      (one) => one.protocol === protocol && one.port === port && isWithin(one.net, remote),
    );
  }

  #state(node: string | undefined): DataplaneState {
    const state = this.#states.get(node ?? '');
    assert.ok(state, `${node} is no node`);
    return state;
  }
}

function isDenied(verdict: Decision | undefined): verdict is Decision {
  return verdict?.verdict === 'deny';
}

function isWithin(net: string | undefined, text: string): boolean {
  if (net === undefined) return true;
  const [prefix, address] = [parsePrefix(net), parseAddress(text)];
  return prefix !== undefined && address !== undefined && prefixContains(prefix, address);
}

/** At most one of a node: for all interfaces, or for the one that it has. */
function endpointOf({ hostEndpoints }: DataplaneState): HostEndpoint | undefined {
  const [endpoint] = hostEndpoints.values();
  return endpoint;
}

function stateOf(node: string, resources: readonly Resource[]): DataplaneState {
  const graph = new CalcGraph(node);
  graph.onUpdates(
    resources.map((resource) => {
      const kind = kindOf(resource.apiVersion, resource.kind);
      assert.ok(kind, `no kind ${resource.apiVersion} ${resource.kind}`);
      const { namespace = '', name } = resource.metadata;
      return { kind, key: `${namespace}/${name}`, resource };
    }),
  );
  return graph.state();
}

function placesOf(resources: readonly Resource[]): Place[] {
  const pods = resources.filter(
    ({ kind, metadata }) => kind === 'Pod' && PODS.includes(metadata.name),
  );
  const workloads = pods.map(({ metadata: { name, namespace = '' } }): Place => {
    const index = PODS.indexOf(name);
    return {
      type: 'pod',
      party: () => ({ type: 'workload', namespace, name }),
      address: { 4: podAddress(index, 4), 6: podAddress(index, 6) },
      node: NODES[index % 2],
      endpoint: `${namespace}/${name}`,
    };
  });
  const hosts = NODES.map(
    (name): Place => ({
      type: 'node',
      party: () => ({ type: 'node', name }),
      address: NODE_ADDRESS[name],
      node: name,
      endpoint: '',
    }),
  );
  const outside: Place = {
    type: 'outside',
    party: (family) => ({ type: 'address', address: OUTSIDE[family] }),
    address: OUTSIDE,
    node: undefined,
    endpoint: '',
  };
  return [...workloads, ...hosts, outside];
}

// Felix's own tests of its calculation: each state of the datastore has one desired state, whatever led to it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EndpointTier, HostGraph, type L3Route, type RouteType } from '#calc';
import { base64Url, formatAddress, parseAddress, sha224 } from '#lib';
import { parseSelector, type Selector, selectorId, selectorOf } from '#selector';
import { corpusMissing, readCorpusFile } from './corpora.ts';
import { type Entry, ModelWriter } from './felix-calc-model.ts';

const skip = corpusMissing('felix-calc-states');
const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

interface PolicyRef {
  readonly Kind: string;
  readonly Namespace: string;
  readonly Name: string;
}

interface ExpectedTier {
  readonly Name: string;
  readonly IngressPolicies: readonly PolicyRef[] | null;
  readonly EgressPolicies: readonly PolicyRef[] | null;
}

interface ExpectedRoute {
  readonly Dst: string;
  readonly DstNodeName?: string;
  readonly DstNodeIp?: string;
  readonly IpPoolType?: number;
  readonly NatOutgoing?: boolean;
  readonly SameSubnet?: boolean;
  readonly LocalWorkload?: boolean;
  readonly Borrowed?: boolean;
  readonly TunnelType?: Readonly<Record<string, boolean>>;
  readonly TypesString: readonly string[];
}

interface Expected {
  readonly ipSets: Readonly<Record<string, readonly string[]>>;
  readonly endpoints: Readonly<
    Record<string, Readonly<Record<'tiers' | 'untracked' | 'preDNAT', readonly ExpectedTier[]>>>
  >;
  readonly activePolicies: readonly { readonly kind: string; readonly name: string }[] | null;
  readonly untrackedPolicies: Expected['activePolicies'];
  readonly preDNATPolicies: Expected['activePolicies'];
  readonly activeProfiles: readonly string[] | null;
  readonly routes: readonly ExpectedRoute[] | null;
  readonly vteps: readonly Readonly<Record<string, string>>[] | null;
  readonly wireguardEndpoints: readonly Readonly<Record<string, string>>[] | null;
  readonly wireguardV6Endpoints: readonly Readonly<Record<string, string>>[] | null;
  readonly hostMetadata: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly encapsulation: Readonly<Record<string, boolean>>;
  readonly numALPPolicies: number;
  /** 1 is the source, 2 the target. */
  readonly liveMigrationRoles: Readonly<Record<string, number>>;
}

interface State {
  readonly id: number;
  readonly name: string;
  readonly datastore: readonly Entry[];
  readonly expected: Expected;
}

interface Sequence {
  readonly index: number;
  readonly routeSource: string;
  readonly states: readonly number[] | null;
}

interface Corpus {
  readonly localHostname: string;
  readonly ipSetIDs: Readonly<
    Record<
      string,
      {
        readonly selector: string;
        readonly type: string;
        readonly protocol?: string;
        readonly port?: string;
      }
    >
  >;
  readonly states: readonly State[];
  readonly sequences: readonly Sequence[];
}

/** Later entries of a key replace earlier ones. */
function entriesOf(state: State): Map<string, Entry> {
  return new Map(state.datastore.map((entry) => [entry.key, entry]));
}

/** One step of a walk: entries to hold, and whether to look then. */
interface Step {
  readonly entries: ReadonlyMap<string, Entry>;
  /** What must be so then; undefined between the states of the corpus. */
  readonly state: State | undefined;
}

type Walk = (states: readonly State[]) => Step[];

const stepOf = (state: State): Step => ({ entries: entriesOf(state), state });
const EMPTY: Step = { entries: new Map(), state: undefined };

/** Upstream's ways through a sequence. */
const WALKS: Readonly<Record<string, Walk>> = {
  forwards: (states) => states.map(stepOf),
  backwards: (states) => states.toReversed().map(stepOf),
  'entries reversed': (states) =>
    states.map((state) => ({ state, entries: new Map([...entriesOf(state)].reverse()) })),
  'all reversed': (states) =>
    states
      .toReversed()
      .map((state) => ({ state, entries: new Map([...entriesOf(state)].reverse()) })),
  'empties between': (states) => states.flatMap((state) => [stepOf(state), EMPTY]),
  'backwards with empties': (states) =>
    states.toReversed().flatMap((state) => [stepOf(state), EMPTY]),
  split: (states) =>
    states.flatMap((state) => {
      const entries = [...entriesOf(state)];
      const parts = entries.map((_, index) => ({
        entries: new Map(entries.slice(0, index)),
        state: undefined,
      }));
      return [...parts, stepOf(state)];
    }),
  squashed: (states) => {
    const last = states.at(-1);
    return last ? [stepOf(last)] : [];
  },
};

/** When the graph is asked. */
type Flush = 'each entry' | 'each state' | 'the end' | 'random';
const FLUSHES: readonly Flush[] = ['each entry', 'each state', 'the end', 'random'];

/** Deterministic: xorshift of 32 bits. */
function chance(seed: number): () => boolean {
  let bits = seed | 1;
  return () => {
    bits ^= bits << 13;
    bits ^= bits >>> 17;
    bits ^= bits << 5;
    return (bits & 3) === 0;
  };
}

test('the calculation of every sequence of states, on every way through it', { skip }, (t) => {
  const corpus = readCorpusFile<Corpus>('felix-calc-states/states.json');
  const ids = idsOf(corpus);
  const seen = new Set<number>();
  let [walks, checks] = [0, 0];
  for (const sequence of corpus.sequences) {
    const states = (sequence.states ?? []).flatMap((id) => corpus.states[id] ?? []);
    for (const [name, walk] of Object.entries(WALKS)) {
      for (const flush of FLUSHES) {
        const where = `sequence ${sequence.index} ${name}, asked at ${flush}, seed ${SEED}`;
        checks += run(corpus, ids, sequence, walk(states), flush, where);
        walks++;
      }
    }
    for (const { id } of states) seen.add(id);
  }
  assert.equal(seen.size, corpus.states.length, 'every state is in some sequence');
  t.diagnostic(
    `${checks} checks of ${seen.size} states on ${walks} walks of ${corpus.sequences.length} sequences`,
  );
});

function run(
  corpus: Corpus,
  ids: ReadonlyMap<string, string>,
  sequence: Sequence,
  steps: readonly Step[],
  flush: Flush,
  where: string,
): number {
  const graph = new HostGraph(corpus.localHostname);
  const writer = new ModelWriter(graph, sequence.routeSource);
  const random = chance(SEED + sequence.index);
  let held: ReadonlyMap<string, Entry> = new Map();
  let checks = 0;
  const onEntry = () => {
    if (flush === 'each entry' || (flush === 'random' && random())) graph.state();
  };
  for (const [index, { entries, state }] of steps.entries()) {
    for (const [key, entry] of held) {
      if (entries.has(key)) continue;
      writer.write(entry, undefined);
      onEntry();
    }
    for (const [key, entry] of entries) {
      if (held.get(key) === entry) continue;
      writer.write(entry, entry.value);
      onEntry();
    }
    held = entries;
    const isLast = index === steps.length - 1;
    const isAsked =
      flush === 'each entry' ||
      flush === 'each state' ||
      isLast ||
      (flush === 'random' && random());
    if (!isAsked || !state) continue;
    check(graph, ids, state, `state ${state.id} (${state.name}), ${where}`);
    checks++;
  }
  return checks;
}

function check(
  graph: HostGraph,
  ids: ReadonlyMap<string, string>,
  { expected }: State,
  where: string,
): void {
  const state = graph.state();
  const topology = graph.topology();
  const sets = [...state.ipSets.values()].map(({ id, members }) => [id, [...members].sort()]);
  const wantedSets = Object.entries(expected.ipSets).map(([id, members]) => [
    ids.get(id) ?? id,
    [...members].sort(),
  ]);
  assert.deepEqual(Object.fromEntries(sets), Object.fromEntries(wantedSets), `IP sets, ${where}`);
  const keys = [...state.policies.keys()];
  assert.deepEqual(
    keys.filter((key) => !key.startsWith('Profile/')).sort(),
    policyKeys(expected.activePolicies),
    `policies, ${where}`,
  );
  assert.deepEqual(
    keys.filter((key) => key.startsWith('Profile/')).sort(),
    (expected.activeProfiles ?? []).map((name) => `Profile//${name}`).sort(),
    `profiles, ${where}`,
  );
  checkEndpoints(state, expected, where);
  assert.deepEqual(
    [...topology.routes.values()].map(routeText).sort(),
    (expected.routes ?? []).map(expectedRouteText).sort(),
    `routes, ${where}`,
  );
  checkTopology(topology, expected, where);
  const { applicationLayerPolicies } = graph;
  assert.equal(applicationLayerPolicies, expected.numALPPolicies, `application layer, ${where}`);
}

function policyKeys(refs: Expected['activePolicies']): string[] {
  return (refs ?? []).map(({ kind, name }) => `${kind}//${name}`).sort();
}

function checkEndpoints(
  state: ReturnType<HostGraph['state']>,
  expected: Expected,
  where: string,
): void {
  const none = { ingress: [], egress: [] };
  const workloads = [...state.endpoints.values()].map(({ id, ingress, egress }) => [
    id,
    { tiers: { ingress, egress }, untracked: none, preDNAT: none },
  ]);
  const hosts = [...state.hostEndpoints.values()].map(({ id, normal, untracked, preDnat }) => [
    id,
    { tiers: normal, untracked, preDNAT: { ingress: preDnat, egress: [] } },
  ]);
  const got = Object.fromEntries([...workloads, ...hosts].map(([id, it]) => [id, shapes(it)]));
  const wanted = Object.entries(expected.endpoints).map(([id, it]) => [id, expectedShapes(it)]);
  assert.deepEqual(got, Object.fromEntries(wanted), `endpoints, ${where}`);
  const roles = [...state.endpoints.values()].flatMap(({ id, migration }) =>
    migration ? [[id, ['', 'source', 'target'].indexOf(migration)] as const] : [],
  );
  assert.deepEqual(Object.fromEntries(roles), expected.liveMigrationRoles, `roles, ${where}`);
  const staged = (field: 'untracked' | 'preDNAT') => [
    ...new Set(hosts.flatMap(([, it]) => shapes(it)[field].flatMap(({ policies }) => policies))),
  ];
  assert.deepEqual(staged('untracked').sort(), policyKeys(expected.untrackedPolicies), where);
  assert.deepEqual(staged('preDNAT').sort(), policyKeys(expected.preDNATPolicies), where);
}

interface Shape {
  readonly direction: string;
  readonly tier: string;
  readonly policies: readonly string[];
}

function shapes(stages: unknown): Record<'tiers' | 'untracked' | 'preDNAT', Shape[]> {
  const it = stages as Record<string, Record<string, readonly EndpointTier[]>>;
  const shape = (stage: string) =>
    ['ingress', 'egress'].flatMap((direction) =>
      (it[stage]?.[direction] ?? []).map(({ name, policies }) => ({
        direction,
        tier: name,
        policies,
      })),
    );
  return { tiers: shape('tiers'), untracked: shape('untracked'), preDNAT: shape('preDNAT') };
}

function expectedShapes(stages: Readonly<Record<string, readonly ExpectedTier[]>>) {
  const shape = (stage: string): Shape[] =>
    (['IngressPolicies', 'EgressPolicies'] as const).flatMap((field) =>
      (stages[stage] ?? []).flatMap((tier) => {
        const policies = (tier[field] ?? []).map((it) => `${it.Kind}/${it.Namespace}/${it.Name}`);
        const direction = field === 'IngressPolicies' ? 'ingress' : 'egress';
        return policies.length === 0 ? [] : [{ direction, tier: tier.Name, policies }];
      }),
    );
  return { tiers: shape('tiers'), untracked: shape('untracked'), preDNAT: shape('preDNAT') };
}

const POOLS = [undefined, 'plain', 'vxlan', 'ipip'];

/** All that a route says, as one text: a difference can be read. */
function routeText(route: L3Route): string {
  const { destination, types, pool, node, nodeAddress, tunnels } = route;
  const flags = (['natOutgoing', 'sameSubnet', 'localWorkload', 'borrowed'] as const).filter(
    (flag) => route[flag],
  );
  return JSON.stringify({ destination, types, pool, node, nodeAddress, tunnels, flags });
}

function expectedRouteText(route: ExpectedRoute): string {
  const flags = [
    ...(route.NatOutgoing ? ['natOutgoing'] : []),
    ...(route.SameSubnet ? ['sameSubnet'] : []),
    ...(route.LocalWorkload ? ['localWorkload'] : []),
    ...(route.Borrowed ? ['borrowed'] : []),
  ];
  const has = (type: string) => route.TypesString.includes(type.toUpperCase().replace('-', '_'));
  const types: readonly RouteType[] = [
    'remote-workload',
    'remote-host',
    'local-workload',
    'local-host',
    'remote-tunnel',
    'local-tunnel',
  ];
  return JSON.stringify({
    destination: route.Dst,
    types: types.filter(has),
    pool: POOLS[route.IpPoolType ?? 0],
    node: route.DstNodeName,
    nodeAddress: route.DstNodeIp,
    tunnels: Object.keys(route.TunnelType ?? {}),
    flags,
  });
}

function checkTopology(
  { vxlan, wireguard, hosts, encapsulation }: ReturnType<HostGraph['topology']>,
  expected: Expected,
  where: string,
): void {
  const ends = ([4, 6] as const).flatMap((family) =>
    [...vxlan[family].values()].map(({ node, address, mac, underlay }) =>
      [family, node, canonical(address), mac, underlay].join(' '),
    ),
  );
  const wantedEnds = (expected.vteps ?? []).flatMap((it) => [
    ...(it['Ipv4Addr'] ? [[4, it['Node'], it['Ipv4Addr'], it['Mac'], it['ParentDeviceIp']]] : []),
    ...(it['Ipv6Addr']
      ? [[6, it['Node'], canonical(it['Ipv6Addr']), it['MacV6'], it['ParentDeviceIpv6']]]
      : []),
  ]);
  assert.deepEqual(ends.sort(), wantedEnds.map((end) => end.join(' ')).sort(), `VTEPs, ${where}`);
  for (const [family, list, key, address] of [
    [4, expected.wireguardEndpoints, 'PublicKey', 'InterfaceIpv4Addr'],
    [6, expected.wireguardV6Endpoints, 'PublicKeyV6', 'InterfaceIpv6Addr'],
  ] as const) {
    const got = [...wireguard[family].values()].map((it) => [it.node, it.publicKey, it.address]);
    const wanted = (list ?? []).map((it) => [it['Hostname'], it[key], it[address]]);
    assert.deepEqual(got, wanted, `WireGuard, ${where}`);
  }
  const metadata = [...hosts.values()].map(({ node, ipv4, ipv6 }) => [
    node,
    { hostname: node, ...(ipv4 && { ipv4_addr: ipv4 }), ...(ipv6 && { ipv6_addr: ipv6 }) },
  ]);
  const gotHosts = Object.fromEntries(metadata);
  assert.deepEqual(gotHosts, expected.hostMetadata, `hosts, ${where}`);
  const { ipip, vxlan: v4, vxlanV6 } = encapsulation;
  const tunnels = {
    ...(ipip && { ipip_enabled: true }),
    ...(v4 && { vxlan_enabled: true }),
    ...(vxlanV6 && { vxlan_enabled_v6: true }),
  };
  assert.deepEqual(tunnels, expected.encapsulation, `encapsulation, ${where}`);
}

function canonical(address: string): string {
  const parsed = parseAddress(address);
  return parsed ? formatAddress(parsed) : address;
}

/** Our IDs by upstream's: we drop `all()` where it stands beside something, and so name some sets differently. */
function idsOf({ ipSetIDs }: Corpus): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(ipSetIDs).map(([id, { selector: text, protocol, port }]) => {
      const selector = withoutAll(parseSelector(text));
      if (port === undefined) return [id, selectorId(selector)];
      const content = `n:${selectorId(selector)},${protocol},${port}`;
      return [id, `n:${base64Url(sha224(new TextEncoder().encode(content)))}`];
    }),
  );
}

function withoutAll(selector: Selector): Selector {
  const { tree } = selector;
  if (tree.kind !== 'and') return selector;
  const operands = tree.operands.filter(({ kind }) => kind !== 'all');
  const [first = tree] = operands;
  return selectorOf(operands.length > 1 ? { kind: 'and', operands } : first);
}

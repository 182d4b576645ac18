// Random host endpoints, and policies for them, on top of the random worlds.
import fc from 'fast-check';
import type { Resource } from '#api';
import { NODE_ADDRESS, NODES, SECOND_ADDRESS } from './world-addresses.ts';
import { policyBody } from './world-policies.ts';
import { rulesOf, withoutUndefined } from './world-rules.ts';
import { world, type World } from './worlds.ts';

const calico = 'projectcalico.org/v3';
type NodeName = (typeof NODES)[number];

const labels = fc.record(
  { app: fc.constantFrom('web', 'cart', 'db'), zone: fc.constantFrom('a', 'b') },
  { requiredKeys: [] },
);
const profiles = fc.constantFrom<string[]>(
  [],
  ['projectcalico-default-allow'],
  ['projectcalico-default-allow'],
  ['own'],
  ['own', 'projectcalico-default-allow'],
  ['nobody-made-it', 'projectcalico-default-allow'],
);

/** The profile `own`, which also lends labels. */
const ownProfile = fc
  .record({
    ingress: fc.option(rulesOf('ingress', false), { nil: undefined, freq: 8 }),
    egress: fc.option(rulesOf('egress', false), { nil: undefined, freq: 8 }),
    labelsToApply: fc.option(labels, { nil: undefined }),
  })
  .map((spec) => ({
    apiVersion: calico,
    kind: 'Profile',
    metadata: { name: 'own' },
    spec: withoutUndefined(spec),
  }));

/** `second`: an interface that node 1 has besides. `again`: one that may have an endpoint already. */
type Place =
  | 'interface'
  | 'addresses'
  | 'interface and addresses'
  | 'second'
  | 'again'
  | 'by address again'
  | 'second by address'
  | 'of both'
  | 'crossed'
  | 'workload'
  | 'all'
  | 'all again';

/** Where a host endpoint stands: by its interface's name, by its addresses, or everywhere. */
function placeOf(node: NodeName, place: Place) {
  const expectedIPs = [NODE_ADDRESS[node][4], NODE_ADDRESS[node][6]];
  switch (place) {
    case 'interface':
      return { interfaceName: 'eth0' };
    case 'addresses':
      return { expectedIPs };
    case 'interface and addresses':
      return { interfaceName: 'eth0', expectedIPs };
    case 'second':
      return { interfaceName: 'eth1' };
    case 'again':
      return { interfaceName: 'eth0' };
    case 'by address again':
      return { expectedIPs };
    case 'second by address':
      return { expectedIPs: Object.values(SECOND_ADDRESS) };
    case 'of both':
      return { expectedIPs: [...Object.values(SECOND_ADDRESS), ...expectedIPs] };
    case 'crossed':
      return { expectedIPs: [SECOND_ADDRESS[4], NODE_ADDRESS[node][6]] };
    case 'workload':
      return { interfaceName: 'cali0123456789a', expectedIPs };
    case 'all again':
      return { interfaceName: '*' };
    case 'all':
      return { interfaceName: '*', expectedIPs };
    default:
      return place satisfies never;
  }
}

const named = fc.constantFrom<Place>('interface', 'addresses', 'interface and addresses');
/** Mostly by name: only such an endpoint has untracked policy. */
const places = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Place[]>([]) },
  { weight: 3, arbitrary: named.map((place) => [place]) },
  { weight: 2, arbitrary: fc.constant<Place[]>(['all']) },
  { weight: 2, arbitrary: named.map((place): Place[] => [place, 'all']) },
);

/** That cannot govern their interface, or not beside another one. */
const taken = fc.constantFrom<Place[]>(
  ['again'],
  ['by address again'],
  ['second by address'],
  ['of both'],
  ['crossed'],
  ['workload'],
  ['all again'],
);
/** What is said of those. */
export const UNPLACED = /^HostEndpoint .*: cannot (govern|find an) interface /;

/** Ports of protocols without ports may have names too; no rule can mean them. */
const hostPorts = fc
  .constantFrom('TCP', 'TCP', 'SCTP', 'UDPLite', 'ICMP', 'ICMPv6')
  .map((protocol) => [
    { name: 'http', protocol, port: 9090 },
    { name: 'dns', protocol: 'UDP', port: 5353 },
  ]);
const NOTHING = { rank: 'a', labels: {}, profiles: [], ports: [] };

/** What the nodes' agents say of their interfaces. */
const INTERFACES = new Map(
  NODES.map((node) => [
    node as string,
    [
      { name: 'eth0', addresses: Object.values(NODE_ADDRESS[node]) },
      ...(node === 'node-1' ? [{ name: 'eth1', addresses: Object.values(SECOND_ADDRESS) }] : []),
    ],
  ]),
);

function withInterfaces(resource: Resource): Resource {
  const { kind, metadata } = resource;
  if (kind !== 'Node') return resource;
  const interfaces = INTERFACES.get(metadata.name);
  const annotations = { 'projectcalico.org/Interfaces': JSON.stringify(interfaces) };
  return { ...resource, metadata: { ...metadata, annotations } };
}

/** Whether an endpoint expects addresses of two interfaces, one of a family: nobody could guess which it is on. */
export function isCrossed({ kind, metadata }: Resource): boolean {
  return kind === 'HostEndpoint' && metadata.name.endsWith('crossed');
}

/** The same where no agent has said which interfaces the nodes have. */
export function withoutInterfaces(resources: readonly Resource[]): Resource[] {
  return resources.map((resource) => {
    const { annotations: _, ...metadata } = resource.metadata;
    return resource.kind === 'Node' ? { ...resource, metadata } : resource;
  });
}

/** Of several for one interface the first by name governs it: the rank is a matter of chance. */
const hostEndpoints = (node: NodeName) =>
  fc
    .tuple(
      fc
        .tuple(places, fc.boolean(), fc.option(taken, { nil: [], freq: 4 }))
        .map(([list, second, more]): Place[] => [
          ...list,
          ...(second && node === 'node-1' ? (['second'] as const) : []),
          ...more,
        ]),
      fc.array(
        fc.record({ rank: fc.constantFrom('a', 'b', 'c'), labels, profiles, ports: hostPorts }),
        { minLength: 4, maxLength: 4 },
      ),
    )
    .map(([list, bodies]) =>
      list.map((place, index) => {
        const { rank, labels: own, profiles: names, ports } = bodies[index] ?? NOTHING;
        return {
          apiVersion: calico,
          kind: 'HostEndpoint',
          metadata: {
            name: `${rank}-${node}-${place.replaceAll(' ', '-')}`,
            labels: { ...own, host: node, ...(index === 1 && { 'pcns.colour': 'red' }) },
          },
          spec: {
            node,
            ...placeOf(node, place),
            profiles: names,
            ports,
          },
        };
      }),
    );

type Stage = 'normal' | 'forward' | 'preDNAT' | 'doNotTrack';

/** Most of them are for host endpoints alone. */
const hostSelector = fc.oneof(
  { weight: 3, arbitrary: fc.constant('has(host)') },
  {
    weight: 2,
    arbitrary: fc.constantFrom('host == "node-1"', 'all()', 'app == "web"', '!has(zone)'),
  },
);

const port = fc.constantFrom<(number | string)[] | undefined>(
  [8080],
  ['9000:9100', 'dns'],
  [9090],
  [5353],
  ['http'],
  undefined,
);

/** Rules that often match: protocol and port, seldom who is at the other end. */
const plainRule = (sourcePorts: readonly (number[] | undefined)[]) =>
  fc
    .record({
      action: fc.constantFrom('Allow', 'Allow', 'Deny', 'Deny', 'Pass', 'Log'),
      protocol: fc.constantFrom('TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPv6', undefined),
      ports: port,
      sourcePorts: fc.constantFrom(...sourcePorts),
      source: fc.option(fc.constantFrom('app == "web"', 'has(host)', 'has(zone)'), {
        nil: undefined,
        freq: 2,
      }),
    })
    .map(({ action, protocol, ports, sourcePorts, source }) => {
      const withPorts = protocol !== undefined && !protocol.startsWith('ICMP');
      const from = {
        ...(source !== undefined && { selector: source }),
        ...(withPorts && sourcePorts && { ports: sourcePorts }),
      };
      return {
        action,
        ...(protocol !== undefined && { protocol }),
        ...(Object.keys(from).length > 0 && { source: from }),
        ...(withPorts && ports && { destination: { ports } }),
      };
    });

const plainBody = (sourcePorts: readonly (number[] | undefined)[]) =>
  fc
    .record({
      order: fc.option(fc.constantFrom(10, 20, 30), { nil: undefined }),
      tier: fc.constantFrom('default', 'first', 'second'),
      ingress: fc.array(plainRule(sourcePorts), { minLength: 1, maxLength: 3 }),
      egress: fc.array(plainRule(sourcePorts), { minLength: 1, maxLength: 3 }),
    })
    .map(({ order, ...spec }) => ({
      ...spec,
      ...(order !== undefined && { order }),
      types: ['Ingress', 'Egress'],
    }));

const body = (sourcePorts: readonly (number[] | undefined)[]) =>
  fc.oneof<fc.MaybeWeightedArbitrary<object>[]>(
    { weight: 3, arbitrary: plainBody(sourcePorts) },
    { weight: 1, arbitrary: policyBody(false) },
  );

/** What the spec of a policy of each stage has besides; pre-DNAT policy is for ingress alone. */
function inStage(spec: object, stage: Stage): object {
  if (stage === 'normal') return spec;
  if (stage === 'forward') return { ...spec, applyOnForward: true };
  const marked = { ...spec, applyOnForward: true, [stage]: true };
  if (stage === 'doNotTrack') return marked;
  const {
    egress: _,
    types,
    ...ingress
  }: typeof marked & { egress?: unknown; types?: unknown } = marked;
  return types === undefined ? ingress : { ...ingress, types: ['Ingress'] };
}

const hostPolicies = (stages: readonly Stage[], sourcePorts: readonly (number[] | undefined)[]) =>
  fc
    .array(
      fc.record({
        spec: body(sourcePorts),
        selector: hostSelector,
        stage: fc.constantFrom(...stages),
        stagedAction: fc.option(fc.constantFrom('Set', 'Learn'), { nil: undefined, freq: 8 }),
      }),
      { minLength: 1, maxLength: 5 },
    )
    .map((list) =>
      list.map(({ spec, selector, stage, stagedAction }, index) => ({
        apiVersion: calico,
        kind: stagedAction === undefined ? 'GlobalNetworkPolicy' : 'StagedGlobalNetworkPolicy',
        metadata: { name: `host-${index}` },
        spec: withoutUndefined({ ...inStage({ ...spec, selector }, stage), stagedAction }),
      })),
    );

const failsafePorts = fc.constantFrom<object[] | undefined>(
  [],
  [],
  [{ protocol: 'TCP', port: 8080 }],
  [
    { protocol: 'UDP', port: 5353, net: '172.30.0.0/24' },
    { protocol: 'TCP', port: 9090, net: 'fd00:244::/32' },
  ],
  [
    { protocol: 'SCTP', port: 9090, net: '10.244.0.0/16' },
    { protocol: 'tcp', port: 9090, net: '203.0.113.10/32' },
    { protocol: 'udp', port: 41_000 },
  ],
  undefined,
);

const allows = fc.constantFrom(true, false, undefined, undefined);
const settings = fc.record({
  failsafeInboundHostPorts: failsafePorts,
  failsafeOutboundHostPorts: failsafePorts,
  defaultEndpointToHostAction: fc.constantFrom('Drop', 'Accept', 'Return', undefined),
  allowVXLANPacketsFromWorkloads: allows,
  allowIPIPPacketsFromWorkloads: allows,
  vxlanPort: fc.constantFrom(undefined, undefined, 8472),
});

/** For all nodes, and sometimes for one by its name or by its labels. */
const configurations = fc
  .tuple(
    settings,
    fc.option(settings, { nil: undefined, freq: 3 }),
    fc.option(settings, { nil: undefined, freq: 3 }),
  )
  .map(([all, named, selected]) => [
    configuration('default', all),
    ...(named ? [configuration('node.node-1', named)] : []),
    ...(selected
      ? [configuration('some', { ...selected, nodeSelector: 'machine in {"node-1"}' })]
      : []),
  ]);

function configuration(name: string, spec: object) {
  return {
    apiVersion: calico,
    kind: 'FelixConfiguration',
    metadata: { name },
    spec: withoutUndefined(spec),
  };
}

/**
 * A world with host endpoints. `stages`: those of the policies that are meant for them.
 * `sourcePorts`: what some rules ask of those; nothing, where the packets' are chosen by the kernel.
 */
export function hostWorld(
  stages: readonly Stage[],
  sourcePorts: readonly (number[] | undefined)[] = [undefined],
  base = world,
): fc.Arbitrary<World> {
  return fc
    .tuple(
      base,
      hostEndpoints('node-1'),
      hostEndpoints('node-2'),
      hostPolicies(stages, sourcePorts),
      configurations,
      ownProfile,
    )
    .map(([rest, one, two, policies, list, profile]) => ({
      resources: [
        ...rest.resources.map(withInterfaces),
        ...one,
        ...two,
        ...policies,
        ...list,
        profile,
      ] as Resource[],
    }));
}

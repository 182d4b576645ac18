// Random small worlds of the policy model, valid by construction, for every differential test.
import fc from 'fast-check';
import { isFinishedPod, type Pod, type Resource } from '#api';
import type { Family } from '#lib';
import {
  BLOCKS,
  net,
  net6,
  NODE_ADDRESS,
  NODES,
  POD_COUNT,
  podAddress,
  PROBED_PORTS,
} from './world-addresses.ts';
import { policiesOf } from './world-policies.ts';

export * from './world-addresses.ts';

/** A world: every resource of the cluster, ready for `policy`, `calc` and the kernel. */
export interface World {
  readonly resources: readonly Resource[];
}

const calico = 'projectcalico.org/v3';
const labels = fc.record(
  { app: fc.constantFrom('web', 'cart', 'db'), zone: fc.constantFrom('a', 'b') },
  { requiredKeys: [] },
);

const namespaceName = fc.constantFrom('red', 'blue');

const namespaces = fc
  .tuple(labels, labels)
  .map(([red, blue]) => [namespace('red', red), namespace('blue', blue)]);

/** With the label that every API server gives. */
function namespace(name: string, own: object) {
  const given = { colour: name, 'kubernetes.io/metadata.name': name };
  return core('Namespace', { name, labels: { ...own, ...given } });
}

/** Too long for a label: only what its account lends tells its pods from others. */
const LONG_ACCOUNT = 'a'.repeat(63);

/** Labels of its own; some pods try to pass for those of another namespace or account. */
const podLabels = fc
  .tuple(
    labels,
    fc.option(
      fc.constantFrom(
        { 'pcns.colour': 'blue', 'pcsa.role': 'robot' },
        { 'projectcalico.org/serviceaccount': 'robot', 'projectcalico.org/namespace': 'red' },
      ),
      { nil: undefined, freq: 6 },
    ),
  )
  .map(([own, claimed]) => ({ ...own, ...claimed }));

const containerPort = fc.constantFrom(
  { name: 'http', containerPort: 8080, protocol: 'TCP' },
  { name: 'http', containerPort: 9090 },
  { name: 'http', containerPort: 9090, protocol: 'SCTP' },
  { name: 'dns', containerPort: 5353, protocol: 'UDP' },
  { name: 'dns', containerPort: 8080, protocol: 'TCP' },
  { containerPort: 9090, hostPort: 9090, protocol: 'TCP' },
);
/** Several containers may give one name to different ports, of one protocol or of several. */
const containers = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(
        [
          { name: 'http', containerPort: 8080, protocol: 'TCP' },
          { name: 'dns', containerPort: 5353, protocol: 'UDP' },
        ],
        [{ name: 'http', containerPort: 9090, protocol: 'TCP' }],
      )
      .map((ports) => [{ name: 'main', ports }]),
  },
  {
    weight: 1,
    arbitrary: fc
      .array(containerPort, { minLength: 1, maxLength: 3 })
      .map((list) => list.map((one, index) => ({ name: `c${index}`, ports: [one] }))),
  },
);

const pods = fc.tuple(
  ...Array.from({ length: POD_COUNT }, (_, index) =>
    fc
      .record({
        namespace: namespaceName,
        own: podLabels,
        account: fc.oneof(
          { weight: 6, arbitrary: fc.constantFrom('default', 'robot', undefined) },
          { weight: 1, arbitrary: fc.constant(LONG_ACCOUNT) },
        ),
        list: containers,
      })
      .map(({ namespace, own, account, list }) => ({
        ...core('Pod', { name: `p${index}`, namespace, labels: own }),
        spec: {
          nodeName: NODES[index % 2],
          ...(account === undefined ? {} : { serviceAccountName: account }),
          containers: list,
        },
        status: {
          phase: 'Running',
          podIP: podAddress(index, 4),
          podIPs: [{ ip: podAddress(index, 4) }, { ip: podAddress(index, 6) }],
        },
      })),
  ),
);

/** Pods that are no ends: on the host's network, or finished, whose address another pod has by now. */
const bystanders = fc
  .tuple(
    fc.record({ namespace: namespaceName, labels }),
    fc.record({
      namespace: namespaceName,
      labels,
      index: fc.nat(POD_COUNT - 1),
      phase: fc.constantFrom('Succeeded', 'Failed'),
      node: fc.constantFrom(...NODES),
    }),
    fc.subarray([0, 1]),
  )
  .map(([{ namespace: own, labels: ownLabels }, job, kept]) => {
    const ips = (address: (family: Family) => string) =>
      ([4, 6] as const).map((family) => ({ ip: address(family) }));
    const containers = [
      { name: 'main', ports: [{ name: 'http', containerPort: 8080, protocol: 'TCP' }] },
    ];
    const both = [
      {
        ...core('Pod', { name: 'agent', namespace: own, labels: ownLabels }),
        spec: { nodeName: NODES[0], hostNetwork: true, containers },
        status: { phase: 'Running', podIPs: ips((family) => NODE_ADDRESS[NODES[0]][family]) },
      },
      {
        ...core('Pod', { name: 'job', namespace: job.namespace, labels: job.labels }),
        spec: { nodeName: job.node, containers },
        status: { phase: job.phase, podIPs: ips((family) => podAddress(job.index, family)) },
      },
    ];
    return kept.flatMap((index) => both[index] ?? []);
  });

/** Those that are ends of their own. */
export function podsOf(resources: readonly Resource[]): Pod[] {
  const pods = resources.filter((one): one is Pod => one.kind === 'Pod');
  return pods.filter((pod) => pod.spec.hostNetwork !== true && !isFinishedPod(pod));
}

const tiers = fc
  .tuple(
    fc.constantFrom('Deny', 'Pass'),
    fc.constantFrom('Deny', 'Pass'),
    fc.constantFrom<number | null | undefined>(100, 2_000_000, 50, null, undefined),
  )
  .map(([first, second, order]) => [
    {
      apiVersion: calico,
      kind: 'Tier',
      metadata: { name: 'default' },
      spec: { order: 1_000_000, defaultAction: 'Deny' },
    },
    {
      apiVersion: calico,
      kind: 'Tier',
      metadata: { name: 'first' },
      spec: { order: 50, defaultAction: first },
    },
    {
      apiVersion: calico,
      kind: 'Tier',
      metadata: { name: 'second' },
      spec: { ...(order !== undefined && { order }), defaultAction: second },
    },
  ]);

const networkSets = fc
  .tuple(
    fc
      .tuple(labels, fc.constantFrom({}, {}, { 'pcns.colour': 'red' }))
      .map(([own, lent]) => ({ ...own, ...lent })),
    fc.uniqueArray(net, { maxLength: 3 }),
    fc.array(
      fc.record({
        labels,
        namespace: namespaceName,
        nets: fc.uniqueArray(fc.oneof(net, net6), { maxLength: 2 }),
      }),
      { maxLength: 3 },
    ),
  )
  .map(([globalLabels, globalNets, sets]) => [
    {
      apiVersion: calico,
      kind: 'GlobalNetworkSet',
      metadata: { name: 'global-set', labels: globalLabels },
      spec: { nets: globalNets },
    },
    ...sets.map((set, index) => ({
      apiVersion: calico,
      kind: 'NetworkSet',
      metadata: { name: `set-${index}`, namespace: set.namespace, labels: set.labels },
      spec: { nets: set.nets },
    })),
  ]);

const slice = fc.record({
  members: fc.uniqueArray(fc.integer({ min: 0, max: POD_COUNT - 1 }), { maxLength: 3 }),
  ports: fc.subarray(
    PROBED_PORTS.map(({ protocol, port }) => ({ protocol: protocol.toUpperCase(), port })),
  ),
});

/**
 * Each namespace has a Service `svc`, without an address of its own in one of them; behind it are any pods, and its
 * ports are those that pods listen on. The Service `outside` is a name elsewhere: nothing is behind it.
 */
const services = fc
  .tuple(...['red', 'blue'].map((namespace) => fc.tuple(fc.constant(namespace), slice)))
  .map((list) =>
    list.flatMap(([namespace, { members, ports }]) => [
      {
        ...core('Service', { name: 'svc', namespace }),
        spec: {
          ...(namespace === 'red' && { clusterIP: 'None' }),
          ports: ports.map(({ port, protocol }) => ({ name: `p${port}`, port, protocol })),
        },
      },
      {
        ...core('Service', { name: 'outside', namespace }),
        spec: { type: 'ExternalName', externalName: 'example.com' },
      },
      ...([4, 6] as const).map((family) => ({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: `svc-${family}`,
          namespace,
          labels: { 'kubernetes.io/service-name': 'svc' },
        },
        addressType: `IPv${family}`,
        endpoints: members.map((index) => ({ addresses: [podAddress(index, family)] })),
        ports: ports.map(({ port, protocol }) => ({ name: `p${port}`, port, protocol })),
      })),
    ]),
  );

/** Nodes, blocks and accounts: the same in every world. */
export const FIXED: readonly Resource[] = [
  ...NODES.map((name) => ({
    ...core('Node', { name, labels: { machine: name } }),
    status: {
      addresses: [4, 6].map((family) => ({
        type: 'InternalIP',
        address: NODE_ADDRESS[name][family as Family],
      })),
    },
  })),
  ...NODES.flatMap((name) =>
    ([4, 6] as const).map((family) => ({
      apiVersion: calico,
      kind: 'IPAMBlock',
      metadata: { name: BLOCKS[name][family].replaceAll(/[.:/]+/g, '-') },
      spec: {
        cidr: BLOCKS[name][family],
        affinity: `host:${name}`,
        allocations: [],
        unallocated: [],
        attributes: [],
      },
    })),
  ),
  ...['red', 'blue'].flatMap((namespace) =>
    ['default', 'robot', LONG_ACCOUNT].map((name) =>
      core('ServiceAccount', {
        name,
        namespace,
        labels: { role: name === LONG_ACCOUNT ? 'robot' : name },
      }),
    ),
  ),
];

const worldWith = (length: fc.ArrayConstraints): fc.Arbitrary<World> =>
  fc
    .tuple(namespaces, pods, tiers, policiesOf(length), networkSets, services, bystanders)
    .map((parts) => ({ resources: [...FIXED, ...parts.flat()] as Resource[] }));

/** Of up to six policies: each matters. */
export const world = worldWith({ maxLength: 6 });
/** So many that the kernel looks rules up, where it would try few one by one. */
export const crowdedWorld = worldWith({ minLength: 20, maxLength: 60, size: 'max' });

function core(kind: string, metadata: Resource['metadata']): Resource {
  return { apiVersion: 'v1', kind, metadata };
}

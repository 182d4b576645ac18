// Random small worlds of the policy model, valid by construction, for every differential test.
import fc from 'fast-check';
import type { Resource } from '#api';
import { formatAddress, parsePrefix, type Family } from '#lib';

/** A world: every resource of the cluster, ready for `policy`, `calc` and the kernel. */
export interface World {
  readonly resources: readonly Resource[];
}

export const NODES = ['node-1', 'node-2'] as const;
/** An address that no pod and no node has; some network sets hold it. */
export const OUTSIDE: Readonly<Record<Family, string>> = { 4: '203.0.113.10', 6: '2001:db8:5::10' };
export const NODE_ADDRESS: Readonly<Record<(typeof NODES)[number], Record<Family, string>>> = {
  'node-1': { 4: '172.30.0.11', 6: 'fd00:30::11' },
  'node-2': { 4: '172.30.0.12', 6: 'fd00:30::12' },
};
export const BLOCKS: Readonly<Record<(typeof NODES)[number], Record<Family, string>>> = {
  'node-1': { 4: '10.244.1.0/26', 6: 'fd00:244:1::/122' },
  'node-2': { 4: '10.244.2.0/26', 6: 'fd00:244:2::/122' },
};

const calico = 'projectcalico.org/v3';
const POD_COUNT = 6;
/** TCP 8080 is the named port `http`, UDP 5353 the named port `dns` of every second pod. */
export const PROBED_PORTS = [
  { protocol: 'tcp', port: 8080 },
  { protocol: 'tcp', port: 9090 },
  { protocol: 'udp', port: 5353 },
] as const;

/** The address of the n-th pod: on node 1 when n is even, else on node 2. */
export function podAddress(index: number, family: Family): string {
  const block = parsePrefix(BLOCKS[NODES[index % 2] ?? 'node-1'][family]);
  if (!block) throw new Error('block is not a prefix');
  return formatAddress({ family, bits: block.bits + BigInt(index + 2) });
}

const labels = fc.record(
  { app: fc.constantFrom('web', 'cart', 'db'), zone: fc.constantFrom('a', 'b') },
  { requiredKeys: [] },
);

const namespaceName = fc.constantFrom('red', 'blue');

const namespaces = fc
  .tuple(labels, labels)
  .map(([red, blue]) => [
    core('Namespace', { name: 'red', labels: { ...red, colour: 'red' } }),
    core('Namespace', { name: 'blue', labels: { ...blue, colour: 'blue' } }),
  ]);

const pods = fc.tuple(
  ...Array.from({ length: POD_COUNT }, (_, index) =>
    fc
      .record({
        namespace: namespaceName,
        labels,
        account: fc.constantFrom('default', 'robot'),
      })
      .map(({ namespace, labels: podLabels, account }) => ({
        ...core('Pod', { name: `p${index}`, namespace, labels: podLabels }),
        spec: {
          nodeName: NODES[index % 2],
          serviceAccountName: account,
          containers: [
            {
              name: 'main',
              ports:
                index % 2 === 0
                  ? [
                      { name: 'http', containerPort: 8080, protocol: 'TCP' },
                      { name: 'dns', containerPort: 5353, protocol: 'UDP' },
                    ]
                  : [{ name: 'http', containerPort: 9090, protocol: 'TCP' }],
            },
          ],
        },
        status: {
          phase: 'Running',
          podIP: podAddress(index, 4),
          podIPs: [{ ip: podAddress(index, 4) }, { ip: podAddress(index, 6) }],
        },
      })),
  ),
);

const selector = fc.constantFrom(
  'all()',
  'app == "web"',
  'app != "web"',
  'app in {"cart", "db"}',
  'app not in {"cart"}',
  'has(zone)',
  '!has(zone)',
  'zone == "a" && app == "web"',
  'zone == "b" || app == "db"',
  'app starts with "c"',
);

const namespaceSelector = fc.constantFrom(
  'all()',
  'colour == "red"',
  'projectcalico.org/name == "blue"',
  'zone == "a"',
  'global()',
);

const net = fc.oneof(
  fc.integer({ min: 0, max: POD_COUNT - 1 }).map((index) => `${podAddress(index, 4)}/32`),
  fc.constantFrom('10.244.0.0/16', '10.244.1.0/26', '203.0.113.0/24', '172.30.0.0/24', '0.0.0.0/0'),
);
const net6 = fc.oneof(
  fc.integer({ min: 0, max: POD_COUNT - 1 }).map((index) => `${podAddress(index, 6)}/128`),
  fc.constantFrom('fd00:244::/32', 'fd00:244:1::/122', '2001:db8:5::/48', '::/0'),
);
const nets = fc.oneof(
  fc.uniqueArray(net, { minLength: 1, maxLength: 3 }),
  fc.uniqueArray(net6, { minLength: 1, maxLength: 2 }),
);
const notNets = fc
  .oneof(
    fc.uniqueArray(net, { minLength: 1, maxLength: 2 }),
    fc.uniqueArray(net6, { minLength: 1, maxLength: 1 }),
  )
  .map((list) => list.filter((one) => one !== '0.0.0.0/0' && one !== '::/0'))
  .filter((list) => list.length > 0);

const port = fc.constantFrom<number | string>(8080, 9090, 5353, '8000:9000', 'http', 'dns');
const ports = fc.uniqueArray(port, { minLength: 1, maxLength: 3 });

const entity = fc.record(
  {
    selector,
    notSelector: selector,
    namespaceSelector,
    nets,
    notNets,
    serviceAccounts: fc.constantFrom({ names: ['robot'] }, { names: ['default', 'robot'] }),
  },
  { requiredKeys: [] },
);

const protocol = fc.constantFrom<string | number | undefined>('TCP', 'UDP', 'TCP', 6, undefined);

const rule = fc
  .record({
    action: fc.constantFrom('Allow', 'Allow', 'Deny', 'Pass'),
    protocol,
    source: fc.option(entity, { nil: undefined }),
    destination: fc.option(entity, { nil: undefined }),
    ports: fc.option(ports, { nil: undefined }),
    notPorts: fc.option(ports, { nil: undefined, freq: 5 }),
  })
  .map(({ action, protocol: number, source, destination, ports: list, notPorts: notList }) => {
    const withPorts = {
      ...destination,
      ...(number !== undefined && list ? { ports: list } : {}),
      ...(number !== undefined && notList ? { notPorts: notList } : {}),
    };
    return {
      action,
      ...(number === undefined ? {} : { protocol: number }),
      ...(source ? { source } : {}),
      ...(Object.keys(withPorts).length > 0 ? { destination: withPorts } : {}),
    };
  })
  .filter((one) => sameFamily(one));

/** A rule may not mix families across its nets (spec 01, 1.3). */
function sameFamily(candidate: { source?: object; destination?: object }): boolean {
  const text = JSON.stringify([candidate.source, candidate.destination]);
  const v6 = /"[0-9a-f]*:[0-9a-f:]*\/\d+"/.test(text);
  const v4 = /"\d+\.\d+\.\d+\.\d+\/\d+"/.test(text);
  return !(v4 && v6);
}

const order = fc.option(fc.constantFrom(10, 20, 20, 30), { nil: undefined });
const tierName = fc.constantFrom('default', 'default', 'first', 'second');
const rules = fc.array(rule, { maxLength: 4 });

const policyBody = fc
  .record({
    order,
    selector,
    ingress: fc.option(rules, { nil: undefined }),
    egress: fc.option(rules, { nil: undefined }),
    tier: tierName,
  })
  .map(({ order: number, ingress, egress, ...rest }) => ({
    ...rest,
    ...(number === undefined ? {} : { order: number }),
    ...(ingress ? { ingress } : {}),
    ...(egress ? { egress } : {}),
    types: [...(ingress || !egress ? ['Ingress'] : []), ...(egress ? ['Egress'] : [])],
  }));

const globalPolicy = fc
  .tuple(
    policyBody,
    fc.option(fc.constantFrom('colour == "red"', 'all()'), { nil: undefined, freq: 3 }),
  )
  .map(([spec, top]) => ({
    apiVersion: calico,
    kind: 'GlobalNetworkPolicy',
    spec: { ...spec, ...(top === undefined ? {} : { namespaceSelector: top }) },
  }));
const namespacedPolicy = fc.tuple(namespaceName, policyBody).map(([namespace, spec]) => ({
  apiVersion: calico,
  kind: 'NetworkPolicy',
  namespace,
  spec,
}));

const labelSelector = fc.constantFrom(
  {},
  { matchLabels: { app: 'web' } },
  { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['db'] }] },
  { matchExpressions: [{ key: 'zone', operator: 'Exists' }] },
);
const peer = fc.oneof(
  fc.record({ podSelector: labelSelector }),
  fc.record({ namespaceSelector: fc.constantFrom({}, { matchLabels: { colour: 'blue' } }) }),
  fc.record({
    podSelector: labelSelector,
    namespaceSelector: fc.constantFrom({}, { matchLabels: { colour: 'red' } }),
  }),
  fc.constant({ ipBlock: { cidr: '10.244.0.0/16', except: ['10.244.1.0/28'] } }),
  fc.constant({ ipBlock: { cidr: 'fd00:244::/32' } }),
);
const kubernetesPorts = fc.array(
  fc.constantFrom(
    { protocol: 'TCP', port: 8080 },
    { protocol: 'TCP', port: 'http' },
    { protocol: 'UDP', port: 5353 },
    { protocol: 'TCP', port: 8000, endPort: 9090 },
    {},
  ),
  { maxLength: 2 },
);
const kubernetesPolicy = fc
  .record({
    namespace: namespaceName,
    podSelector: labelSelector,
    ingress: fc.option(
      fc.array(fc.record({ from: fc.array(peer, { maxLength: 2 }), ports: kubernetesPorts }), {
        maxLength: 2,
      }),
      { nil: undefined },
    ),
    egress: fc.option(
      fc.array(fc.record({ to: fc.array(peer, { maxLength: 2 }), ports: kubernetesPorts }), {
        maxLength: 2,
      }),
      { nil: undefined },
    ),
  })
  .map(({ namespace, podSelector, ingress, egress }) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    namespace,
    spec: {
      podSelector,
      ...(ingress ? { ingress } : {}),
      ...(egress ? { egress } : {}),
      policyTypes: [...(ingress || !egress ? ['Ingress'] : []), ...(egress ? ['Egress'] : [])],
    },
  }));

const policies = fc
  .array(fc.oneof(globalPolicy, namespacedPolicy, kubernetesPolicy), { maxLength: 6 })
  .map((list) =>
    list.map((policy, index) => ({
      apiVersion: policy.apiVersion,
      kind: policy.kind,
      metadata: {
        name: `policy-${index}`,
        ...('namespace' in policy ? { namespace: policy.namespace } : {}),
      },
      spec: policy.spec,
    })),
  );

const tiers = fc
  .tuple(
    fc.constantFrom('Deny', 'Pass'),
    fc.constantFrom('Deny', 'Pass'),
    fc.constantFrom(100, 2_000_000),
  )
  .map(([first, second, secondOrder]) => [
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
      spec: { order: secondOrder, defaultAction: second },
    },
  ]);

const networkSets = fc
  .tuple(
    labels,
    fc.uniqueArray(net, { maxLength: 3 }),
    labels,
    fc.uniqueArray(fc.oneof(net, net6), { maxLength: 2 }),
    namespaceName,
  )
  .map(([globalLabels, globalNets, setLabels, setNets, namespace]) => [
    {
      apiVersion: calico,
      kind: 'GlobalNetworkSet',
      metadata: { name: 'global-set', labels: globalLabels },
      spec: { nets: globalNets.filter((one) => one !== '0.0.0.0/0') },
    },
    {
      apiVersion: calico,
      kind: 'NetworkSet',
      metadata: { name: 'set', namespace, labels: setLabels },
      spec: { nets: setNets.filter((one) => one !== '0.0.0.0/0' && one !== '::/0') },
    },
  ]);

/** Nodes, blocks and accounts: the same in every world. */
export const FIXED: readonly Resource[] = [
  ...NODES.map((name) => ({
    ...core('Node', { name }),
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
    ['default', 'robot'].map((name) => core('ServiceAccount', { name, namespace })),
  ),
];

export const world: fc.Arbitrary<World> = fc
  .tuple(namespaces, pods, tiers, policies, networkSets)
  .map((parts) => ({ resources: [...FIXED, ...parts.flat()] as Resource[] }));

function core(kind: string, metadata: Resource['metadata']): Resource {
  return { apiVersion: 'v1', kind, metadata };
}

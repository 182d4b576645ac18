// Random policies of every kind for the random worlds, each valid on its own.
import fc from 'fast-check';
import { net, net6 } from './world-addresses.ts';

const calico = 'projectcalico.org/v3';
const namespaceName = fc.constantFrom('red', 'blue');

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

const accounts = fc.constantFrom(
  { names: ['robot'] },
  { names: ['default', 'robot'] },
  { selector: 'role == "robot"' },
  { selector: 'all()' },
  { names: ['robot'], selector: '!has(role)' },
);

const conditions = {
  selector,
  notSelector: selector,
  namespaceSelector,
  nets,
  notNets,
  serviceAccounts: accounts,
};
const oneCondition = fc.oneof(
  fc.record({ selector }),
  fc.record({ notSelector: selector }),
  fc.record({ namespaceSelector }),
  fc.record({ nets }),
  fc.record({ notNets }),
  fc.record({ serviceAccounts: accounts }),
);
/** Mostly one or two conditions: rules of many rarely match, and then they hide each other's faults. */
const entity = fc.oneof(
  { weight: 5, arbitrary: oneCondition },
  {
    weight: 3,
    arbitrary: fc.tuple(oneCondition, oneCondition).map(([one, two]) => ({ ...one, ...two })),
  },
  { weight: 1, arbitrary: fc.record(conditions, { requiredKeys: [] }) },
);

const protocol = fc.constantFrom<string | number | undefined>('TCP', 'UDP', 'TCP', 6, undefined);
const action = fc.constantFrom('Allow', 'Allow', 'Deny', 'Pass');
type Direction = 'ingress' | 'egress';

const portRule = fc
  .record({
    action,
    protocol,
    notProtocol: fc.option(fc.constantFrom<string | number>('TCP', 17), {
      nil: undefined,
      freq: 5,
    }),
    source: fc.option(entity, { nil: undefined }),
    destination: fc.option(entity, { nil: undefined }),
    ports: fc.option(ports, { nil: undefined }),
    notPorts: fc.option(ports, { nil: undefined, freq: 5 }),
  })
  .map(({ action: act, protocol: number, notProtocol, source, destination, ...lists }) => {
    // Without protocol only names make sense: they are TCP's.
    const portsOf = (list: readonly (number | string)[] = []) =>
      number === undefined ? list.filter((one) => one === 'http' || one === 'dns') : list;
    const [list, notList] = [portsOf(lists.ports), portsOf(lists.notPorts)];
    const withPorts = {
      ...destination,
      ...(list.length > 0 ? { ports: list } : {}),
      ...(notList.length > 0 ? { notPorts: notList } : {}),
    };
    return {
      action: act,
      ...(number === undefined ? {} : { protocol: number }),
      ...(notProtocol === undefined ? {} : { notProtocol }),
      ...(source ? { source } : {}),
      ...(Object.keys(withPorts).length > 0 ? { destination: withPorts } : {}),
    };
  });

const icmp = fc.constantFrom(
  { type: 8 },
  { type: 8, code: 0 },
  { type: 3, code: 1 },
  { type: 128 },
  { type: 1, code: 4 },
);
const icmpRule = fc
  .record({
    action,
    protocol: fc.constantFrom<string | number>('ICMP', 'ICMPv6', 1, 58),
    icmp: fc.option(icmp, { nil: undefined, freq: 2 }),
    notICMP: fc.option(icmp, { nil: undefined, freq: 4 }),
    source: fc.option(entity, { nil: undefined }),
    destination: fc.option(entity, { nil: undefined }),
  })
  .map((one) => withoutUndefined(one));

const httpRule = fc
  .record({
    action: fc.constant('Allow'),
    protocol: fc.constantFrom('TCP', undefined),
    source: fc.option(entity, { nil: undefined }),
    http: fc.constantFrom({ methods: ['GET'] }, { paths: [{ prefix: '/public' }] }),
  })
  .map((one) => withoutUndefined(one));

/** A Service at the far end, alone: in a namespaced policy it may be of the policy's own namespace. */
const serviceRule = (direction: Direction, namespaced: boolean) =>
  fc
    .record({
      action,
      protocol,
      namespace: namespaced ? fc.option(namespaceName, { nil: undefined }) : namespaceName,
    })
    .map(({ action: act, protocol: number, namespace }) =>
      withoutUndefined({
        action: act,
        protocol: number,
        [direction === 'ingress' ? 'source' : 'destination']: {
          services: withoutUndefined({ name: 'svc', namespace }),
        },
      }),
    );

function rulesOf(direction: Direction, namespaced: boolean) {
  const others = [icmpRule, serviceRule(direction, namespaced)];
  const special = direction === 'ingress' ? [...others, httpRule] : others;
  const rule = fc.oneof<fc.MaybeWeightedArbitrary<object>[]>(
    { weight: 6, arbitrary: portRule },
    ...special.map((arbitrary) => ({ weight: 1, arbitrary })),
  );
  return fc.array(rule.filter(sameFamily), { maxLength: 4 });
}

function withoutUndefined(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** A rule may not mix families across its nets (spec 01, 1.3). */
function sameFamily(candidate: object): boolean {
  const text = JSON.stringify(candidate);
  const v6 = /"[0-9a-f]*:[0-9a-f:]*\/\d+"/.test(text);
  const v4 = /"\d+\.\d+\.\d+\.\d+\/\d+"/.test(text);
  return !(v4 && v6);
}

const order = fc.option(fc.constantFrom(10, 20, 20, 30), { nil: undefined });
const tierName = fc.constantFrom('default', 'default', 'first', 'second');

const accountSelector = fc.constantFrom('all()', 'role == "robot"', '!has(role)');

/** The spec of a policy of Calico's, without what only global policies have. */
export const policyBody = (namespaced: boolean) =>
  fc
    .record({
      order,
      selector,
      serviceAccountSelector: fc.option(accountSelector, { nil: undefined, freq: 4 }),
      ingress: fc.option(rulesOf('ingress', namespaced), { nil: undefined }),
      egress: fc.option(rulesOf('egress', namespaced), { nil: undefined }),
      tier: tierName,
    })
    .map(({ ingress, egress, ...rest }) => ({
      ...withoutUndefined(rest),
      ...(ingress ? { ingress } : {}),
      ...(egress ? { egress } : {}),
      types: [...(ingress || !egress ? ['Ingress'] : []), ...(egress ? ['Egress'] : [])],
    }));

const globalPolicy = fc
  .tuple(
    policyBody(false),
    fc.option(fc.constantFrom('colour == "red"', 'all()'), { nil: undefined, freq: 3 }),
  )
  .map(([spec, top]) => ({
    apiVersion: calico,
    kind: 'GlobalNetworkPolicy',
    spec: { ...spec, ...(top === undefined ? {} : { namespaceSelector: top }) },
  }));
const namespacedPolicy = fc.tuple(namespaceName, policyBody(true)).map(([namespace, spec]) => ({
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

const clusterPods = fc.record({
  podSelector: labelSelector,
  namespaceSelector: fc.constantFrom({}, { matchLabels: { colour: 'red' } }),
});
const clusterSubject = fc.oneof(
  fc.record({ namespaces: fc.constantFrom({}, { matchLabels: { colour: 'blue' } }) }),
  fc.record({ pods: clusterPods }),
);
const clusterTarget = fc.oneof(
  clusterSubject,
  fc.constantFrom<object>(
    { networks: ['10.244.1.0/26', 'fd00:244::/32'] },
    { networks: ['203.0.113.0/24'] },
    { nodes: {} },
    { nodes: { matchLabels: { machine: 'node-1' } } },
    { nodes: { matchExpressions: [{ key: 'machine', operator: 'DoesNotExist' }] } },
  ),
);
const clusterProtocols = fc.uniqueArray(
  fc.constantFrom<object>(
    { tcp: { destinationPort: { number: 8080 } } },
    { tcp: { destinationPort: { range: { start: 8000, end: 9090 } } } },
    { udp: {} },
    { sctp: {} },
    { destinationNamedPort: 'http' },
    { destinationNamedPort: 'dns' },
  ),
  { minLength: 1, maxLength: 2 },
);
const clusterRules = <Peers extends string>(field: Peers, peer: fc.Arbitrary<object>) =>
  fc.array(
    fc
      .record({
        action: fc.constantFrom('Accept', 'Deny', 'Pass'),
        protocols: fc.option(clusterProtocols, { nil: undefined }),
        [field]: fc.array(peer, { minLength: 1, maxLength: 2 }),
      })
      .map(withoutUndefined),
    { maxLength: 2 },
  );
const clusterPolicy = fc
  .record({
    tier: fc.constantFrom('Admin', 'Baseline'),
    priority: fc.constantFrom(0, 5, 5, 1000),
    subject: clusterSubject,
    ingress: fc.option(clusterRules('from', clusterSubject), { nil: undefined }),
    egress: fc.option(clusterRules('to', clusterTarget), { nil: undefined }),
  })
  .map((spec) => ({
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    spec: withoutUndefined(spec),
  }));

/** Up to six policies, of any kinds. */
export const policies = fc
  .array(fc.oneof(globalPolicy, namespacedPolicy, kubernetesPolicy, clusterPolicy), {
    maxLength: 6,
  })
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

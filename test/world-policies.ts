// Random policies of every kind for the random worlds, each valid on its own.
import fc from 'fast-check';
import { namespaceName, rulesOf, selector, withoutUndefined } from './world-rules.ts';

const calico = 'projectcalico.org/v3';

const order = fc.option(fc.constantFrom<number | null>(10, 20, 20, 30, 20.5, null), {
  nil: undefined,
});
/** Nobody made the tier `absent`. */
const tierName = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('default', 'default', 'first', 'second') },
  { weight: 1, arbitrary: fc.constantFrom('', 'absent') },
);

const accountSelector = fc.constantFrom('all()', 'role == "robot"', '!has(role)');

/** By the rules that there are, or said; also of a direction without rules, and not of one with. */
const typesOf = (ingress: boolean, egress: boolean) =>
  fc.oneof(
    { weight: 4, arbitrary: fc.constant(listTypes(ingress || !egress, egress)) },
    { weight: 2, arbitrary: fc.constant(undefined) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(['Ingress'], ['Egress'], ['Egress', 'Ingress']),
    },
  );

function listTypes(ingress: boolean, egress: boolean): string[] {
  return [...(ingress ? ['Ingress'] : []), ...(egress ? ['Egress'] : [])];
}

/** The spec of a policy of Calico's, without what only global policies have. */
export const policyBody = (namespaced: boolean): fc.Arbitrary<object> =>
  fc
    .record({
      order,
      selector: fc.option(selector, { nil: undefined, freq: 12 }),
      serviceAccountSelector: fc.option(accountSelector, { nil: undefined, freq: 4 }),
      ingress: fc.option(rulesOf('ingress', namespaced), { nil: undefined }),
      egress: fc.option(rulesOf('egress', namespaced), { nil: undefined }),
      tier: fc.option(tierName, { nil: undefined, freq: 8 }),
      performanceHints: fc.option(fc.constant(['AssumeNeededOnEveryNode']), {
        nil: undefined,
        freq: 12,
      }),
    })
    .chain((body) => {
      const types = typesOf(body.ingress !== undefined, body.egress !== undefined);
      return types.map((list) => withoutUndefined({ ...body, types: list }));
    });

const topSelector = fc.option(
  fc.constantFrom('colour == "red"', 'all()', 'projectcalico.org/name != "blue"', '!has(zone)'),
  { nil: undefined, freq: 3 },
);
const globalPolicy = fc.tuple(policyBody(false), topSelector).map(([spec, namespaceSelector]) => ({
  apiVersion: calico,
  kind: 'GlobalNetworkPolicy',
  spec: withoutUndefined({ ...spec, namespaceSelector }),
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
  {
    matchExpressions: [
      { key: 'app', operator: 'In', values: ['web', 'db'] },
      { key: 'zone', operator: 'DoesNotExist' },
    ],
  },
);
const namespaceLabels = fc.constantFrom<object>(
  {},
  { matchLabels: { colour: 'blue' } },
  { matchLabels: { colour: 'red' } },
  { matchExpressions: [{ key: 'zone', operator: 'NotIn', values: ['a'] }] },
  { matchLabels: { 'kubernetes.io/metadata.name': 'red' } },
  {
    matchExpressions: [
      { key: 'colour', operator: 'In', values: ['red', 'blue'] },
      { key: 'zone', operator: 'DoesNotExist' },
    ],
  },
  { matchExpressions: [{ key: 'app', operator: 'Exists' }] },
);
const peer = fc.oneof(
  fc.record({ podSelector: labelSelector }),
  fc.record({ namespaceSelector: namespaceLabels }),
  fc.record({ podSelector: labelSelector, namespaceSelector: namespaceLabels }),
  fc.constantFrom(
    { ipBlock: { cidr: '10.244.0.0/16', except: ['10.244.1.0/28'] } },
    { ipBlock: { cidr: '0.0.0.0/0', except: ['203.0.113.0/24', '172.30.0.11/32'] } },
    { ipBlock: { cidr: 'fd00:244::/32' } },
    { ipBlock: { cidr: '::/0', except: ['fd00:244:1::/122'] } },
  ),
);
const kubernetesPorts = fc.array(
  fc.constantFrom(
    { protocol: 'TCP', port: 8080 },
    { protocol: 'TCP', port: 'http' },
    { port: 'http' },
    { protocol: 'UDP', port: 5353 },
    { protocol: 'UDP', port: 'dns' },
    { protocol: 'UDP' },
    { protocol: 'SCTP', port: 9090 },
    { protocol: 'TCP', port: 8000, endPort: 9090 },
    {},
  ),
  { maxLength: 2 },
);
const kubernetesRules = <Peers extends string>(field: Peers) =>
  fc.option(
    fc.array(
      fc
        .record({
          [field]: fc.option(fc.array(peer, { maxLength: 2 }), { nil: undefined, freq: 6 }),
          ports: fc.option(kubernetesPorts, { nil: undefined, freq: 6 }),
        })
        .map(withoutUndefined),
      { maxLength: 2 },
    ),
    { nil: undefined },
  );
const kubernetesSpec = fc
  .record({
    podSelector: labelSelector,
    ingress: kubernetesRules('from'),
    egress: kubernetesRules('to'),
    isSaid: fc.boolean(),
  })
  .map(({ podSelector, ingress, egress, isSaid }) =>
    withoutUndefined({
      podSelector,
      ingress,
      egress,
      policyTypes: isSaid ? listTypes(ingress !== undefined || !egress, !!egress) : undefined,
    }),
  );
const kubernetesPolicy = fc
  .record({ namespace: namespaceName, spec: kubernetesSpec })
  .map(({ namespace, spec }) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    namespace,
    spec,
  }));

/** What a staged policy does; a deletion says nothing but its tier. */
const stagedAction = fc.constantFrom('Set', 'Set', undefined, 'Learn', 'Ignore', 'Delete');
type Body = { readonly tier?: string };
const staged = (action: string | undefined, spec: Body) =>
  action === 'Delete'
    ? withoutUndefined({ stagedAction: action, tier: spec.tier })
    : withoutUndefined({ ...spec, stagedAction: action });
const stagedPolicy = fc.oneof(
  fc.tuple(stagedAction, globalPolicy).map(([act, { spec }]) => ({
    apiVersion: calico,
    kind: 'StagedGlobalNetworkPolicy',
    spec: staged(act, spec),
  })),
  fc.tuple(stagedAction, namespacedPolicy).map(([act, { namespace, spec }]) => ({
    apiVersion: calico,
    kind: 'StagedNetworkPolicy',
    namespace,
    spec: staged(act, spec),
  })),
  fc.tuple(stagedAction, kubernetesPolicy).map(([act, { namespace, spec }]) => ({
    apiVersion: calico,
    kind: 'StagedKubernetesNetworkPolicy',
    namespace,
    spec: staged(act, spec),
  })),
);

const clusterPods = fc.record({
  podSelector: labelSelector,
  namespaceSelector: namespaceLabels,
});
const clusterSubject = fc.oneof(
  fc.record({ namespaces: namespaceLabels }),
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
    { nodes: { matchExpressions: [{ key: 'machine', operator: 'In', values: ['node-2'] }] } },
    {
      nodes: {
        matchExpressions: [
          { key: 'machine', operator: 'Exists' },
          { key: 'machine', operator: 'NotIn', values: ['node-1'] },
        ],
      },
    },
  ),
);
const clusterProtocols = fc.uniqueArray(
  fc.constantFrom<object>(
    { tcp: { destinationPort: { number: 8080 } } },
    { tcp: { destinationPort: { range: { start: 8000, end: 9090 } } } },
    { udp: {} },
    { udp: { destinationPort: { number: 5353 } } },
    { udp: { destinationPort: { range: { start: 5000, end: 6000 } } } },
    { sctp: {} },
    { sctp: { destinationPort: { number: 9090 } } },
    { sctp: { destinationPort: { range: { start: 9000, end: 9100 } } } },
    { destinationNamedPort: 'http' },
    { destinationNamedPort: 'dns' },
  ),
  { minLength: 1, maxLength: 2 },
);
const clusterRules = <Peers extends string>(field: Peers, peer: fc.Arbitrary<object>) =>
  fc.array(
    fc
      .record({
        name: fc.option(fc.constant('a rule'), { nil: undefined }),
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

/** Policies of any kinds; few of them staged. */
export const policiesOf = (length: fc.ArrayConstraints) =>
  fc
    .array(
      fc.oneof(
        { weight: 4, arbitrary: globalPolicy },
        { weight: 4, arbitrary: namespacedPolicy },
        { weight: 4, arbitrary: kubernetesPolicy },
        { weight: 4, arbitrary: clusterPolicy },
        { weight: 2, arbitrary: stagedPolicy },
      ),
      length,
    )
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

// Where the enforced ClusterNetworkPolicy goes beyond upstream's conversion: nodes as peers, named ports.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterNetworkPolicy } from '../cluster-network-policy.ts';
import type { KubernetesNode } from '../kubernetes.ts';
import { validateResource } from '../validate-resource.ts';
import { clusterPolicyToCalico } from './cluster-policy.ts';
import { enforcedClusterPolicy } from './enforced-cluster-policy.ts';

const node = (name: string, role: string, ...addresses: string[]): KubernetesNode => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { role } },
  status: {
    addresses: addresses.map((address) => ({
      type: address.includes('host') ? 'Hostname' : 'InternalIP',
      address,
    })),
  },
});
const NODES = [
  node('a', 'edge', '192.0.2.9', 'fd00::9', 'host-a'),
  node('b', 'edge', '192.0.2.1'),
  node('c', 'core', '192.0.2.3'),
];

type Egress = NonNullable<ClusterNetworkPolicy['spec']['egress']>;

function policy(...egress: Egress): ClusterNetworkPolicy {
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'p' },
    spec: { tier: 'Admin', priority: 1, subject: { namespaces: {} }, egress },
  };
}

const edge = { nodes: { matchLabels: { role: 'edge' } } };

test('nodes are their addresses', () => {
  const { policy: converted, problems } = enforcedClusterPolicy(
    policy({ action: 'Deny', to: [edge, { networks: ['10.0.0.0/8'] }] }),
    NODES,
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    converted?.spec.egress?.map(({ action, destination }) => [action, destination?.nets]),
    [
      ['Deny', ['192.0.2.1/32', '192.0.2.9/32', 'fd00::9/128']],
      ['Deny', ['10.0.0.0/8']],
    ],
  );
});

test('nodes that are not there are no peer, and no rule for everything', () => {
  const none = { nodes: { matchLabels: { role: 'absent' } } };
  const { policy: converted } = enforcedClusterPolicy(
    policy({ action: 'Deny', to: [none] }),
    NODES,
  );
  assert.equal(converted?.spec.egress, undefined);
});

test('a node selector that cannot be read fails closed', () => {
  const broken = { nodes: { matchLabels: { "it's": 'x' } } };
  for (const [action, rules] of [
    ['Accept', undefined],
    ['Deny', [{ action: 'Deny', source: {}, destination: {} }]],
  ] as const) {
    const { policy: converted, problems } = enforcedClusterPolicy(
      policy({ action, to: [broken] }),
      NODES,
    );
    assert.equal(problems.length, 1);
    assert.match(problems[0]?.path ?? '', /^spec\.egress\[0\]\.to\[0\]\.nodes\.matchLabels/);
    assert.deepEqual(converted?.spec.egress, rules);
  }
});

test('without knowledge of nodes the plain conversion says so', () => {
  const { problems } = clusterPolicyToCalico(policy({ action: 'Deny', to: [edge] }));
  assert.deepEqual(
    problems.map(({ path }) => path),
    ['spec.egress[0].to[0].nodes'],
  );
});

test('a named port is of every protocol that has ports', () => {
  const { policy: converted } = enforcedClusterPolicy(
    policy({
      action: 'Accept',
      to: [{ namespaces: {} }],
      protocols: [{ destinationNamedPort: 'dns' }, { udp: {} }],
    }),
    [],
  );
  assert.deepEqual(
    converted?.spec.egress?.map(({ protocol, destination }) => [protocol, destination?.ports]),
    [
      ['TCP', ['dns']],
      ['UDP', ['dns']],
      ['SCTP', ['dns']],
      ['UDP', undefined],
    ],
  );
});

test('validation accepts nodes for egress and not for ingress', () => {
  const good = policy({ action: 'Deny', to: [edge] });
  assert.deepEqual(validateResource(good).problems, []);
  const { egress: _, ...spec } = good.spec;
  const bad = { ...good, spec: { ...spec, ingress: [{ action: 'Deny', from: [edge] }] } };
  assert.match(validateResource(bad).problems[0]?.path ?? '', /^spec\.ingress\[0\]\.from\[0\]/);
});

// Kubernetes policies converted: they allow what Kubernetes says, and mistakes never open anything.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAddress, parsePrefix, prefixContains } from '#lib';
import { type Labels, parseSelector, prefixLabels } from '#selector';
import type { LabelSelector, PolicyPeer, PolicyPort } from '../kubernetes-network-policy.ts';
import type { KubernetesNetworkPolicy } from '../kubernetes-network-policy.ts';
import type { EntityRule, Port, Rule } from '../rule.ts';
import { kubernetesPolicyToCalico } from './kubernetes-policy.ts';

interface Party {
  namespace: string;
  labels: Labels;
  namespaceLabels: Labels;
  address: string;
  /** Whether it is a pod of the cluster. */
  pod: boolean;
}

interface Packet {
  from: Party;
  to: Party;
  protocol: string;
  port: number;
}

/** Every pod calls TCP port 80 so. */
const HTTP = 80;

// The twin: Kubernetes' own words, over the policy as written.

function selects(selector: LabelSelector, labels: Labels): boolean {
  const exact = Object.entries(selector.matchLabels ?? {}).every(([k, v]) => labels[k] === v);
  return (
    exact &&
    (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
      const value = labels[key];
      if (operator === 'Exists') return value !== undefined;
      if (operator === 'DoesNotExist') return value === undefined;
      const among = value !== undefined && values.includes(value);
      return operator === 'In' ? among : !among;
    })
  );
}

function peerMatches(peer: PolicyPeer, party: Party, namespace: string): boolean {
  if (peer.ipBlock) {
    const inside = (cidr: string): boolean => contains(cidr, party.address);
    return inside(peer.ipBlock.cidr) && !(peer.ipBlock.except ?? []).some(inside);
  }
  if (!party.pod) return false;
  if (!selects(peer.podSelector ?? {}, party.labels)) return false;
  return peer.namespaceSelector
    ? selects(peer.namespaceSelector, party.namespaceLabels)
    : party.namespace === namespace;
}

function portMatches({ protocol = 'TCP', port, endPort }: PolicyPort, packet: Packet): boolean {
  if (protocol !== packet.protocol) return false;
  if (port === undefined) return true;
  if (port === 'http') return packet.to.pod && packet.protocol === 'TCP' && packet.port === HTTP;
  return packet.port >= Number(port) && packet.port <= (endPort ?? Number(port));
}

function twinAllows(
  policy: KubernetesNetworkPolicy,
  direction: 'ingress' | 'egress',
  packet: Packet,
) {
  const { namespace = '' } = policy.metadata;
  const rules =
    direction === 'ingress'
      ? (policy.spec.ingress ?? []).map((rule) => ({ peers: rule.from, ports: rule.ports }))
      : (policy.spec.egress ?? []).map((rule) => ({ peers: rule.to, ports: rule.ports }));
  const other = direction === 'ingress' ? packet.from : packet.to;
  return rules.some(
    ({ peers = [], ports = [] }) =>
      (peers.length === 0 || peers.some((peer) => peerMatches(peer, other, namespace))) &&
      (ports.length === 0 || ports.some((port) => portMatches(port, packet))),
  );
}

// What Calico's rules mean (spec 02, 2.2), as far as the conversion uses them.

function contains(cidr: string, text: string): boolean {
  const prefix = parsePrefix(cidr);
  const address = parseAddress(text);
  return prefix !== undefined && address !== undefined && prefixContains(prefix, address);
}

function entityMatches(entity: EntityRule, party: Party, namespace: string): boolean {
  const { nets, notNets, selector, namespaceSelector } = entity;
  if (nets && !nets.some((net) => contains(net, party.address))) return false;
  if (notNets?.some((net) => contains(net, party.address))) return false;
  if (selector === undefined) return true;
  if (!party.pod || !parseSelector(selector).evaluate(endpointLabels(party))) return false;
  if (namespaceSelector === undefined) return party.namespace === namespace;
  const scoped = prefixLabels(parseSelector(namespaceSelector), 'pcns.');
  return scoped.evaluate(endpointLabels(party));
}

function endpointLabels({ labels, namespaceLabels }: Party): Labels {
  const inherited = Object.entries(namespaceLabels).map(([k, v]) => [`pcns.${k}`, v]);
  return { ...Object.fromEntries(inherited), ...labels, 'projectcalico.org/orchestrator': 'k8s' };
}

function calicoPortMatches(port: Port, packet: Packet): boolean {
  if (typeof port === 'number') return packet.port === port;
  if (port === 'http') return packet.to.pod && packet.protocol === 'TCP' && packet.port === HTTP;
  const [first, last] = port.split(':').map(Number);
  return packet.port >= (first ?? 0) && packet.port <= (last ?? 0);
}

function ruleAllows(rule: Rule, packet: Packet, namespace: string): boolean {
  const { source = {}, destination = {} } = rule;
  return (
    rule.action === 'Allow' &&
    (rule.protocol === undefined || rule.protocol === packet.protocol) &&
    (!destination.ports || destination.ports.some((port) => calicoPortMatches(port, packet))) &&
    entityMatches(source, packet.from, namespace) &&
    entityMatches(destination, packet.to, namespace)
  );
}

const labels = fc.dictionary(fc.constantFrom('a', 'b'), fc.constantFrom('x', 'y'), { maxKeys: 2 });
const party: fc.Arbitrary<Party> = fc.record({
  namespace: fc.constantFrom('one', 'two'),
  labels,
  namespaceLabels: labels,
  address: fc.constantFrom('10.0.0.1', '10.0.1.1', '192.0.2.1', '2001:db8::1'),
  pod: fc.boolean(),
});
const packet: fc.Arbitrary<Packet> = fc.record({
  from: party,
  to: party,
  protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
  port: fc.constantFrom(79, HTTP, 81, 90),
});

const selector: fc.Arbitrary<LabelSelector> = fc.record(
  {
    matchLabels: labels,
    matchExpressions: fc.array(
      fc.oneof(
        fc.record({
          key: fc.constantFrom('a', 'b'),
          operator: fc.constantFrom<'In' | 'NotIn'>('In', 'NotIn'),
          values: fc.uniqueArray(fc.constantFrom('x', 'y', ''), { minLength: 1 }),
        }),
        fc.record({
          key: fc.constantFrom('a', 'b'),
          operator: fc.constantFrom<'Exists' | 'DoesNotExist'>('Exists', 'DoesNotExist'),
        }),
      ),
      { maxLength: 2 },
    ),
  },
  { requiredKeys: [] },
);
const cidr = fc.constantFrom('10.0.0.0/8', '10.0.0.9/24', '0.0.0.0/0', '::/0', '2001:db8::/32');
const peer: fc.Arbitrary<PolicyPeer> = fc.oneof(
  fc.record({ podSelector: selector, namespaceSelector: selector }),
  fc.record({ podSelector: selector }),
  fc.record({ namespaceSelector: selector }),
  fc.record({
    ipBlock: fc.record(
      { cidr, except: fc.array(cidr, { maxLength: 2 }) },
      { requiredKeys: ['cidr'] },
    ),
  }),
);
const port: fc.Arbitrary<PolicyPort> = fc.oneof(
  fc.record({ protocol: fc.constantFrom('TCP', 'UDP', 'SCTP') }, { requiredKeys: [] }),
  fc.record(
    {
      protocol: fc.constantFrom('TCP', 'UDP'),
      port: fc.constantFrom<number | string>(79, 80, 'http'),
    },
    { requiredKeys: ['port'] },
  ),
  fc.constantFrom({ port: 79, endPort: 85 }, { port: 81, endPort: 90 }),
);
const peers = fc.array(peer, { maxLength: 3 });
const ports = fc.array(port, { maxLength: 3 });
const policy: fc.Arbitrary<KubernetesNetworkPolicy> = fc.record({
  apiVersion: fc.constant('networking.k8s.io/v1'),
  kind: fc.constant('NetworkPolicy'),
  metadata: fc.record({ name: fc.constant('p'), namespace: fc.constantFrom('one', 'two') }),
  spec: fc.record(
    {
      podSelector: selector,
      ingress: fc.array(fc.record({ from: peers, ports }, { requiredKeys: [] }), { maxLength: 3 }),
      egress: fc.array(fc.record({ to: peers, ports }, { requiredKeys: [] }), { maxLength: 3 }),
    },
    { requiredKeys: ['podSelector'] },
  ),
});

test('converted rules allow exactly what Kubernetes allows', () => {
  let allowed = 0;
  fc.assert(
    fc.property(policy, fc.array(packet, { minLength: 5, maxLength: 5 }), (source, packets) => {
      const converted = kubernetesPolicyToCalico(source);
      assert.deepEqual(converted.problems, []);
      for (const direction of ['ingress', 'egress'] as const) {
        for (const one of packets) {
          const rules = converted.policy.spec[direction] ?? [];
          const actual = rules.some((rule) =>
            ruleAllows(rule, one, source.metadata.namespace ?? ''),
          );
          assert.equal(actual, twinAllows(source, direction, one), JSON.stringify(one));
          if (actual) allowed++;
        }
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(allowed > 500, `only ${allowed} packets were allowed: the test says little`);
});

test('the converted selector selects the pods that Kubernetes selects', () => {
  fc.assert(
    fc.property(policy, party, (source, pod) => {
      const { spec } = kubernetesPolicyToCalico(source).policy;
      const actual = parseSelector(spec.selector ?? '').evaluate(endpointLabels(pod));
      assert.equal(actual, selects(source.spec.podSelector ?? {}, pod.labels));
    }),
  );
});

function convert(spec: KubernetesNetworkPolicy['spec']) {
  return kubernetesPolicyToCalico({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p', namespace: 'one' },
    spec,
  });
}

test('a mistake in a rule drops the rule and leaves the others', () => {
  const mistakes: { from?: PolicyPeer[]; ports?: PolicyPort[] }[] = [
    { from: [{}] },
    { from: [{ ipBlock: { cidr: '10.0.0.0' } }] },
    { from: [{ ipBlock: { cidr: 'all' } }] },
    { from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.0.0.0/33'] } }] },
    { from: [{ podSelector: { matchLabels: { a: "' || all() || a == '" } } }] },
    { from: [{ podSelector: { matchLabels: { 'a) || has(b': 'x' } } }] },
    { from: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'In', values: [] }] } }] },
    { ports: [{ port: 0 }] },
    { ports: [{ port: 65_536 }] },
    { ports: [{ port: 80, endPort: 79 }] },
    { ports: [{ port: 'http', endPort: 90 }] },
    { ports: [{ endPort: 90 }] },
    { ports: [{ port: '1:65535' }] },
    { ports: [{ protocol: 'tcp', port: 80 }] },
  ];
  for (const mistake of mistakes) {
    const { policy: converted, problems } = convert({
      ingress: [mistake, { ports: [{ port: 1 }] }],
    });
    assert.ok(problems.length > 0, JSON.stringify(mistake));
    assert.match(problems[0]?.path ?? '', /^spec\.ingress\[0\]\./);
    assert.deepEqual(
      converted.spec.ingress?.map(({ destination }) => destination?.ports),
      [[1]],
    );
  }
});

test('a mistake in the pod selector isolates the whole namespace', () => {
  const { policy: converted, problems } = convert({
    podSelector: { matchLabels: { a: 'x y' } },
    ingress: [{}],
  });
  assert.equal(problems.length, 1);
  assert.equal(converted.spec.selector, "projectcalico.org/orchestrator == 'k8s'");
  assert.equal(converted.spec.ingress, undefined);
  assert.deepEqual(converted.spec.types, ['Ingress']);
});

test('types as Kubernetes defaults them', () => {
  assert.deepEqual(convert({}).policy.spec.types, ['Ingress']);
  assert.deepEqual(convert({ egress: [] }).policy.spec.types, ['Ingress']);
  assert.deepEqual(convert({ egress: [{}], policyTypes: [] }).policy.spec.types, [
    'Ingress',
    'Egress',
  ]);
  assert.deepEqual(convert({ egress: [{}], policyTypes: ['Egress'] }).policy.spec.types, [
    'Egress',
  ]);
});

// Host endpoints by stage, staged policies, and what endpoints may do beyond policy (SPEC.md: CG32 to CG35).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '#api';
import { calico, graphOf, namespace, pod, resource, shop, update } from './cluster-fixture.ts';
import type { EndpointTier } from './dataplane-update.ts';

const allow = [{ action: 'Allow' }];
const both = { selector: 'role == "edge"', ingress: allow, egress: allow };
const host = (name: string, spec: object, labels = { role: 'edge' }) =>
  calico('HostEndpoint', name, { node: 'one', ...spec }, labels);
const global = (name: string, spec: object) => calico('GlobalNetworkPolicy', name, spec);
const names = (tiers: readonly EndpointTier[] | undefined) =>
  tiers?.map(({ defaultAction, policies }) => [
    defaultAction,
    ...policies.map((key) => key.split('/').at(-1)),
  ]);

const STAGES = [
  global('plain', both),
  global('forward', { ...both, applyOnForward: true }),
  global('raw', { ...both, applyOnForward: true, doNotTrack: true }),
  global('dnat', { selector: both.selector, ingress: allow, applyOnForward: true, preDNAT: true }),
];

test('[CG32] a host endpoint has its policies by stage', () => {
  const graph = graphOf(
    host('eth0', { interfaceName: 'eth0', expectedIPs: ['192.0.2.1', 'fd00::1'] }),
    host('elsewhere', { node: 'two', interfaceName: 'eth0' }),
    ...STAGES,
  );
  const { hostEndpoints, policies } = graph.state();
  assert.deepEqual([...hostEndpoints.keys()], ['eth0']);
  const eth0 = hostEndpoints.get('eth0');
  assert.equal(eth0?.interfaceName, 'eth0');
  assert.deepEqual(eth0?.addresses, ['192.0.2.1', 'fd00::1']);
  for (const direction of ['ingress', 'egress'] as const) {
    assert.deepEqual(names(eth0?.untracked[direction]), [['Pass', 'raw']]);
    assert.deepEqual(names(eth0?.forward[direction]), [['Deny', 'forward']]);
    assert.deepEqual(names(eth0?.normal[direction]), [['Deny', 'forward', 'plain']]);
  }
  assert.deepEqual(names(eth0?.preDnat), [['Pass', 'dnat']]);
  assert.deepEqual(policies.get('GlobalNetworkPolicy//dnat')?.egress, []);
  assert.equal(policies.size, 4);
});

test('[CG32] one for all interfaces has no untracked stage, one by address no name', () => {
  const graph = graphOf(
    host('all', { interfaceName: '*' }),
    host('by-address', { expectedIPs: ['192.0.2.1'], profiles: ['projectcalico-default-allow'] }),
    ...STAGES,
  );
  const { hostEndpoints, policies } = graph.state();
  const all = hostEndpoints.get('all');
  assert.deepEqual(all?.untracked, { ingress: [], egress: [] });
  assert.deepEqual(names(all?.preDnat), [['Pass', 'dnat']]);
  assert.equal(hostEndpoints.get('by-address')?.interfaceName, null);
  const profile = policies.get('Profile//projectcalico-default-allow');
  assert.deepEqual(
    [profile?.ingress, profile?.egress].map((rules) => rules?.map(({ action }) => action)),
    [['Allow'], ['Allow']],
    'the built-in profile needs no resource',
  );
});

test('[CG32] what only a host on another node needs is not here', () => {
  const graph = graphOf(host('eth0', { node: 'two', interfaceName: 'eth0' }), ...STAGES);
  assert.equal(graph.state().policies.size, 0);
  graph.onUpdates([update(host('eth0', { interfaceName: 'eth0' }))]);
  assert.equal(graph.state().policies.size, 4);
  graph.onUpdates([update(host('eth0', { interfaceName: 'eth0' }, { role: 'none' }))]);
  assert.equal(graph.state().policies.size, 0);
});

const tiersOf = (...resources: readonly Resource[]) =>
  names(
    shop(...resources)
      .state()
      .endpoints.get('shop/web')?.ingress,
  );
const staged = (name: string, spec: object) =>
  calico('StagedNetworkPolicy', `shop/${name}`, { ingress: [{ action: 'Deny' }], ...spec });

test('[CG34] staged policies stand where they would be enforced, and decide nothing', () => {
  const enforced = calico('NetworkPolicy', 'shop/p', { order: 2, ingress: allow });
  assert.deepEqual(tiersOf(enforced, staged('p', { order: 1 }), staged('z', { order: 3 })), [
    ['Deny', 'p', 'p', 'z'],
  ]);
  const alone = shop(staged('p', {}));
  assert.deepEqual(names(alone.state().endpoints.get('shop/web')?.ingress), [['Pass', 'p']]);
  const policy = alone.state().policies.get('StagedNetworkPolicy/shop/p');
  assert.equal(policy?.staged, true);
  assert.deepEqual(
    policy?.ingress.map(({ action }) => action),
    ['Deny'],
  );
  for (const stagedAction of ['Delete', 'Learn', 'Ignore']) {
    assert.deepEqual(tiersOf(enforced, staged('p', { stagedAction })), [['Deny', 'p']]);
  }
  assert.deepEqual(tiersOf(staged('p', { stagedAction: 'Set' })), [['Pass', 'p']]);
});

test('[CG34] staged Kubernetes and global policies too', () => {
  const spec = { podSelector: {}, policyTypes: ['Ingress'], ingress: [{}] };
  const graph = shop(
    calico('StagedKubernetesNetworkPolicy', 'shop/k', spec),
    calico('StagedGlobalNetworkPolicy', 'g', { ingress: allow }),
    resource('networking.k8s.io/v1', 'NetworkPolicy', 'shop/k', { spec }),
  );
  const [tier] = graph.state().endpoints.get('shop/web')?.ingress ?? [];
  assert.equal(tier?.defaultAction, 'Deny');
  assert.deepEqual(tier?.policies, [
    'KubernetesNetworkPolicy/shop/k',
    'StagedKubernetesNetworkPolicy/shop/k',
    'StagedGlobalNetworkPolicy//g',
  ]);
});

test('[CG35] a policy needed on every node is in the state without an endpoint', () => {
  const hinted = (performanceHints?: readonly string[]) =>
    calico('NetworkPolicy', 'data/p', {
      ingress: [{ action: 'Allow', source: { selector: 'app == "web"' } }],
      ...(performanceHints && { performanceHints }),
    });
  const graph = graphOf(hinted(['AssumeNeededOnEveryNode']));
  assert.deepEqual([...graph.state().policies.keys()], ['NetworkPolicy/data/p']);
  assert.equal(graph.state().ipSets.size, 1);
  graph.onUpdates([update(hinted())]);
  assert.equal(graph.state().policies.size, 0);
  assert.equal(graph.state().ipSets.size, 0);
});

test('[CG33] more sources and addresses only where the configuration allows them', () => {
  const web = pod('shop/web', '10.0.0.1');
  const annotations = {
    'cni.projectcalico.org/allowedSourcePrefixes': '["198.51.100.7/24"]',
    'cni.projectcalico.org/floatingIPs': '["203.0.113.7"]',
  };
  const annotated = { ...web, metadata: { ...web.metadata, annotations } } as Resource;
  const graph = graphOf(namespace('shop'), annotated);
  const more = () => {
    const endpoint = graph.state().endpoints.get('shop/web');
    return [endpoint?.allowedSources, endpoint?.floatingAddresses];
  };
  assert.deepEqual(more(), [[], []]);
  const spec = { workloadSourceSpoofing: 'Any', floatingIPs: 'Enabled' };
  graph.onUpdates([update(calico('FelixConfiguration', 'default', spec))]);
  const floating = [{ external: '203.0.113.7', internal: '10.0.0.1' }];
  assert.deepEqual(more(), [['198.51.100.0/24'], floating]);
});

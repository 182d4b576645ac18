// Which host endpoint covers which address of a node whose interfaces are known, from either kind of Node.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostEndpoint, Resource } from '#api';
import { ask, felix, globalPolicy, hostEndpoint, pod, resource, rule } from './sample-cluster.ts';
import { verdict } from './sample-cluster.ts';
import { buildWorld } from './world.ts';

const OUTSIDE = '198.51.100.7';
const OPEN = ['projectcalico-default-allow'];
const INTERFACES = [
  { name: 'eth1', addresses: ['203.0.113.1/24'] },
  { name: 'eth0', addresses: ['192.0.2.1', '2001:db8::1'] },
  { name: 'eth2', addresses: ['203.0.113.129'] },
  { name: 'down0' },
];

function calicoNode(interfaces: readonly object[], name = 'one'): Resource {
  const spec = { bgp: { ipv4Address: '192.0.2.1/24' }, interfaces };
  return resource('projectcalico.org/v3', 'Node', { name }, { spec });
}

function kubernetesNode(annotation: string): Resource {
  const annotations = { 'projectcalico.org/Interfaces': annotation };
  const addresses = [{ type: 'InternalIP', address: '192.0.2.1' }];
  return resource('v1', 'Node', { name: 'one', annotations }, { status: { addresses } });
}

const NODES = {
  'Calico Node': [calicoNode(INTERFACES)],
  'Kubernetes Node': [kubernetesNode(JSON.stringify(INTERFACES))],
  'both, each with a part': [
    calicoNode(INTERFACES.slice(0, 1)),
    kubernetesNode(JSON.stringify(INTERFACES.slice(1))),
  ],
};
const WEB = pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' } });

function endpoint(name: string, more: Partial<HostEndpoint['spec']>): Resource {
  return hostEndpoint(name, { node: 'one', ...more }, { of: name });
}

/** A policy that denies everything at the host endpoint of that name. */
function closed(of: string, spec: object = {}): Resource {
  const rules = { ingress: [rule('Deny')], egress: [rule('Deny')] };
  return globalPolicy(`close-${of}`, { selector: `of == '${of}'`, ...rules, ...spec });
}

const NAMED = ['eth0', 'eth1'].map((interfaceName) =>
  endpoint(interfaceName, { interfaceName, profiles: OPEN }),
);
const WILDCARD = endpoint('all', { interfaceName: '*', profiles: OPEN });

for (const [kind, nodes] of Object.entries(NODES)) {
  const cluster = [...nodes, WEB, ...NAMED, WILDCARD];

  test(`${kind}: into the node by the endpoint of the interface that has the address`, () => {
    const into = (to: string, of: string) => verdict([...cluster, closed(of)], OUTSIDE, to);
    assert.equal(into('192.0.2.1', 'eth0'), 'deny ingress');
    assert.equal(into('node:one', 'eth0'), 'deny ingress');
    assert.equal(into('node:one', 'eth1'), 'allow');
    assert.equal(into('203.0.113.1', 'eth1'), 'deny ingress');
    assert.equal(into('203.0.113.1', 'eth0'), 'allow');
    assert.equal(into('203.0.113.1', 'all'), 'allow');
    assert.equal(into('203.0.113.129', 'all'), 'deny ingress');
    assert.equal(into('203.0.113.129', 'eth1'), 'allow');
    const six = verdict([...cluster, closed('eth0')], '2001:db8:9::7', '2001:db8::1');
    assert.equal(six, 'deny ingress');
  });

  test(`${kind}: out of the node by the endpoint of the interface that has the source`, () => {
    const out = (from: string, of: string) => verdict([...cluster, closed(of)], from, OUTSIDE);
    assert.equal(out('node:one', 'eth0'), 'deny egress');
    assert.equal(out('node:one', 'eth1'), 'allow');
    assert.equal(out('203.0.113.1', 'eth1'), 'deny egress');
    assert.equal(out('203.0.113.1', 'eth0'), 'allow');
    assert.equal(out('203.0.113.129', 'all'), 'deny egress');
  });

  test(`${kind}: what is forwarded passes the interface of the first address`, () => {
    const forwarded = (of: string) => [...cluster, closed(of, { applyOnForward: true })];
    assert.equal(verdict(forwarded('eth0'), OUTSIDE, 'shop/web'), 'deny ingress');
    assert.equal(verdict(forwarded('eth1'), OUTSIDE, 'shop/web'), 'allow');
    assert.equal(verdict(forwarded('eth0'), 'shop/web', OUTSIDE), 'deny egress');
    assert.equal(verdict(forwarded('eth1'), 'shop/web', OUTSIDE), 'allow');
  });
}

test('[PE30] an endpoint without interface name is for the interface that has an address that it expects', () => {
  const byAddress = endpoint('by-address', { expectedIPs: ['192.0.2.1'], profiles: OPEN });
  const cluster = [calicoNode(INTERFACES), byAddress, WILDCARD, closed('by-address')];
  assert.equal(verdict(cluster, OUTSIDE, '192.0.2.1'), 'deny ingress');
  assert.equal(verdict(cluster, '2001:db8:9::7', '2001:db8::1'), 'deny ingress');
  assert.equal(verdict(cluster, OUTSIDE, '203.0.113.1'), 'allow');
});

test('[PE30] the addresses of excluded interfaces place no endpoint', () => {
  const twice = [{ name: 'kube-ipvs0', addresses: ['192.0.2.1'] }, ...INTERFACES];
  const byAddress = endpoint('by-address', { expectedIPs: ['192.0.2.1'], profiles: OPEN });
  const into = (...more: Resource[]) =>
    verdict(
      [calicoNode(twice), byAddress, WILDCARD, closed('by-address'), ...more],
      '2001:db8:9::7',
      '2001:db8::1',
    );
  assert.equal(into(), 'deny ingress');
  assert.equal(into(felix({ interfaceExclude: 'docker0' })), 'allow', 'it is on kube-ipvs0 alone');
  assert.equal(into(felix({ interfaceExclude: 'docker0,/^kube/' })), 'deny ingress');
});

test('[PE33] of one that names the interface and one that expects its address the first by name governs it', () => {
  const both = (byName: string, byAddress: string) => [
    calicoNode(INTERFACES),
    endpoint(byName, { interfaceName: 'eth0', profiles: OPEN }),
    endpoint(byAddress, { expectedIPs: ['192.0.2.1'], profiles: OPEN }),
  ];
  for (const at of ['192.0.2.1', 'node:one']) {
    assert.equal(verdict([...both('a', 'b'), closed('a')], OUTSIDE, at), 'deny ingress');
    assert.equal(verdict([...both('a', 'b'), closed('b')], OUTSIDE, at), 'allow');
    assert.equal(verdict([...both('b', 'a'), closed('a')], OUTSIDE, at), 'deny ingress');
    assert.equal(verdict([...both('b', 'a'), closed('b')], OUTSIDE, at), 'allow');
  }
});

test('[PE34] where the interfaces are not known a half tells who else may be asked, and says otherwise', () => {
  const untold = calicoNode([]);
  const eth0 = endpoint('a', { interfaceName: 'eth0', profiles: OPEN });
  const byAddress = endpoint('b', { expectedIPs: ['192.0.2.1'], profiles: OPEN });
  const of = (...cluster: Resource[]) => ask(cluster, OUTSIDE, '192.0.2.1').ingress;
  assert.deepEqual(of(untold, eth0, byAddress, closed('a')), {
    verdict: 'allow',
    tier: null,
    policy: null,
    rule: -1,
    doubt: {
      node: 'one',
      hostEndpoint: 'HostEndpoint b',
      otherwise: [
        {
          verdict: 'deny',
          tier: 'default',
          policy: { kind: 'GlobalNetworkPolicy', namespace: null, name: 'close-a' },
          rule: 0,
          hostEndpoint: 'HostEndpoint a',
        },
      ],
    },
  });
  const same = of(untold, eth0, byAddress);
  assert.equal(same.doubt, undefined, 'both would say the same');
  const first = endpoint('b', { interfaceName: 'eth0' });
  const last = endpoint('a', { expectedIPs: ['192.0.2.1'] });
  const certain = of(untold, first, last, closed('b'));
  assert.equal(certain.doubt, undefined, 'whatever has the address, the first by name is for it');
  const told = of(calicoNode(INTERFACES), eth0, byAddress, closed('a'));
  assert.equal(told.verdict, 'deny');
  assert.equal(told.doubt, undefined);
});

test('[PE34] one that names an interface may be for another; one of several addresses is on one of them', () => {
  const untold = calicoNode([]);
  const others = (...cluster: Resource[]) => {
    const { doubt } = ask([untold, ...cluster], OUTSIDE, '192.0.2.1').ingress;
    const all = doubt ? [doubt, ...doubt.otherwise] : [];
    return all.map((it) => it.hostEndpoint?.replace('HostEndpoint ', '') ?? 'nobody').join(' ');
  };
  const eth0 = endpoint('eth0', { interfaceName: 'eth0' });
  assert.equal(others(eth0, closed('eth0')), 'eth0 nobody');
  assert.equal(others(eth0, WILDCARD, closed('eth0')), 'eth0 all');
  const several = endpoint('several', { expectedIPs: ['192.0.2.1', '203.0.113.1'] });
  assert.equal(others(several, eth0, closed('several')), 'several eth0 nobody');
  const expecting = endpoint('expecting', {
    interfaceName: 'eth1',
    expectedIPs: ['192.0.2.1', '2001:db8::1'],
  });
  assert.equal(others(eth0, expecting, closed('expecting')), '');
  const elsewhere = endpoint('elsewhere', { expectedIPs: ['203.0.113.1'] });
  assert.equal(others(elsewhere, closed('elsewhere')), '');
});

test('[PE30] an address of no known interface: by expectedIPs, then an interface of which nothing is known', () => {
  const nodes = [calicoNode([{ name: 'eth1', addresses: ['203.0.113.1'] }])];
  const [eth0, eth1] = NAMED;
  assert.ok(eth0 && eth1);
  const into = (endpoints: readonly Resource[], of: string) =>
    verdict([...nodes, ...endpoints, WILDCARD, closed(of)], OUTSIDE, '192.0.2.1');
  assert.equal(into([eth0, eth1], 'eth0'), 'deny ingress');
  assert.equal(into([eth1], 'eth1'), 'allow');
  assert.equal(into([eth1], 'all'), 'deny ingress');
  const expecting = endpoint('expecting', {
    interfaceName: 'eth1',
    expectedIPs: ['192.0.2.1'],
    profiles: OPEN,
  });
  assert.equal(into([expecting, eth0], 'expecting'), 'deny ingress');
});

test('a node without an endpoint for the interface is open there, and says so', () => {
  const [eth0] = NAMED;
  assert.ok(eth0);
  const cluster = [calicoNode(INTERFACES), eth0, closed('eth0')];
  const { ingress, steps } = ask(cluster, OUTSIDE, '203.0.113.1');
  assert.equal(ingress.verdict, 'allow');
  assert.equal(
    steps.at(-1)?.reason,
    'node one has no host endpoint for the interface of this address: no ingress policy',
  );
});

test('addresses of interfaces are the node by name; those of links, loopbacks and other nodes too are not', () => {
  const more = [{ name: 'lo', addresses: ['127.0.0.1', 'fe80::1', '169.254.1.1'] }];
  const bridge = { name: 'docker0', addresses: ['172.17.0.1'] };
  const world = buildWorld([
    calicoNode([...INTERFACES, ...more, bridge]),
    resource('projectcalico.org/v3', 'Node', { name: 'two' }, { spec: { interfaces: [bridge] } }),
  ]);
  const ipv4 = (world.hosts.get('one')?.addresses ?? []).filter(({ family }) => family === 4);
  assert.deepEqual(
    ipv4.map(({ bits }) => bits),
    [0xc0000201n, 0xcb007101n, 0xcb007181n],
  );
  assert.equal(world.hosts.get('two')?.assumed, true);
});

test('an annotation that cannot be read is a problem to report, and no more', () => {
  for (const text of ['eth0', '{}', '["eth0"]']) {
    const { problems, hosts } = buildWorld([kubernetesNode(text)]);
    assert.equal(problems.length, 1);
    assert.equal(problems[0]?.path, 'metadata.annotations[projectcalico.org/Interfaces]');
    assert.deepEqual(hosts.get('one')?.interfaces, []);
  }
});

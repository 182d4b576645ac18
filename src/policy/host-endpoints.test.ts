// Host endpoints (spec 10; spec 02, 2.5): stages, failsafe ports, named and `*`, forwarded traffic.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GlobalNetworkPolicy, Resource } from '#api';
import { ask, felix, globalPolicy, hostEndpoint, node, pod } from './sample-cluster.ts';
import { resource, rule, verdict } from './sample-cluster.ts';

const CLUSTER: readonly Resource[] = [
  node('one', '192.0.2.1'),
  node('two', '192.0.2.2'),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' } }),
  pod('shop/cart', ['10.0.0.2'], { labels: { app: 'cart' } }),
  pod('shop/db', ['10.0.1.1'], { labels: { app: 'db' }, node: 'two' }),
];
const OUTSIDE = '198.51.100.7';
const HOST = { role: 'host' };
const OPEN = ['projectcalico-default-allow'];

function named(profiles: string[] = []): Resource {
  const spec = { node: 'one', interfaceName: 'eth0', expectedIPs: ['192.0.2.1'], profiles };
  return hostEndpoint('one-eth0', spec, HOST);
}

function wildcard(profiles: string[] = []): Resource {
  return hostEndpoint('one-all', { node: 'one', interfaceName: '*', profiles }, HOST);
}

function hostPolicy(name: string, spec: GlobalNetworkPolicy['spec']): Resource {
  return globalPolicy(name, { selector: "role == 'host'", ...spec });
}

/** A policy that denies everything in one stage. */
function denyAll(stage: GlobalNetworkPolicy['spec'], direction: 'ingress' | 'egress'): Resource {
  return hostPolicy('deny', { ...stage, [direction]: [{ action: 'Deny' }] });
}

const FORWARD = { applyOnForward: true };
const PRE_DNAT = { preDNAT: true, applyOnForward: true };
const UNTRACKED = { doNotTrack: true, applyOnForward: true };

test('[PE25] a host endpoint without policy or profile denies but for failsafe ports; forwarding goes on', () => {
  for (const endpoint of [named(), wildcard()]) {
    const all = [...CLUSTER, endpoint];
    assert.equal(verdict(all, OUTSIDE, 'node:one'), 'deny ingress');
    assert.equal(verdict(all, OUTSIDE, 'node:one', { port: 22 }), 'allow');
    assert.equal(verdict(all, OUTSIDE, 'node:one', { port: 22, protocol: 17 }), 'deny ingress');
    assert.equal(verdict(all, 'node:one', OUTSIDE), 'deny egress');
    assert.equal(verdict(all, 'node:one', OUTSIDE, { port: 53, protocol: 17 }), 'allow');
    assert.equal(verdict(all, 'node:one', 'node:two', { port: 6443 }), 'allow');
    assert.equal(verdict(all, OUTSIDE, 'shop/web'), 'allow');
    assert.equal(verdict(all, 'shop/web', OUTSIDE), 'allow');
    assert.equal(verdict(all, 'shop/web', 'node:one'), 'allow');
    assert.equal(verdict(all, 'node:one', 'shop/web'), 'allow');
    assert.equal(verdict(all, OUTSIDE, 'node:two'), 'allow');
  }
});

test('profiles of a host endpoint: default-allow opens it, a missing one denies', () => {
  assert.equal(verdict([...CLUSTER, named(OPEN)], OUTSIDE, 'node:one'), 'allow');
  assert.equal(verdict([...CLUSTER, wildcard(OPEN)], 'node:one', OUTSIDE), 'allow');
  assert.equal(
    verdict([...CLUSTER, named(['gone', ...OPEN])], OUTSIDE, 'node:one'),
    'deny ingress',
  );
});

test('labels of profiles: the first named wins over the later, its own over both', () => {
  const profile = (name: string, labelsToApply: Record<string, string>) =>
    resource(
      'projectcalico.org/v3',
      'Profile',
      { name },
      {
        spec: { labelsToApply, ingress: [{ action: 'Allow' }] },
      },
    );
  const profiles = [
    profile('a', { zone: 'a', role: 'other' }),
    profile('b', { zone: 'b', site: 'b' }),
  ];
  const judge = (selector: string) => {
    const policy = globalPolicy('p', { selector, ingress: [rule('Deny')] });
    return verdict([...CLUSTER, ...profiles, named(['a', 'b']), policy], OUTSIDE, 'node:one');
  };
  assert.equal(judge("zone == 'a'"), 'deny ingress');
  assert.equal(judge("zone == 'b'"), 'allow');
  assert.equal(judge("site == 'b'"), 'deny ingress');
  assert.equal(judge("role == 'host'"), 'deny ingress');
});

test('[PE27] failsafe ports are configurable, by network too, and an empty list switches them off', () => {
  const ports = [{ protocol: 'tcp', port: 2222, net: '198.51.100.0/24' }];
  const own = [...CLUSTER, named(), felix({ failsafeInboundHostPorts: ports })];
  assert.equal(verdict(own, OUTSIDE, 'node:one', { port: 2222 }), 'allow');
  assert.equal(verdict(own, '203.0.113.1', 'node:one', { port: 2222 }), 'deny ingress');
  assert.equal(verdict(own, OUTSIDE, 'node:one', { port: 22 }), 'deny ingress');
  const out = [...CLUSTER, named(), felix({ failsafeOutboundHostPorts: ports })];
  assert.equal(verdict(out, 'node:one', OUTSIDE, { port: 2222 }), 'allow');
  assert.equal(verdict(out, 'node:one', '203.0.113.1', { port: 2222 }), 'deny egress');
  const none = [...CLUSTER, named(), felix({ failsafeInboundHostPorts: [] })];
  assert.equal(verdict(none, OUTSIDE, 'node:one', { port: 22 }), 'deny ingress');
});

test('[PE27] what finds neighbours and routers over IPv6 is allowed as a failsafe port is', () => {
  const six = [...CLUSTER, node('six', 'fd00:30::1')];
  const closed = hostEndpoint('six-eth0', { node: 'six', interfaceName: 'eth0' }, HOST);
  const none = felix({ failsafeInboundHostPorts: [], failsafeOutboundHostPorts: [] });
  const all = [...six, closed, none];
  const icmpv6 = (icmpType: number) => ({ protocol: 58, icmpType, icmpCode: 0 });
  assert.equal(verdict(all, 'fd00:30::9', 'node:six', icmpv6(135)), 'allow');
  assert.equal(verdict(all, 'node:six', 'fd00:30::9', icmpv6(136)), 'allow');
  assert.equal(verdict(all, 'fd00:30::9', 'node:six', icmpv6(128)), 'deny ingress');
});

test('[PE28] normal policy is for the host itself, not for what it forwards', () => {
  const all = [...CLUSTER, named(OPEN), denyAll({}, 'ingress')];
  assert.equal(verdict(all, OUTSIDE, 'node:one'), 'deny ingress');
  assert.equal(verdict(all, OUTSIDE, 'node:one', { port: 22 }), 'allow');
  assert.equal(verdict(all, OUTSIDE, 'shop/web'), 'allow');
  const out = [...CLUSTER, named(OPEN), denyAll({}, 'egress')];
  assert.equal(verdict(out, 'node:one', OUTSIDE), 'deny egress');
  assert.equal(verdict(out, 'shop/web', OUTSIDE), 'allow');
});

test('[PE28] applyOnForward: in by ingress, out by egress; a failsafe port spares nothing here', () => {
  const into = [...CLUSTER, named(OPEN), denyAll(FORWARD, 'ingress')];
  assert.equal(verdict(into, OUTSIDE, 'shop/web'), 'deny ingress');
  assert.equal(verdict(into, OUTSIDE, 'shop/web', { port: 22 }), 'deny ingress');
  assert.equal(verdict(into, 'shop/db', 'shop/web'), 'deny ingress');
  assert.equal(verdict(into, 'shop/cart', 'shop/web'), 'allow');
  assert.equal(verdict(into, 'shop/web', OUTSIDE), 'allow');
  const out = [...CLUSTER, named(OPEN), denyAll(FORWARD, 'egress')];
  assert.equal(verdict(out, 'shop/web', OUTSIDE), 'deny egress');
  assert.equal(verdict(out, 'shop/web', 'shop/db'), 'deny egress');
  assert.equal(verdict(out, 'shop/web', 'shop/cart'), 'allow');
  assert.equal(verdict(out, 'shop/web', 'node:one'), 'allow');
});

test('[PE28] what no forward policy decides goes on; the default action of a tier does decide', () => {
  const pass = hostPolicy('p', { ...FORWARD, ingress: [rule('Pass')] });
  assert.equal(verdict([...CLUSTER, named(), pass], OUTSIDE, 'shop/web'), 'allow');
  const noMatch = hostPolicy('p', { ...FORWARD, ingress: [{ action: 'Allow', protocol: 'UDP' }] });
  assert.equal(verdict([...CLUSTER, named(), noMatch], OUTSIDE, 'shop/web'), 'deny ingress');
});

test('[PE29] a * host endpoint sees what pods send, on pre-DNAT and forward ingress, not what they get', () => {
  const into = [...CLUSTER, wildcard(OPEN), denyAll(FORWARD, 'ingress')];
  assert.equal(verdict(into, 'shop/web', 'shop/cart'), 'deny egress');
  assert.equal(verdict(into, 'shop/web', 'node:one'), 'allow');
  assert.equal(verdict(into, OUTSIDE, 'shop/web'), 'deny ingress');
  const preDnat = [...CLUSTER, wildcard(OPEN), denyAll(PRE_DNAT, 'ingress')];
  assert.equal(verdict(preDnat, 'shop/web', 'shop/cart'), 'deny egress');
  assert.equal(verdict(preDnat, 'shop/web', 'node:one'), 'deny egress');
  const out = [...CLUSTER, wildcard(OPEN), denyAll(FORWARD, 'egress')];
  assert.equal(verdict(out, OUTSIDE, 'shop/web'), 'allow');
  assert.equal(verdict(out, 'shop/web', 'shop/cart'), 'allow');
  assert.equal(verdict(out, 'shop/web', OUTSIDE), 'deny egress');
});

test('[PE26] [PE27] pre-DNAT: all that enters, no default drop, failsafe ports spared, an Allow skips the rest', () => {
  const deny = [...CLUSTER, named(OPEN), denyAll(PRE_DNAT, 'ingress')];
  assert.equal(verdict(deny, OUTSIDE, 'node:one'), 'deny ingress');
  assert.equal(verdict(deny, OUTSIDE, 'shop/web'), 'deny ingress');
  assert.equal(verdict(deny, OUTSIDE, 'node:one', { port: 22 }), 'allow');
  assert.equal(verdict(deny, OUTSIDE, 'shop/web', { port: 22 }), 'allow');
  const udp = hostPolicy('p', { ...PRE_DNAT, ingress: [{ action: 'Allow', protocol: 'UDP' }] });
  assert.equal(verdict([...CLUSTER, named(OPEN), udp], OUTSIDE, 'node:one'), 'allow');
  const allow = hostPolicy('allow', { ...PRE_DNAT, ingress: [rule('Allow')] });
  const skips = [...CLUSTER, named(), allow, denyAll(FORWARD, 'ingress')];
  assert.deepEqual(ask(skips, OUTSIDE, 'node:one').ingress.policy?.name, 'allow');
  assert.equal(verdict(skips, OUTSIDE, 'node:one'), 'allow');
  assert.equal(verdict(skips, OUTSIDE, 'shop/web'), 'allow');
  const guarded = [...skips, globalPolicy('w', { selector: "app == 'web'" })];
  assert.equal(verdict(guarded, OUTSIDE, 'shop/web'), 'deny ingress');
});

test('[PE26] [PE29] untracked comes first, both ways, skips what is later, and * has none', () => {
  const deny = [...CLUSTER, named(OPEN), denyAll(UNTRACKED, 'ingress')];
  assert.equal(verdict(deny, OUTSIDE, 'node:one'), 'deny ingress');
  assert.equal(verdict(deny, OUTSIDE, 'shop/web'), 'deny ingress');
  assert.equal(verdict(deny, OUTSIDE, 'shop/web', { port: 22 }), 'allow');
  assert.equal(
    verdict([...CLUSTER, wildcard(OPEN), denyAll(UNTRACKED, 'ingress')], OUTSIDE, 'node:one'),
    'allow',
  );
  const out = [...CLUSTER, named(OPEN), denyAll(UNTRACKED, 'egress')];
  assert.equal(verdict(out, 'node:one', OUTSIDE), 'deny egress');
  assert.equal(verdict(out, 'shop/web', OUTSIDE), 'allow');
  const allow = hostPolicy('allow', { ...UNTRACKED, ingress: [rule('Allow')] });
  const preDnat = hostPolicy('pre', { ...PRE_DNAT, ingress: [rule('Deny')] });
  assert.equal(verdict([...CLUSTER, named(), allow, preDnat], OUTSIDE, 'node:one'), 'allow');
});

test('[PE27] untracked policy spares what may be the answer of a failsafe port, of its networks alone', () => {
  const outbound = [{ protocol: 'TCP', port: 6443, net: '198.51.100.0/24' }];
  const settings = felix({ failsafeOutboundHostPorts: outbound });
  const world = [...CLUSTER, named(OPEN), settings, denyAll(UNTRACKED, 'ingress')];
  const from = (sourcePort: number, address = OUTSIDE) =>
    verdict(world, address, 'node:one', { sourcePort, port: 40_000 });
  assert.equal(from(6443), 'allow');
  assert.equal(from(6444), 'deny ingress');
  assert.equal(from(6443, '203.0.113.1'), 'deny ingress');
  const out = [...CLUSTER, named(OPEN), denyAll(UNTRACKED, 'egress')];
  assert.equal(verdict(out, 'node:one', OUTSIDE, { sourcePort: 22, port: 40_000 }), 'allow');
  const preDnat = [...CLUSTER, named(OPEN), settings, denyAll(PRE_DNAT, 'ingress')];
  assert.equal(
    verdict(preDnat, OUTSIDE, 'node:one', { sourcePort: 6443, port: 40_000 }),
    'deny ingress',
    'later stages know what is an answer',
  );
});

test('[PE29] a named host endpoint goes before *, and one that expects another address is another interface', () => {
  const open = [...CLUSTER, named(OPEN), wildcard()];
  assert.equal(verdict(open, OUTSIDE, 'node:one'), 'allow');
  const other = hostEndpoint('other', {
    node: 'one',
    interfaceName: 'eth1',
    expectedIPs: ['192.0.2.99'],
  });
  assert.equal(verdict([...CLUSTER, other, wildcard(OPEN)], OUTSIDE, 'node:one'), 'allow');
  assert.equal(verdict([...CLUSTER, other, wildcard(OPEN)], OUTSIDE, '192.0.2.99'), 'deny ingress');
});

test('[PE33] the first of several by name governs, and none governs the interface of a workload', () => {
  const one = (name: string, spec: object, profiles: string[] = []) =>
    hostEndpoint(name, { node: 'one', profiles, ...spec });
  const eth0 = { interfaceName: 'eth0' };
  const all = { interfaceName: '*' };
  const judge = (...list: Resource[]) => verdict([...CLUSTER, ...list], OUTSIDE, 'node:one');
  assert.equal(judge(one('b', eth0), one('a', eth0, OPEN)), 'allow');
  assert.equal(judge(one('b', eth0, OPEN), one('a', eth0)), 'deny ingress');
  assert.equal(judge(one('b', all), one('a', all, OPEN)), 'allow');
  const expecting = { ...eth0, expectedIPs: ['192.0.2.1'] };
  assert.equal(judge(one('b', expecting), one('a', eth0, OPEN)), 'allow');
  const workload = { interfaceName: 'cali0123456789a', expectedIPs: ['192.0.2.1'] };
  assert.equal(judge(one('a', workload)), 'allow');
  assert.equal(judge(one('a', workload, OPEN), one('b', all)), 'deny ingress');
  const renamed = felix({ interfacePrefix: 'tap,veth' });
  assert.equal(judge(one('a', workload), renamed), 'deny ingress');
  assert.equal(judge(one('a', { interfaceName: 'veth1' }), renamed), 'allow');
});

test('[PE31] selectors of rules reach host endpoints by expectedIPs only', () => {
  const guard = globalPolicy('g', {
    selector: "app == 'web'",
    ingress: [rule('Allow', { selector: "role == 'host'" })],
  });
  const two = (expectedIPs: string[]) =>
    hostEndpoint('two', { node: 'two', interfaceName: 'eth0', expectedIPs, profiles: OPEN }, HOST);
  assert.equal(verdict([...CLUSTER, guard, two(['192.0.2.2'])], 'node:two', 'shop/web'), 'allow');
  assert.equal(verdict([...CLUSTER, guard, two([])], 'node:two', 'shop/web'), 'deny ingress');
});

test('a policy with a namespaceSelector is for workloads; global() is for hosts', () => {
  const judge = (namespaceSelector: string, to: string) => {
    const policy = globalPolicy('p', { namespaceSelector, ingress: [rule('Deny')] });
    return verdict([...CLUSTER, named(OPEN), policy], OUTSIDE, to);
  };
  assert.equal(judge('all()', 'node:one'), 'allow');
  assert.equal(judge('all()', 'shop/web'), 'deny ingress');
  assert.equal(judge('global()', 'node:one'), 'deny ingress');
  assert.equal(judge('global()', 'shop/web'), 'allow');
});

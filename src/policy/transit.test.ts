// What a node on the way says: the endpoints of the interfaces by which a packet enters and leaves it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GlobalNetworkPolicy, Resource } from '#api';
import { buildWorld } from './world.ts';
import { formatExplanation } from './format-explanation.ts';
import { parseParty } from './party.ts';
import { ask, globalPolicy, hostEndpoint, node, pod, verdict } from './sample-cluster.ts';

const CLUSTER: readonly Resource[] = [
  node('one', '192.0.2.1'),
  node('two', '192.0.2.2'),
  pod('shop/web', ['10.0.0.1'], { labels: { app: 'web' } }),
  pod('shop/db', ['10.0.1.1'], { labels: { app: 'db' }, node: 'two' }),
];
const [LEFT, RIGHT] = ['198.51.100.7', '203.0.113.9'];
const ROUTE = { node: 'one', in: 'eth0', out: 'eth1' };
const named = (name: string) =>
  hostEndpoint(name, { node: 'one', interfaceName: name }, { at: name });
const all = hostEndpoint('all', { node: 'one', interfaceName: '*' }, { at: 'all' });

function through(
  hosts: readonly Resource[],
  at: string,
  spec: GlobalNetworkPolicy['spec'],
  more = {},
): string {
  const policy = globalPolicy('p', {
    selector: `at == '${at}'`,
    applyOnForward: true,
    ...spec,
  });
  return verdict([...CLUSTER, ...hosts, policy], LEFT, RIGHT, { through: ROUTE, ...more });
}

test('[PE32] in by the one interface, out by the other, each by its own endpoint', () => {
  const both = [named('eth0'), named('eth1'), all];
  const deny = { ingress: [{ action: 'Deny' as const }] };
  const denyOut = { egress: [{ action: 'Deny' as const }] };
  assert.equal(through(both, 'none', deny), 'allow', 'forwarded traffic is free without policy');
  assert.equal(through(both, 'eth0', deny), 'deny ingress');
  assert.equal(through(both, 'eth1', deny), 'allow');
  assert.equal(through(both, 'eth0', denyOut), 'allow');
  assert.equal(through(both, 'eth1', denyOut), 'deny egress');
  assert.equal(through(both, 'all', { ...deny, ...denyOut }), 'allow', 'both have their own');
  assert.equal(through([named('eth0'), all], 'all', { ...deny, ...denyOut }), 'deny egress');
  assert.equal(through([all], 'all', { ...deny, ...denyOut }), 'deny egress ingress');
  assert.equal(through([], 'all', { ...deny, ...denyOut }), 'allow');
});

test('[PE32] into the node untracked and pre-DNAT policy, out of it forward policy alone', () => {
  const both = [named('eth0'), named('eth1')];
  const deny = [{ action: 'Deny' as const }];
  assert.equal(through(both, 'eth0', { preDNAT: true, ingress: deny }), 'deny ingress');
  assert.equal(through(both, 'eth0', { doNotTrack: true, ingress: deny }), 'deny ingress');
  assert.equal(through(both, 'eth1', { doNotTrack: true, egress: deny }), 'allow');
  assert.equal(through([all], 'all', { doNotTrack: true, ingress: deny }), 'allow');
  const normal = { applyOnForward: false, ingress: deny, egress: deny };
  assert.equal(through(both, 'eth0', normal), 'allow', 'normal policy is for the host itself');
  const ssh = { port: 22 };
  assert.equal(through(both, 'eth0', { preDNAT: true, ingress: deny }, ssh), 'allow');
  assert.equal(through(both, 'eth0', { ingress: deny }, ssh), 'deny ingress');
});

test('[PE32] pods beyond the node have no say, and no end may be on it', () => {
  const closed = globalPolicy('closed', { selector: "app == 'db'", types: ['Ingress', 'Egress'] });
  const world = [...CLUSTER, closed];
  assert.equal(verdict(world, LEFT, 'shop/db', { through: ROUTE }), 'allow');
  assert.throws(() => ask(world, LEFT, 'shop/web', { through: ROUTE }), /an end .* is on it/);
  assert.throws(() => ask(world, 'node:one', LEFT, { through: ROUTE }), /an end .* is on it/);
  const nowhere = { through: { ...ROUTE, node: 'three' } };
  assert.throws(() => ask(world, LEFT, RIGHT, nowhere), /Cannot find node "three"/);
});

test('people read which interface said what', () => {
  const policy = globalPolicy('p', { applyOnForward: true, types: ['Egress'] });
  const resources = [...CLUSTER, named('eth1'), policy];
  const world = buildWorld(resources);
  const fields = { protocol: 6, port: 80, through: ROUTE };
  const [from, to] = [parseParty(world, LEFT), parseParty(world, RIGHT)];
  const text = formatExplanation(
    ask(resources, LEFT, RIGHT, fields),
    { ...fields, from, to },
    world,
  );
  assert.match(text, /^DENY {2}198\.51\.100\.7 -> 203\.0\.113\.9, TCP port 80$/m);
  assert.match(text, /^egress at eth1 of node:one: deny, by the default action of tier default$/m);
  assert.match(text, /^ingress at eth0 of node:one: allow, decided by no policy$/m);
  assert.match(text, /one has no host endpoint on eth0/);
});

// Parties as users write them: pods, nodes, addresses, near names, and what cannot be meant.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatAddress } from '#lib';
import { trace } from './evaluate.ts';
import { parseParty, PartyError } from './party.ts';
import { ask, felix, hostEndpoint, networkPolicy, node, pod } from './sample-cluster.ts';
import { resource, verdict } from './sample-cluster.ts';
import { buildWorld } from './world.ts';

const CALICO = 'projectcalico.org/v3';
const service = resource(
  'v1',
  'Service',
  { name: 'cart', namespace: 'shop' },
  {
    spec: {
      clusterIP: '10.96.0.10',
      clusterIPs: ['10.96.0.10', 'fd96::10'],
      externalIPs: ['203.0.113.8'],
    },
  },
);
const calicoNode = resource(
  CALICO,
  'Node',
  { name: 'two' },
  {
    spec: { bgp: { ipv4Address: '192.0.2.2/24', ipv6Address: '2001:db8::2/64' } },
  },
);
const hostNetworked = {
  ...pod('shop/agent', ['192.0.2.1']),
  spec: { nodeName: 'one', hostNetwork: true, containers: [] },
};
const CLUSTER = [
  node('one', '192.0.2.1'),
  calicoNode,
  service,
  hostNetworked,
  pod('shop/web', ['10.0.0.1', 'fd00::1']),
  pod('shop/cart', ['10.0.0.2']),
];
const world = buildWorld(CLUSTER);

test('an address that a pod or node owns means that pod or node, in any spelling and by that address', () => {
  const described = (text: string) => {
    const packet = {
      from: parseParty(world, text),
      to: parseParty(world, 'node:two'),
      protocol: 6,
    };
    const { name, address } = trace(world, packet).traffic.source;
    return `${name} ${formatAddress(address)}`;
  };
  assert.equal(described('shop/web'), 'shop/web 10.0.0.1');
  assert.equal(described('10.0.0.1'), 'shop/web 10.0.0.1');
  assert.equal(described('FD00:0::1'), 'shop/web fd00::1');
  assert.equal(described('192.0.2.1'), 'node:one 192.0.2.1');
  assert.equal(described('node:one'), 'node:one 192.0.2.1');
  assert.equal(described('2001:db8::9'), '2001:db8::9 2001:db8::9');
  assert.deepEqual(parseParty(world, '8.8.8.8'), { type: 'address', address: '8.8.8.8' });
});

test('what does not exist is told with near names, and what cannot be read with the forms there are', () => {
  const message = (text: string) => {
    try {
      parseParty(world, text);
    } catch (error) {
      assert.ok(error instanceof PartyError);
      return error.message;
    }
    return 'no error';
  };
  assert.match(message('shop/wbe'), /^Cannot find pod "shop\/wbe": did you mean .*shop\/web/);
  assert.match(message('lab/web'), /did you mean shop\/web\?$/);
  assert.match(message('shop/zzzzzz'), /the pods are shop\/agent, shop\/cart, shop\/web$/);
  assert.match(message('node:onne'), /did you mean one\?$/);
  assert.match(message('web'), /write namespace\/pod, node:NAME or an IPv4 or IPv6 address$/);
  for (const text of ['10.96.0.10', 'fd96::10', '203.0.113.8']) {
    assert.match(message(text), /address of service shop\/cart; name one of the pods/);
  }
});

test('a floating address is told, where settings make use of it', () => {
  const floating = ['203.0.113.7'];
  const web = pod('shop/float', ['10.0.0.9']);
  const annotations = { 'cni.projectcalico.org/floatingIPs': JSON.stringify(floating) };
  const owner = { ...web, metadata: { ...web.metadata, annotations } };
  const off = buildWorld([...CLUSTER, owner]);
  assert.deepEqual(parseParty(off, '203.0.113.7'), { type: 'address', address: '203.0.113.7' });
  const on = buildWorld([...CLUSTER, owner, felix({ floatingIPs: 'Enabled' })]);
  assert.throws(
    () => parseParty(on, '203.0.113.7'),
    /it is a floating address of pod shop\/float; name the pod$/,
  );
});

test("a pod on its host's network is that host", () => {
  assert.equal(verdict(CLUSTER, 'shop/agent', 'shop/web'), 'allow');
  assert.equal(
    ask(CLUSTER, 'shop/agent', 'shop/web').steps[0]?.reason,
    'a host always reaches its own pods',
  );
});

test('the family: IPv4 where both have it, the one they share, or an error', () => {
  const net = (cidr: string) =>
    networkPolicy('shop/p', { ingress: [{ action: 'Allow', source: { nets: [cidr] } }] });
  assert.equal(verdict([...CLUSTER, net('10.0.0.0/8')], 'shop/cart', 'shop/web'), 'allow');
  assert.equal(verdict([...CLUSTER, net('2001:db8::/32')], 'node:two', 'shop/web'), 'deny ingress');
  assert.equal(verdict([...CLUSTER, net('2001:db8::/32')], '2001:db8::9', 'shop/web'), 'allow');
  const wanted = { family: 6 as const };
  assert.equal(
    verdict([...CLUSTER, net('2001:db8::/32')], 'node:two', 'shop/web', wanted),
    'allow',
  );
  assert.throws(() => ask(CLUSTER, 'shop/web', 'shop/cart', wanted), /they share no IPv6/);
});

test('pods and nodes that run nowhere yet are judged by stand-in addresses that nobody else has', () => {
  const pool = resource(CALICO, 'IPPool', { name: 'p' }, { spec: { cidr: '10.65.0.0/30' } });
  const manifests = [pod('a/a', []), pod('a/b', []), pod('a/c', [], { node: 'new' }), pool];
  const planned = buildWorld([
    ...manifests,
    hostEndpoint('h', { node: 'new', interfaceName: '*' }),
  ]);
  const addresses = [
    ...[...planned.workloads.values()].flatMap((it) => it.addresses),
    ...[...planned.hosts.values()].flatMap((it) => it.addresses),
  ].map((address) => address.bits);
  assert.equal(addresses.length, 5);
  assert.equal(new Set(addresses).size, 5);
  assert.equal(verdict(manifests, 'a/a', 'a/c'), 'allow');
});

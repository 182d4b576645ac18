// rtnetlink against the kernel, with iproute2 as the oracle: links, addresses, routes, neighbours.

import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { FAMILIES } from '#lib';
import { type LinkAddress, NetlinkError, type Neighbour, readSysctlInNamespace } from '#linux';
import { ROUTE_PROTOCOL, type Route, RouteSocket } from '#linux';
import { ip, makeNamespace, makePair, run } from './linux-namespaces.ts';

void test('veth pairs, bridges, names, MAC addresses and MTUs are as iproute2 sees them', (t) => {
  const host = makeNamespace(t);
  const pod = makeNamespace(t);
  host.route.createVeth({
    name: 'cali0123456789a',
    peerName: 'eth0',
    peerNamespace: pod.fd,
    mac: 'EE:EE:EE:EE:EE:EE',
    peerMac: '02:00:00:00:00:07',
    mtu: 1410,
  });
  host.route.createBridge('br0');
  host.route.setMaster('cali0123456789a', 'br0');
  for (const name of ['br0', 'cali0123456789a']) host.route.setUp(name);
  pod.route.setUp('eth0');

  const bridge = host.route.link('br0');
  const link = host.route.link('cali0123456789a');
  const peer = pod.route.link('eth0');
  assert.equal(bridge?.kind, 'bridge');
  assert.deepEqual(link, {
    index: ip(host, 'link', 'show', 'dev', 'cali0123456789a')[0]?.['ifindex'],
    name: 'cali0123456789a',
    kind: 'veth',
    mac: 'ee:ee:ee:ee:ee:ee',
    mtu: 1410,
    up: true,
    carrier: true,
    master: bridge.index,
    peer: peer?.index,
  });
  const [seen] = ip(pod, 'link', 'show', 'dev', 'eth0');
  assert.equal(seen?.['address'], '02:00:00:00:00:07');
  assert.equal(seen?.['mtu'], 1410);
  assert.deepEqual(
    host.route
      .links()
      .map(({ name }) => name)
      .toSorted(),
    ip(host, 'link')
      .map(({ ifname }) => String(ifname))
      .toSorted(),
  );

  pod.route.setMac('eth0', '02:00:00:00:00:08');
  pod.route.setMtu('eth0', 1400);
  pod.route.rename('eth0', 'net1');
  const [changed] = ip(pod, 'link', 'show', 'dev', 'net1');
  assert.equal(changed?.['address'], '02:00:00:00:00:08');
  assert.equal(changed?.['mtu'], 1400);
  host.route.moveToNamespace('cali0123456789a', pod.fd);
  assert.equal(host.route.link('cali0123456789a'), undefined);
  assert.equal(pod.route.link('cali0123456789a')?.up, false);
  assert.equal(pod.route.deleteLink('net1'), true);
  assert.equal(pod.route.link('cali0123456789a'), undefined, 'the peer went with it');
  assert.equal(pod.route.deleteLink('net1'), false);
});

const byPrefix = (a: LinkAddress, b: LinkAddress) => a.prefix.localeCompare(b.prefix);

void test('addresses of both families are set, listed and deleted', (t) => {
  const host = makeNamespace(t);
  host.route.createBridge('br0');
  host.route.setUp('br0');
  host.route.addAddress('br0', '10.1.2.3/24', { noPrefixRoute: true });
  host.route.addAddress('br0', '10.1.2.3/24', { noPrefixRoute: true });
  host.route.addAddress('br0', '169.254.1.1/32', { scope: 'link' });
  host.route.addAddress('br0', 'fd00:1::3/64', { noDad: true });
  const ours = host.route.addresses().filter((address) => address.interface === 'br0');
  const expected = [
    { family: 4, prefix: '10.1.2.3/24', interface: 'br0', scope: 'universe', tentative: false },
    { family: 4, prefix: '169.254.1.1/32', interface: 'br0', scope: 'link', tentative: false },
    { family: 6, prefix: 'fd00:1::3/64', interface: 'br0', scope: 'universe', tentative: false },
  ];
  const ordered = ours.filter(({ prefix }) => !prefix.startsWith('fe80'));
  assert.deepEqual(ordered.toSorted(byPrefix), expected);
  const infos = ip(host, 'addr', 'show', 'dev', 'br0')[0]?.['addr_info'];
  assert.ok(Array.isArray(infos));
  assert.deepEqual(
    infos.map((info) => `${info.local}/${info.prefixlen}`).toSorted(),
    ours.map(({ prefix }) => prefix).toSorted(),
  );
  assert.equal(infos.find((info) => info.local === '10.1.2.3')?.noprefixroute, true);
  const main = host.route.routes({ table: 254 }).map(({ destination }) => destination);
  assert.ok(!main.includes('10.1.2.0/24'), 'no route of the kernel to the subnet');
  assert.equal(host.route.deleteAddress('br0', '10.1.2.3/24'), true);
  assert.equal(host.route.deleteAddress('br0', '10.1.2.3/24'), false);
  assert.equal(host.route.deleteAddress('absent', '10.1.2.3/24'), false);
});

const common = { table: 254, protocol: ROUTE_PROTOCOL.TORTIE, type: 'unicast' } as const;
const ROUTES: readonly Route[] = [
  { family: 4, destination: '10.2.0.1/32', interface: 'left0', ...common },
  { family: 4, destination: '10.3.0.0/26', gateway: '10.99.0.2', interface: 'left0', ...common },
  {
    family: 4,
    destination: '10.4.0.0/16',
    gateway: '192.0.2.1',
    interface: 'left0',
    onLink: true,
    ...common,
  },
  { family: 4, destination: '10.5.0.0/26', ...common, type: 'blackhole' },
  { family: 4, destination: '10.6.0.0/26', ...common, type: 'unreachable', metric: 7 },
  { family: 4, destination: '10.7.0.0/26', gateway: 'fd99::2', interface: 'left0', ...common },
  {
    family: 4,
    destination: '0.0.0.0/0',
    gateway: '10.99.0.2',
    interface: 'left0',
    ...common,
    source: '10.99.0.1',
  },
  { family: 4, destination: '10.8.0.0/24', interface: 'left0', ...common, table: 1000 },
  {
    family: 4,
    destination: '10.9.0.0/24',
    ...common,
    nextHops: [
      { gateway: '10.99.0.2', interface: 'left0', weight: 1 },
      { gateway: '10.99.0.3', interface: 'left0', weight: 3 },
    ],
  },
  { family: 6, destination: 'fd02::1/128', interface: 'left0', ...common },
  { family: 6, destination: 'fd03::/122', gateway: 'fd99::2', interface: 'left0', ...common },
  {
    family: 6,
    destination: 'fd04::/64',
    gateway: 'fd98::1',
    interface: 'left0',
    onLink: true,
    ...common,
  },
  { family: 6, destination: 'fd05::/122', ...common, type: 'blackhole' },
  { family: 6, destination: 'fd06::/122', ...common, type: 'unreachable', metric: 7 },
  {
    family: 6,
    destination: '::/0',
    gateway: 'fd99::2',
    interface: 'left0',
    ...common,
    source: 'fd99::1',
  },
  { family: 6, destination: 'fd08::/64', interface: 'left0', ...common, table: 1000 },
  {
    family: 6,
    destination: 'fd09::/64',
    ...common,
    nextHops: [
      { gateway: 'fd99::2', interface: 'left0', weight: 1 },
      { gateway: 'fd99::3', interface: 'left0', weight: 3 },
    ],
  },
];
const byDestination = (a: Route, b: Route) => a.destination.localeCompare(b.destination);

void test('routes of every form are read back as they were asked for', (t) => {
  const { left } = makePair(t);
  for (const route of ROUTES) left.route.replaceRoute(route);
  for (const route of ROUTES) left.route.replaceRoute(route);
  const ours = left.route.routes({ protocol: ROUTE_PROTOCOL.TORTIE });
  assert.deepEqual(ours.toSorted(byDestination), ROUTES.toSorted(byDestination));

  for (const family of [4, 6] as const) {
    const seen = ip(left, `-${family}`, 'route', 'show', 'table', 'all', 'proto', '80');
    const destinations = ROUTES.filter((route) => route.family === family).map(({ destination }) =>
      destination.endsWith('/0') ? 'default' : destination.replace(/\/(32|128)$/, ''),
    );
    assert.deepEqual(seen.map(({ dst }) => String(dst)).toSorted(), destinations.toSorted());
    const viaGateway = seen.find(
      ({ dst }) => dst === (family === 4 ? '10.3.0.0/26' : 'fd03::/122'),
    );
    assert.equal(viaGateway?.['gateway'], family === 4 ? '10.99.0.2' : 'fd99::2');
    assert.equal(viaGateway?.['dev'], 'left0');
  }
  assert.deepEqual(
    left.route.routes({ table: 1000 }).map(({ destination }) => destination),
    ['10.8.0.0/24', 'fd08::/64'],
  );
  assert.deepEqual(left.route.routes({ table: 1001 }), []);

  for (const route of ROUTES) assert.equal(left.route.deleteRoute(route), true, route.destination);
  for (const route of ROUTES) assert.equal(left.route.deleteRoute(route), false);
  assert.deepEqual(left.route.routes({ protocol: ROUTE_PROTOCOL.TORTIE }), []);
});

void test('replacing changes the way of a route in its place', (t) => {
  const { left } = makePair(t);
  for (const [family, destination, gateway] of [
    [4, '10.5.0.0/26', '10.99.0.2'],
    [6, 'fd05::/122', 'fd99::2'],
  ] as const) {
    const block: Route = { ...common, family, destination, type: 'blackhole' };
    const way: Route = { ...common, family, destination, gateway, interface: 'left0' };
    for (const route of [block, way, block]) {
      left.route.replaceRoute(route);
      const now = left.route.routes({ protocol: ROUTE_PROTOCOL.TORTIE });
      assert.deepEqual(
        now.filter((found) => found.family === family),
        [route],
      );
    }
  }
});

void test('routes of others with the same destination survive the deletion of ours', (t) => {
  const { left } = makePair(t);
  const other: Route = {
    ...common,
    family: 6,
    destination: 'fd0a::/64',
    interface: 'left0',
    protocol: 4,
    metric: 2048,
  };
  const ours: Route = { ...common, family: 6, destination: 'fd0a::/64', interface: 'left0' };
  left.route.replaceRoute(other);
  assert.equal(left.route.deleteRoute(ours), false);
  left.route.replaceRoute(ours);
  assert.equal(left.route.deleteRoute(ours), true);
  assert.deepEqual(left.route.routes({ protocol: 4 }), [other]);
  const dearer: Route = { ...ours, metric: 2048 };
  left.route.replaceRoute({ ...dearer, destination: 'fd0b::/64' });
  assert.equal(left.route.deleteRoute({ ...ours, destination: 'fd0b::/64' }), false, 'metric');
});

void test('packets go the way of the routes and neighbours, for both families', (t) => {
  const { left, right } = makePair(t);
  const mac = right.route.link('right0')?.mac;
  assert.ok(mac);
  for (const [family, address, host] of [
    [4, '10.50.0.1', '10.50.0.1/32'],
    [6, 'fd50::1', 'fd50::1/128'],
  ] as const) {
    right.route.addAddress('lo', host);
    assert.throws(() => run(left, 'ping', '-c1', '-W1', address), 'no route yet');
    left.route.replaceRoute({ ...common, family, destination: host, interface: 'left0' });
    left.route.replaceNeighbour({ link: 'left0', address, mac });
    assert.match(run(left, 'ping', '-c10', '-i0.2', '-W2', address), /\b[1-9]\d* received/);
    const entry: Neighbour = { family, interface: 'left0', address, mac, permanent: true };
    const found = left.route.neighbours().filter((neighbour) => neighbour.address === address);
    assert.deepEqual(found, [entry]);
    const [seen] = ip(left, `-${family}`, 'neigh', 'show', address);
    assert.equal(seen?.['lladdr'], mac);
    assert.deepEqual(seen?.['state'], ['PERMANENT']);
    assert.equal(left.route.deleteNeighbour({ link: 'left0', address }), true);
    assert.equal(left.route.deleteNeighbour({ link: 'left0', address }), false);
  }
});

void test('refusals name the action, the cause and the words of the kernel', (t) => {
  const { left } = makePair(t);
  const refusals: [() => unknown, RegExp, string][] = [
    [() => left.route.createBridge('left0'), /^cannot create bridge left0: EEXIST/, 'EEXIST'],
    [() => left.route.setUp('absent'), /^cannot set interface absent up: ENODEV/, 'ENODEV'],
    [
      () => left.route.addAddress('absent', '10.0.0.1/32'),
      /^cannot add address 10.0.0.1\/32 to interface absent: ENODEV.*there is no interface absent/,
      'ENODEV',
    ],
    [
      () =>
        left.route.replaceRoute({
          ...common,
          family: 4,
          destination: '10.0.0.0/8',
          gateway: '203.0.113.1',
        }),
      /^cannot set route unicast 10.0.0.0\/8 via 203.0.113.1 in table 254: ENETUNREACH.*Nexthop has invalid gateway/,
      'ENETUNREACH',
    ],
  ];
  for (const [act, text, code] of refusals) {
    assert.throws(act, (error: unknown) => {
      assert.ok(error instanceof NetlinkError);
      assert.match(error.message, text);
      assert.equal(error.code, code);
      return true;
    });
  }
});

void test('values that cannot be are refused before the kernel is asked', (t) => {
  const { left } = makePair(t);
  const before = left.route.writes;
  const impossible: (() => unknown)[] = [
    () => left.route.createBridge('a-name-that-is-too-long'),
    () => left.route.createBridge('a/b'),
    () => left.route.createBridge(''),
    () => left.route.setMac('left0', '02:00'),
    () => left.route.addAddress('left0', '10.0.0.1/33'),
    () => left.route.replaceRoute({ ...common, family: 4, destination: '10.0.0.1/8' }),
    () => left.route.replaceRoute({ ...common, family: 4, destination: 'fd00::/8' }),
    () =>
      left.route.replaceRoute({
        ...common,
        family: 6,
        destination: 'fd00::/8',
        gateway: '10.0.0.1',
      }),
    () => left.route.replaceNeighbour({ link: 'left0', address: 'x', mac: '02:00:00:00:00:01' }),
  ];
  for (const act of impossible) assert.throws(act, RangeError);
  assert.equal(left.route.writes, before);
  left.route.setUp('left0');
  assert.equal(left.route.writes, before + 1);
});

void test('a thousand routes are listed whole', (t) => {
  const { left } = makePair(t);
  for (let host = 0; host < 1000; host++) {
    const destination = `10.60.${host >> 8}.${host & 255}/32`;
    left.route.replaceRoute({ ...common, family: 4, destination, interface: 'left0' });
  }
  const listed = left.route.routes({ protocol: ROUTE_PROTOCOL.TORTIE });
  assert.equal(new Set(listed.map(({ destination }) => destination)).size, 1000);
});

void test('interfaces are deleted in the background, at one wait for all, while this thread goes on', async (t) => {
  const host = makeNamespace(t);
  const names = Array.from({ length: 40 }, (_, index) => `left${index}`);
  for (const [index, name] of names.entries()) {
    host.route.createVeth({ name, peerName: `right${index}` });
    host.route.setUp(name);
    host.route.setUp(`right${index}`);
  }
  host.route.createVeth({ name: 'stays', peerName: 'peer' });
  const remover = RouteSocket.open({ namespace: host.fd });
  t.after(() => remover.close());
  let turns = 0;
  let gone: boolean[] | undefined;
  void remover.deleteLinksInBackground(['absent', ...names], 7).then((found) => (gone = found));
  while (gone === undefined) {
    await new Promise(setImmediate);
    turns++;
  }
  assert.deepEqual(gone, [false, ...names.map(() => true)]);
  assert.ok(turns > 0, `${turns} turns of the event loop`);
  const left = host.route.links().map(({ name }) => name);
  assert.deepEqual(left.toSorted(), ['lo', 'peer', 'stays']);
  assert.deepEqual(await remover.deleteLinksInBackground(['left0'], 7), [false]);
});

void test('settings that messages set are those that sysctls show, and only they', async (t) => {
  const { route, fd } = makeNamespace(t);
  route.createVeth({ name: 'left', peerName: 'right' });
  const shown = (name: string) =>
    Object.fromEntries(
      [
        'ipv4/conf/IF/rp_filter',
        'ipv4/conf/IF/proxy_arp',
        'ipv4/conf/IF/forwarding',
        'ipv6/conf/IF/addr_gen_mode',
        'ipv4/neigh/IF/proxy_delay',
        'ipv6/neigh/IF/proxy_delay',
      ].map((path) => [path, Number(readSysctlInNamespace(fd, `net/${path.replace('IF', name)}`))]),
    );
  const before = shown('right');
  assert.deepEqual(shown('left'), before);
  assert.notEqual(before['ipv4/neigh/IF/proxy_delay'], 0);
  const ipv4 = { rp_filter: 2, proxy_arp: 1, forwarding: 1 };
  route.setSettings('left', { ipv4, addressGeneration: 'none' });
  for (const family of FAMILIES) route.setProxyDelay('left', family, 0);
  assert.deepEqual(shown('left'), {
    'ipv4/conf/IF/rp_filter': 2,
    'ipv4/conf/IF/proxy_arp': 1,
    'ipv4/conf/IF/forwarding': 1,
    'ipv6/conf/IF/addr_gen_mode': 1,
    'ipv4/neigh/IF/proxy_delay': 0,
    'ipv6/neigh/IF/proxy_delay': 0,
  });
  assert.deepEqual(shown('right'), before);
  route.setUp('right');
  route.setUp('left');
  const withAddress = () => new Set(route.addresses().map((address) => address.interface));
  for (let turn = 0; turn < 1000 && !withAddress().has('right'); turn++) await setTimeout(10);
  assert.deepEqual(withAddress(), new Set(['lo', 'right']), 'the kernel gives the left end none');
  route.setSettings('left', { ipv4: { proxy_arp: 0 } });
  assert.deepEqual(
    [shown('left')['ipv4/conf/IF/proxy_arp'], shown('left')['ipv4/conf/IF/rp_filter']],
    [0, 2],
  );
  assert.throws(() => route.setSettings('absent', { ipv4 }), { code: 'ENODEV' });
  assert.throws(() => route.setProxyDelay('absent', 4, 0), { code: 'ENODEV' });
});

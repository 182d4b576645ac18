// What the dataplane writes: nothing when nothing changed, the difference otherwise, repairs after drift.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DataplaneState, IpSet } from '#calc/dataplane-update';
import { Dataplane, PASS_MARK } from '#dataplane';
import { type NftOperation, NftablesSocket, RouteSocket, sysctlsOfNamespace } from '#linux';
import {
  type Machine,
  type Router,
  attachPod,
  endpoint,
  makeRouter,
  podAddress,
  podInterface,
  policy,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

const SET: IpSet = {
  id: 's:friends',
  type: 'net',
  members: new Set(['10.65.0.0/25', '10.65.0.128/25', '192.0.2.1/32', '255.0.0.0/8', 'fd65::/64']),
};
const PORTS: IpSet = {
  id: 'n:http',
  type: 'ip-port',
  members: new Set(['10.65.0.2,tcp:8080', 'fd65::2,udp:53']),
};
const MIXED = policy('mixed', {
  ingress: [
    rule('Pass', { protocol: 17 }),
    rule('Allow', {
      index: 1,
      protocol: 6,
      source: { ipSets: [SET.id], notIpSets: [] },
      destination: {
        ipSets: [],
        notIpSets: [],
        ports: [
          [80, 80],
          [8000, 8999],
        ],
        namedPortSets: [PORTS.id],
        notPorts: [[8888, 8888]],
      },
    }),
    rule('Deny', { index: 2, icmp: { type: 8, code: 0 }, ipVersion: 4, protocol: 1 }),
    rule('Log', { index: 3, notProtocol: 1 }),
    rule('Allow', {
      index: 4,
      source: { ipSets: [], notIpSets: [], nets: ['10.0.0.0/8', '192.168.0.0/16'] },
    }),
  ],
  egress: [rule('Allow')],
});

/** Behind the other: one rule for each of several ports. */
const PORTLY = policy('portly', {
  ingress: Array.from({ length: 6 }, (_, index) =>
    rule('Allow', {
      index,
      protocol: 6,
      destination: { ipSets: [], notIpSets: [], ports: [[3000 + index, 3000 + index]] },
    }),
  ),
});

/** A bit of everything. */
function richState(more: Partial<DataplaneState> = {}): DataplaneState {
  const two = endpoint(2, { ingress: [tierOf(MIXED, PORTLY)], egress: [tierOf(MIXED)] });
  return stateOf([endpoint(1), two], [MIXED, PORTLY], {
    ipSets: new Map([SET, PORTS].map((set) => [set.id, set])),
    routes: [{ destination: '10.66.0.0/26', gateway: podAddress(1, 4) }],
    blackholes: ['10.65.0.0/26', 'fd65::/122'],
    ...more,
  });
}

function generation(router: Router): number {
  const socket = NftablesSocket.open({ namespace: router.machine.fd });
  try {
    return socket.generation();
  } finally {
    socket.close();
  }
}

function nft(machine: Machine, ...args: string[]): string {
  return machine.run('nft', ...args);
}

void test('[DP7] a restart with nothing changed writes nothing, nor does a second apply', async (t) => {
  const router = await makeRouter(t, 2);
  const first = router.start().apply(richState());
  assert.deepEqual(first.errors, []);
  assert.ok(first.writes > 0);
  const ruleset = nft(router.machine, '-a', 'list', 'ruleset');
  const before = generation(router);
  const second = router.start();
  assert.deepEqual(second.apply(richState()), {
    writes: 0,
    errors: [],
    pending: [],
    repaired: [],
    stuck: false,
    unfiltered: [],
    hostEndpoints: [],
    warnings: [],
  });
  second.resync();
  assert.deepEqual(second.apply(richState()), {
    writes: 0,
    errors: [],
    pending: [],
    repaired: [],
    stuck: false,
    unfiltered: [],
    hostEndpoints: [],
    warnings: [],
  });
  assert.equal(second.writes, 0);
  assert.equal(generation(router), before);
  assert.equal(nft(router.machine, '-a', 'list', 'ruleset'), ruleset);
});

void test('nft reads the whole table back as it was meant', async (t) => {
  const router = await makeRouter(t, 2);
  router.start().apply(richState());
  const listed: unknown = JSON.parse(nft(router.machine, '-j', 'list', 'ruleset'));
  assert.ok(typeof listed === 'object' && listed !== null && 'nftables' in listed);
  const text = nft(router.machine, 'list', 'ruleset');
  const mark = `0x${PASS_MARK.toString(16).padStart(8, '0')}`;
  for (const expected of [
    'elements = { 10.65.0.0/24, 192.0.2.1,\n',
    'elements = { 10.65.0.2 . tcp . 8080 }',
    'elements = { fd65::2 . udp . 53 }',
    'type ifname : mark . mark',
    'elements = { "cali0000000001" : 0x00000000 . 0x',
    ' : jump wi-',
    'iifname vmap @dispatch-egress',
    'type filter hook prerouting priority raw; policy accept;',
    'type filter hook forward priority filter; policy accept;',
    'type filter hook forward priority filter + 1; policy accept;',
    'iifname != "cali*" accept',
    'ct state established,related accept',
    'ct state invalid counter',
    'iifname "cali*" fib saddr . iif oif missing goto strays',
    'ip saddr { 10.0.0.0/8, 192.168.0.0/16 } goto d-',
    'meta nfproto . meta l4proto vmap @m-pi-',
    'ipv4 . tcp : goto pi-',
    'tcp dport vmap @m-pi-',
    'ip6 saddr @s6-',
    '8000-8887 : goto pi-',
    'log prefix "API1|NetworkPolicy/default/mixed" group 1 snaplen 128 counter',
    'meta mark set meta mark | ' + mark,
    'log prefix "calico-packet: "',
    'comment "NetworkPolicy/default/mixed and 1 more ingress"',
  ]) {
    assert.ok(text.includes(expected), `${expected}\nis not in\n${text}`);
  }
});

void test('[DP8] foreign changes to our table and routes are repaired at the next resync', async (t) => {
  const router = await makeRouter(t, 2);
  const dataplane = router.start();
  dataplane.apply(richState());
  const clean = nft(router.machine, 'list', 'ruleset');
  const set = /set (s4-\S+)/.exec(clean)?.[1] ?? '';
  const policyChain = /chain (pi-\S+)/.exec(clean)?.[1] ?? '';
  const mess: readonly (readonly string[])[] = [
    ['flush', 'chain', 'inet', 'tortie', policyChain],
    ['add', 'rule', 'inet', 'tortie', 'ingress', 'counter'],
    ['insert', 'rule', 'inet', 'tortie', 'egress', 'accept'],
    ['flush', 'map', 'inet', 'tortie', 'dispatch-ingress'],
    ['delete', 'element', 'inet', 'tortie', set, '{ 192.0.2.1 }'],
    ['add', 'element', 'inet', 'tortie', set, '{ 203.0.113.0/24 }'],
    ['add', 'chain', 'inet', 'tortie', 'stranger', '{ type filter hook input priority 5; }'],
    ['add', 'set', 'inet', 'tortie', 'strange', '{ type ipv4_addr; }'],
    ['chain', 'inet', 'tortie', 'egress', '{ policy drop; }'],
    ['add', 'table', 'inet', 'tortie', '{ flags dormant; }'],
    ['delete', 'table', 'inet', 'tortie'],
  ];
  for (const argv of mess) {
    nft(router.machine, ...argv);
    assert.notEqual(nft(router.machine, 'list', 'ruleset'), clean, argv.join(' '));
    dataplane.resync();
    const report = dataplane.apply(richState());
    assert.deepEqual(report.errors, [], argv.join(' '));
    assert.ok(report.writes > 0, argv.join(' '));
    assert.ok(report.repaired.length > 0, `${argv.join(' ')} is reported`);
    assert.equal(
      normalised(nft(router.machine, 'list', 'ruleset')),
      normalised(clean),
      argv.join(' '),
    );
    assert.deepEqual(router.start().apply(richState()).writes, 0, argv.join(' '));
  }
  router.machine.run('ip', 'route', 'del', podAddress(1, 4), 'dev', podInterface(1));
  router.machine.run('ip', 'route', 'add', '10.65.9.9', 'dev', podInterface(1), 'proto', '80');
  assert.equal(dataplane.apply(richState()).writes, 2);
  assert.equal(router.start().apply(richState()).writes, 0);
});

void test('[DP7] addresses in whatever form are written once', async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  const state = stateOf([endpoint(1, { addresses: ['10.65.0.1/32', 'FD65:0:0::0001/128'] })], [], {
    blackholes: ['10.65.0.7/26', 'fd65::00ff/122'],
    ipSets: new Map(),
  });
  assert.deepEqual(dataplane.apply(state).errors, []);
  assert.equal(dataplane.isEnforced('default/pod-1'), true);
  assert.equal(dataplane.apply({ ...state }).writes, 0);
  assert.equal(router.start().apply({ ...state }).writes, 0);
});

/** Order of chains and sets, and of rules' own sets, does not matter. */
function normalised(ruleset: string): string {
  return ruleset
    .split(/\n(?=\t\S)/)
    .toSorted()
    .join('\n');
}

void test('a table that changed behind our back is read again when the kernel refuses', async (t) => {
  const router = await makeRouter(t, 1);
  const dataplane = router.start();
  dataplane.apply(stateOf([endpoint(1)]));
  nft(router.machine, 'delete', 'table', 'inet', 'tortie');
  const changed = stateOf([endpoint(1, { profiles: [] })]);
  assert.deepEqual(dataplane.apply(changed).errors, []);
  assert.equal(router.start().apply(changed).writes, 0);
});

void test('[DP9] tables and routes of others stay as they are', async (t) => {
  const router = await makeRouter(t, 2);
  nft(router.machine, 'add', 'table', 'inet', 'others');
  nft(router.machine, 'add', 'chain', 'inet', 'others', 'tortie');
  nft(router.machine, 'add', 'table', 'ip', 'tortie');
  const uplink = ['ip', 'route', 'add', '10.77.0.0/16', 'dev', 'up0', 'proto', 'static'] as const;
  router.machine.run('ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up1');
  router.machine.run('ip', 'link', 'set', 'up0', 'up');
  router.machine.run(...uplink);
  router.machine.run(
    'ip',
    'route',
    'add',
    '10.78.0.0/16',
    'dev',
    podInterface(1),
    'proto',
    '80',
    'table',
    '7',
  );
  const foreign = nft(router.machine, 'list', 'ruleset');
  const dataplane = router.start();
  dataplane.apply(richState());
  dataplane.apply(stateOf([]));
  assert.ok(nft(router.machine, 'list', 'ruleset').startsWith(foreign));
  assert.match(router.machine.run('ip', 'route', 'show'), /10\.77\.0\.0\/16 dev/);
  assert.match(router.machine.run('ip', 'route', 'show', 'table', '7'), /10\.78\.0\.0\/16 dev/);
  assert.doesNotMatch(router.machine.run('ip', 'route', 'show'), /proto 80/);
});

void test('only the difference is written: one member, one rule, one endpoint', async (t) => {
  const router = await makeRouter(t, 2);
  const dataplane = router.start();
  dataplane.apply(richState());
  const grown = { ...SET, members: new Set([...SET.members, '198.51.100.7/32']) };
  const sets = { ipSets: new Map([grown, PORTS].map((set) => [set.id, set])) };
  assert.equal(dataplane.apply(richState(sets)).writes, 1, 'one member');
  const joined = { ...SET, members: new Set([...SET.members, '192.0.2.0/32', 'fd66::/64']) };
  const joinedSets = { ipSets: new Map([joined, PORTS].map((set) => [set.id, set])) };
  assert.deepEqual(dataplane.apply(richState(joinedSets)).errors, [], 'ranges that join');
  const listed = nft(router.machine, 'list', 'ruleset');
  assert.match(listed, /192\.0\.2\.0\/31|192\.0\.2\.0-192\.0\.2\.1/);
  dataplane.apply(richState());
  const without = richState();
  const gone = { ...without, endpoints: new Map([...without.endpoints].slice(0, 1)) };
  assert.deepEqual(dataplane.apply({ ...gone, ipSets: new Map() }).errors, []);
  assert.doesNotMatch(nft(router.machine, 'list', 'ruleset'), /pod-2|[sp][46]-/);
  assert.equal(router.start().apply({ ...gone, ipSets: new Map() }).writes, 0);
});

void test('[DP10] a route waits for its interface and comes back with it', async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  router.routes.deleteLink(podInterface(2));
  const dataplane = router.start();
  const state = stateOf([endpoint(1), endpoint(2)]);
  const report = dataplane.apply(state);
  assert.deepEqual(report.errors, []);
  assert.deepEqual(report.pending, [
    `10.65.0.2/32 on ${podInterface(2)}`,
    `fd65::2/128 on ${podInterface(2)}`,
  ]);
  const two = router.pods[1];
  assert.ok(two);
  attachPod(router.machine, router.routes, two, 2);
  assert.deepEqual(dataplane.apply(state).pending, []);
  // An interface that has just come up may lose the first packet: time for the second.
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80, 5_000), 'open');
  router.routes.deleteLink(podInterface(2));
  attachPod(router.machine, router.routes, two, 2);
  assert.equal(dataplane.apply(state).writes, 2, 'the kernel had dropped both routes');
});

void test('own blocks lead nowhere but to the pods, whatever the size of the block', async (t) => {
  const router = await makeRouter(t, 2);
  const dataplane = router.start();
  const blackholes = [`${podAddress(2, 4)}/32`, `${podAddress(2, 6)}/128`, '10.65.0.64/26'];
  const state = stateOf([endpoint(1), endpoint(2)], [], { blackholes });
  assert.deepEqual(dataplane.apply(state).errors, []);
  for (const family of [4, 6] as const) {
    assert.equal(await router.pods[0]?.probe('tcp', podAddress(2, family), 80), 'open');
  }
  const shown = router.machine.run('ip', 'route', 'show', 'proto', '80');
  assert.match(shown, /blackhole 10\.65\.0\.64\/26 metric 4096/);
  assert.equal(router.start().apply(state).writes, 0);
});

void test('[DP6] what the kernel refuses does not stop the others, and fails closed', async (t) => {
  const router = await makeRouter(t, 3);
  const [one, two] = router.pods;
  assert.ok(one && two);
  const open = policy('open', { ingress: [rule('Allow')] });
  const bad = policy('bad', { ingress: [rule('Allow')] });
  const nftables = NftablesSocket.open({ namespace: router.machine.fd });
  const routes = RouteSocket.open({ namespace: router.machine.fd });
  const spoiled = {
    get writes() {
      return nftables.writes;
    },
    readTable: (name: string) => nftables.readTable(name),
    commit: (operations: readonly NftOperation[]) => nftables.commit(operations.map(spoil)),
    readCounters: (name: string, chain: string) => nftables.readCounters(name, chain),
    readFlowtables: (name: string) => nftables.readFlowtables(name),
    close: () => nftables.close(),
  };
  const sysctls = sysctlsOfNamespace(router.machine.fd);
  const dataplane = new Dataplane({ nftables: spoiled, routes, sysctls });
  t.after(() => dataplane.close());
  const state = stateOf(
    [
      endpoint(1),
      endpoint(2, { ingress: [tierOf(open)] }),
      endpoint(3, { ingress: [tierOf(bad)] }),
    ],
    [open, bad],
  );
  const report = dataplane.apply(state);
  const first = report.errors[0];
  assert.match(first?.what ?? '', /^NetworkPolicy\/default\/bad ingress/);
  assert.match(first?.message ?? '', /nftables refused add-rule inet tortie d-.*ENOENT/);
  assert.deepEqual(report.unfiltered, ['default/pod-3']);
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open', 'the others are served');
  assert.equal(await one.probe('tcp', podAddress(3, 4), 80), 'silent', 'the refused is closed');
  assert.deepEqual(router.start().apply(state).errors, [], 'an able kernel takes it all');
  assert.equal(await one.probe('tcp', podAddress(3, 4), 80), 'open');
});

/** Makes the rules of the policy `bad` refer to a set that does not exist. */
function spoil(operation: NftOperation): NftOperation {
  if (operation.kind !== 'add-rule') return operation;
  const isBad = operation.expressions.some(
    (one) => one.kind === 'log' && one.prefix.includes('default/bad'),
  );
  if (!isBad) return operation;
  const expressions = [
    { kind: 'meta', key: 'l4proto', register: 1 },
    { kind: 'lookup', set: 'absent', register: 1 },
  ] as const;
  return { ...operation, expressions };
}

void test('how long a state of a hundred endpoints takes', async (t) => {
  const router = await makeRouter(t, 0);
  const policies = Array.from({ length: 100 }, (_, n) =>
    policy(`p${n}`, {
      ingress: Array.from({ length: 6 }, (_unused, index) =>
        rule('Allow', {
          index,
          protocol: 6,
          source: { ipSets: [`s:${n % 10}`], notIpSets: [] },
          destination: {
            ipSets: [],
            notIpSets: [],
            ports: [
              [1000 + n, 1000 + n],
              [80, 90],
            ],
          },
        }),
      ),
    }),
  );
  const members = (n: number) =>
    new Set(Array.from({ length: 1000 }, (_, m) => `10.${n}.${m >> 7}.${(m & 127) * 2}/32`));
  const ipSets = new Map(
    Array.from({ length: 10 }, (_, n): [string, IpSet] => [
      `s:${n}`,
      { id: `s:${n}`, type: 'net', members: members(n) },
    ]),
  );
  const endpoints = Array.from({ length: 100 }, (_, n) =>
    endpoint(1, {
      id: `default/pod-${n}`,
      interfaceName: `cali${n}`,
      addresses: [`10.65.1.${n}/32`],
      ingress: [tierOf(...policies.slice(n % 50, (n % 50) + 10))],
    }),
  );
  const state = stateOf(endpoints, policies, { ipSets });
  const dataplane = router.start();
  const timed = (what: string, apply: () => { writes: number; errors: readonly unknown[] }) => {
    const start = performance.now();
    const { writes, errors } = apply();
    assert.deepEqual(errors, []);
    t.diagnostic(`${what}: ${writes} writes in ${(performance.now() - start).toFixed(1)} ms`);
    return writes;
  };
  timed('load 100 endpoints, 100 policies, 10 sets of 1000', () => dataplane.apply(state));
  timed('apply it again', () => dataplane.apply(state));
  timed('read it back in a new process', () => router.start().apply(state));
  const one = stateOf(endpoints.slice(1), policies, { ipSets });
  timed('take one endpoint away', () => dataplane.apply(one));
  timed('take everything away', () => dataplane.apply(stateOf([])));
});

// Whatever a foreign process does to what is ours: it is heard, undone, named, and the time that it was so is told.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApplyLoop, DriftWatch, type KernelPart } from '#agent';
import type { DataplaneState, VxlanTunnel } from '#calc/dataplane-update';
import { Dataplane, OWN_INTERFACES, TABLE_NAME } from '#dataplane';
import type { Family } from '#lib';
import {
  ChangeMonitor,
  NftablesSocket,
  Poller,
  ROUTE_PROTOCOL,
  RouteSocket,
  sysctlsOfNamespace,
} from '#linux';
import { faultState } from './dataplane-fault-states.ts';
import { type Edge, makeEdge, NODE_ADDRESS, OUTSIDE_ADDRESS } from './dataplane-outside.ts';
import { podAddress, podInterface } from './dataplane-router.ts';
import { objectsOf } from './table-text.ts';

const DEVICE = 'vxlan.calico';
const SILENCE_MS = 100;
const WAIT_MS = 20_000;
const PEER = { 4: '10.66.0.2', 6: 'fd66::2' } as const;
const PEER_MAC = { 4: '66:00:00:00:04:02', 6: '66:00:00:00:06:02' } as const;

function tunnel(family: Family): VxlanTunnel {
  return {
    family,
    vni: 4096,
    port: 4789,
    mtu: 1400,
    address: family === 4 ? '10.66.0.1' : 'fd66::1',
    mac: `66:00:00:00:0${family}:01`,
    underlay: NODE_ADDRESS[family],
    peers: [
      {
        node: 'other',
        address: PEER[family],
        mac: PEER_MAC[family],
        underlay: OUTSIDE_ADDRESS[family],
      },
    ],
  };
}

/** Pod 1 may reach port 80 of pod 2, and pod 3 may not; another host's pods are behind a tunnel. */
function wantedState(): DataplaneState {
  return {
    ...faultState('after'),
    tunnels: [tunnel(4), tunnel(6)],
    routes: [
      { destination: '10.65.1.0/26', gateway: PEER[4], by: 'vxlan' },
      { destination: 'fd65:1::/122', gateway: PEER[6], by: 'vxlan' },
    ],
  };
}

interface Seen {
  repaired: string[];
  openMs: number | undefined;
}

/** The agent's own parts, over the kernel of a namespace. */
function govern(t: TestContext, namespace: number, state: DataplaneState) {
  const nftables = NftablesSocket.open({ namespace });
  const routes = RouteSocket.open({ namespace });
  const dataplane = new Dataplane({ nftables, routes, sysctls: sysctlsOfNamespace(namespace) });
  const monitor = ChangeMonitor.open({
    namespace,
    table: TABLE_NAME,
    protocol: ROUTE_PROTOCOL.TORTIE,
    routesTo: () => ['cali'],
    links: OWN_INTERFACES,
    own: { routes: routes.port, nftables: nftables.port },
  });
  const seen: Seen = { repaired: [], openMs: undefined };
  // Nobody waits for a quiet time here: each change is the first of a row.
  const watch = (part: KernelPart) =>
    new DriftWatch({ repair: () => loop.repair([part]), quietMs: 0 });
  const watches = { table: watch('table'), routes: watch('routes'), host: watch('host') };
  const loop = new ApplyLoop({
    calculation: { onUpdates: () => {}, state: () => state },
    enforcer: dataplane,
    onApplied: (_, { repaired, errors }) => {
      assert.deepEqual(errors, []);
      const times = Object.values(watches).flatMap(
        (one) => one.onApplied(repaired.length > 0) ?? [],
      );
      if (repaired.length === 0) return;
      seen.repaired.push(...repaired);
      seen.openMs = Math.max(seen.openMs ?? 0, ...times);
    },
  });
  const poller = new Poller();
  const look = () => {
    const { table, routes: inRoutes, links, addresses, settings } = monitor.read();
    if (table) watches.table.onChange();
    if (inRoutes) watches.routes.onChange();
    if (links || addresses || settings) watches.host.onChange();
  };
  for (const descriptor of monitor.descriptors) poller.onReadable(descriptor, look);
  t.after(() => {
    loop.stop();
    for (const one of Object.values(watches)) one.stop();
    poller.close();
    monitor.close();
    dataplane.close();
  });
  loop.onStatus('in-sync');
  return { loop, seen };
}

/** All that is ours in the kernel. */
function snapshot({ machine }: Edge): string {
  const table = [...objectsOf(machine.run('nft', '-s', 'list', 'table', 'inet', TABLE_NAME))];
  const lines = [
    ...['-4', '-6'].map((family) => machine.run('ip', family, 'route', 'show', 'type', 'unicast')),
    ...['-4', '-6'].map((family) =>
      machine.run('ip', family, 'route', 'show', 'type', 'blackhole'),
    ),
    machine.run('ip', '-br', 'link', 'show', 'dev', DEVICE).replace(/@\S+/, ''),
    machine.run('ip', '-br', 'address', 'show', 'dev', DEVICE).replaceAll(/fe80\S+/g, ''),
    machine.run('ip', 'neigh', 'show', 'dev', DEVICE, 'nud', 'permanent'),
    machine.run('bridge', 'fdb', 'show', 'dev', DEVICE),
    machine.run('sysctl', 'net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'),
  ].flatMap((text) => text.split('\n'));
  const own = lines.map((line) => line.trim()).filter((line) => !/proto kernel|^$/.test(line));
  return [...table.map(String), ...own].toSorted().join('\n');
}

interface Mess {
  readonly argv: readonly string[];
  /** What is reported of it. */
  readonly told: RegExp;
}

const nft = (...words: string[]) => ['nft', words.join(' ')];
const PORT = podInterface(2);

function messesOf({ machine }: Edge): Mess[] {
  const text = machine.run('nft', 'list', 'table', 'inet', TABLE_NAME);
  const objects = objectsOf(text);
  const found = (pattern: RegExp) => {
    const name = [...objects.keys()].find((one) => pattern.test(one));
    assert.ok(name, `no object ${pattern}`);
    return name;
  };
  const ingress = found(/^wi-/);
  const decision = found(/^d-/);
  const handle = /goto strays.*# handle (\d+)/.exec(
    machine.run('nft', '-a', 'list', 'table', 'inet', TABLE_NAME),
  )?.[1];
  const map = found(/^m-/);
  const element = /\{ ([^,}]+?)[,\s]*(?:,|\})/.exec(objects.get(map) ?? '')?.[1] ?? '';
  const ours = `inet ${TABLE_NAME}`;
  return [
    { argv: nft(`flush chain ${ours} ${ingress}`), told: /ingress|wi-/ },
    {
      argv: nft(`flush chain ${ours} ${ingress}; add rule ${ours} ${ingress} accept`),
      told: /ingress|wi-/,
    },
    { argv: nft(`insert rule ${ours} ingress accept`), told: /ingress|table inet tortie/ },
    { argv: nft(`insert rule ${ours} ${decision} accept`), told: /d-/ },
    { argv: nft(`delete rule ${ours} prerouting handle ${handle}`), told: /prerouting/ },
    { argv: nft(`flush map ${ours} workloads`), told: /workloads/ },
    { argv: nft(`flush map ${ours} dispatch-ingress`), told: /dispatch-ingress/ },
    { argv: nft(`delete element ${ours} ${map} { ${element.split(' : ')[0]} }`), told: /m-/ },
    { argv: nft(`chain ${ours} ingress { policy drop; }`), told: /ingress|table inet tortie/ },
    {
      argv: nft(`flush chain ${ours} ingress; delete chain ${ours} ingress`),
      told: /ingress|table inet tortie/,
    },
    { argv: nft(`add table ${ours} { flags dormant; }`), told: /table inet tortie/ },
    { argv: nft(`flush table ${ours}`), told: /ingress|table inet tortie/ },
    { argv: nft(`delete table ${ours}`), told: /table inet tortie/ },
    { argv: nft('flush ruleset'), told: /table inet tortie/ },
    { argv: ['ip', 'route', 'del', podAddress(2, 4)], told: /route 10\.65\.0\.2/ },
    { argv: ['ip', '-6', 'route', 'del', podAddress(2, 6)], told: /route fd65::2/ },
    {
      argv: [
        'ip',
        'route',
        'replace',
        `${podAddress(2, 4)}/32`,
        'dev',
        podInterface(3),
        'proto',
        '3',
        'metric',
        '1024',
      ],
      told: /route 10\.65\.0\.2/,
    },
    { argv: ['ip', 'route', 'del', '10.65.1.0/26'], told: /route 10\.65\.1\.0/ },
    {
      argv: ['ip', 'route', 'del', 'blackhole', '10.65.0.0/26', 'metric', '4096'],
      told: /route 10\.65\.0\.0/,
    },
    { argv: ['ip', 'neigh', 'del', PEER[4], 'dev', DEVICE], told: /neighbour 10\.66\.0\.2/ },
    {
      argv: ['bridge', 'fdb', 'del', PEER_MAC[4], 'dev', DEVICE, 'dst', OUTSIDE_ADDRESS[4]],
      told: /way to 66:/,
    },
    { argv: ['ip', 'address', 'flush', 'dev', DEVICE], told: /address 10\.66\.0\.1/ },
    { argv: ['ip', 'link', 'set', DEVICE, 'mtu', '1300'], told: /its MTU/ },
    { argv: ['ip', 'link', 'set', DEVICE, 'down'], told: /it was down/ },
    { argv: ['ip', 'link', 'del', DEVICE], told: /it was not there/ },
    { argv: ['sysctl', '-q', '-w', 'net.ipv4.ip_forward=0'], told: /sysctl net\/ipv4\/ip_forward/ },
    { argv: ['sysctl', '-q', '-w', 'net.ipv6.conf.all.forwarding=0'], told: /sysctl net\/ipv6/ },
  ];
}

test('[DP8] [DP30] [DP72] what a foreign process does is heard, undone, named and timed', async (t) => {
  const edge = await makeEdge(t, 6);
  const { machine, pods } = edge;
  const [friend, , stranger] = pods;
  assert.ok(friend && stranger);
  const { loop, seen } = govern(t, machine.fd, wantedState());
  await until('the first apply', () => loop.ready);
  const clean = snapshot(edge);
  let worst = 0;
  let passed = 0;
  for (const { argv, told } of messesOf(edge)) {
    const what = argv.join(' ');
    seen.repaired = [];
    seen.openMs = undefined;
    // Tried all the time while it is so; only what was really open can be answered.
    const trying = tryUntil(
      () => told.test(seen.repaired.join('\n')),
      () => stranger.probe('tcp', podAddress(2, 4), 80, SILENCE_MS),
    );
    machine.run(argv[0] ?? '', ...argv.slice(1));
    await until(`the repair of ${what}`, () => told.test(seen.repaired.join('\n')));
    passed += await trying;
    await until(`all of it after ${what}`, () => snapshot(edge) === clean);
    assert.ok(seen.openMs !== undefined, `the time is told of ${what}`);
    worst = Math.max(worst, seen.openMs);
    assert.equal(await friend.probe('tcp', podAddress(2, 4), 80, 5_000), 'open', what);
    assert.equal(await stranger.probe('tcp', podAddress(2, 6), 80, SILENCE_MS), 'silent', what);
  }
  process.stdout.write(
    `# ${messesOf(edge).length} foreign changes undone, each within ${worst.toFixed(1)} ms of hearing it; ` +
      `${passed} forbidden connections got through meanwhile (${PORT})\n`,
  );
});

/** How often somebody was answered until it holds. */
async function tryUntil(holds: () => boolean, probe: () => Promise<string>): Promise<number> {
  let answered = 0;
  while (!holds()) if ((await probe()) !== 'silent') answered++;
  return answered;
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  for (; !holds(); await sleep(5)) assert.ok(Date.now() < deadline, `not seen: ${what}`);
}

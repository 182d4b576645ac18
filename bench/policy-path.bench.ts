// What 10 to 10,000 policies cost on the path of packets, against a bare router (needs root).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { DataplanePolicy, DataplaneRule, IpSet, LocalEndpoint } from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import {
  LogReader,
  NftablesSocket,
  Poller,
  RouteSocket,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { ALLOW_ALL, policy, rule, stateOf, tierOf } from '../test/kernel/dataplane-router.ts';
import { printFigure, printMachine } from './measurement.ts';
import { type Host, pinned, type Scratch, type Traffic, withScratch } from './scratch.ts';
import { ECHO_PORT, SILENT_PORT } from './traffic.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
/** Of each measurement. */
const SECONDS = 0.3;
const PARALLEL = 32;
const POLICY_COUNTS = [10, 100, 1_000, 10_000];
/** On another endpoint of the same router. */
const ELSEWHERE = 10_000;
const IPERF_PORT = 5201;
/** Clients on one CPU, servers on the other. */
const CPU = { client: 0, server: 1 } as const;
const ROUTER = '169.254.1.1';
const ROUTER_MAC = 'ee:ee:ee:ee:ee:ee';
const PODS = [
  { name: 'client', address: '10.65.0.1', interfaceName: 'cali00000000001' },
  { name: 'server', address: '10.65.0.2', interfaceName: 'cali00000000002' },
] as const;
const SERVER = PODS[1].address;

type Measure = 'roundTrip' | 'connection' | 'connectMany' | 'tcp' | 'udp' | 'judged';

/** One router with two pods behind it, whose processes run from the start. */
interface Path {
  readonly name: string;
  readonly client: Traffic;
  readonly clientHost: Host;
  readonly figures: Record<Measure, number[]>;
}

function attach(router: Host, pod: Host, which: (typeof PODS)[number]): void {
  const { address, interfaceName } = which;
  router.route.createVeth({
    name: interfaceName,
    peerName: 'eth0',
    peerNamespace: pod.fd,
    mac: ROUTER_MAC,
  });
  router.route.setUp(interfaceName);
  writeSysctlInNamespace(router.fd, `net/ipv4/conf/${interfaceName}/proxy_arp`, 1);
  writeSysctlInNamespace(router.fd, `net/ipv4/neigh/${interfaceName}/proxy_delay`, 0);
  pod.route.setUp('eth0');
  pod.route.addAddress('eth0', `${address}/32`);
  pod.route.replaceNeighbour({ link: 'eth0', address: ROUTER, mac: ROUTER_MAC });
  pod.run(['ip', 'route', 'add', ROUTER, 'dev', 'eth0', 'scope', 'link']);
  pod.run(['ip', 'route', 'add', 'default', 'via', ROUTER, 'dev', 'eth0']);
  router.run(['ip', 'route', 'add', `${address}/32`, 'dev', interfaceName, 'proto', 'static']);
}

const any = { ipSets: [], notIpSets: [] };
const ports = (...list: number[]) => ({ ...any, ports: list.map((port) => [port, port] as const) });
const SETS = 100;

/** Eight addresses each, none of them of a pod here. */
const sets = Array.from({ length: SETS }, (_, index): IpSet => {
  const members = Array.from({ length: 8 }, (__, member) => `10.70.${index}.${member * 2}/32`);
  return { id: `set-${index}`, type: 'net', members: new Set(members) };
});

/** Some policies let a set of pods in at a port that others have too, some everybody at a port of their own. */
function ruleOf(index: number): DataplaneRule {
  if (index % 2 === 0) return rule('Allow', { protocol: 6, destination: ports(10_000 + index) });
  const source = { ipSets: [`set-${index % SETS}`], notIpSets: [] };
  return rule('Allow', { protocol: 6, source, destination: ports(ECHO_PORT, IPERF_PORT, 80) });
}

/** The last of so many policies is the one that allows what is measured. */
function policiesOf(name: string, count: number): DataplanePolicy[] {
  return Array.from({ length: count }, (_, index) => {
    const isLast = index === count - 1;
    const measured = [
      rule('Allow', { protocol: 6, destination: ports(ECHO_PORT, IPERF_PORT) }),
      rule('Allow', { index: 1, protocol: 17, destination: ports(ECHO_PORT, SILENT_PORT) }),
    ];
    return policy(`${name}-${index}`, { ingress: isLast ? measured : [ruleOf(index)] });
  });
}

function enforce(scratch: Scratch, router: Host, count: number): void {
  const policies = policiesOf('policy', count);
  const others = policiesOf('other', ELSEWHERE);
  const endpointOf = (
    { name, address, interfaceName }: { name: string; address: string; interfaceName: string },
    own: readonly DataplanePolicy[],
  ): LocalEndpoint => ({
    id: `default/${name}`,
    interfaceName,
    addresses: [`${address}/32`],
    allowedSources: [],
    floatingAddresses: [],
    ingress: own.length > 0 ? [tierOf(...own)] : [],
    egress: [],
    profiles: [policyKey(ALLOW_ALL.id)],
  });
  const other = { name: 'other', address: '10.65.0.3', interfaceName: 'cali00000000003' };
  router.route.createVeth({ name: other.interfaceName, peerName: 'far' });
  router.route.setUp(other.interfaceName);
  const endpoints = [
    endpointOf(PODS[0], []),
    endpointOf(PODS[1], policies),
    endpointOf(other, others),
  ];
  const dataplane = new Dataplane({
    nftables: NftablesSocket.open({ namespace: router.fd }),
    routes: RouteSocket.open({ namespace: router.fd }),
    sysctls: sysctlsOfNamespace(router.fd),
  });
  scratch.later(() => dataplane.close());
  const state = stateOf(endpoints, [...policies, ...others], {
    ipSets: new Map(sets.map((set) => [set.id, set])),
  });
  const { errors, pending } = dataplane.apply(state);
  if (errors.length + pending.length > 0) throw new Error(JSON.stringify({ errors, pending }));
  readLogs(scratch, router);
}

/** Each new connection is logged: without a reader that would be too cheap. */
function readLogs(scratch: Scratch, router: Host): void {
  const poller = new Poller();
  scratch.later(() => poller.close());
  for (const group of [1, 2]) {
    const log = LogReader.open({ group, namespace: router.fd });
    scratch.later(() => log.close());
    poller.onReadable(log.fd, () => void log.read());
  }
}

/** What an administrator would write by hand: connection tracking, and the rules that are needed. */
function handWritten(router: Host): void {
  const chain = [
    'type filter hook forward priority 0; policy drop;',
    'ct state established,related accept',
    `tcp dport { ${ECHO_PORT}, ${IPERF_PORT} } accept`,
    `udp dport { ${ECHO_PORT}, ${SILENT_PORT} } accept`,
  ];
  router.run(['nft', '-f', '-'], `table inet hand {\nchain forward {\n${chain.join('\n')}\n}\n}\n`);
}

async function path(
  scratch: Scratch,
  name: string,
  prepare: (router: Host) => void,
): Promise<Path> {
  const [router, client, server] = [scratch.host(), scratch.host(), scratch.host()];
  writeSysctlInNamespace(router.fd, 'net/ipv4/ip_forward', 1);
  attach(router, client, PODS[0]);
  attach(router, server, PODS[1]);
  prepare(router);
  const clientTraffic = await scratch.traffic(client, CPU.client);
  const serverTraffic = await scratch.traffic(server, CPU.server);
  await serverTraffic.ask({ type: 'serve' });
  const argv = [...pinned(CPU.server), 'iperf3', '-s', '-p', String(IPERF_PORT)];
  const listener = spawn('nsenter', [`--net=${server.path}`, ...argv], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  scratch.later(() => ended(listener));
  const figures = { roundTrip: [], connection: [], connectMany: [], tcp: [], udp: [], judged: [] };
  return { name, client: clientTraffic, clientHost: client, figures };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

interface IperfReport {
  readonly error?: string;
  readonly intervals: readonly { readonly sum: { bits_per_second: number } }[];
}

/** Bits a second over TCP in the best tenth of a second. */
async function iperf({ clientHost }: Path, seconds: number): Promise<number> {
  const end = ['-J', '-i', '0.1', '-c', SERVER, '-p', String(IPERF_PORT), '-t', String(seconds)];
  const argv = [`--net=${clientHost.path}`, ...pinned(CPU.client), 'iperf3', ...end];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  const { intervals, error } = JSON.parse(text) as IperfReport;
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  return Math.max(...intervals.map(({ sum }) => sum.bits_per_second));
}

function measure(which: Measure, each: Path, seconds: number): Promise<number> {
  const to = { address: SERVER, seconds };
  switch (which) {
    case 'roundTrip':
    case 'connection':
      return each.client.ask({ type: which, ...to });
    case 'connectMany':
      return each.client.ask({ type: 'connect', ...to, parallel: PARALLEL });
    case 'tcp':
      return iperf(each, 1);
    case 'udp':
      return each.client.ask({ type: 'packet', port: ECHO_PORT, ...to });
    case 'judged':
      return each.client.ask({ type: 'packet', port: SILENT_PORT, ...to });
  }
}

const MEASURES: readonly (readonly [Measure, name: string, unit: string, scale: number])[] = [
  ['roundTrip', 'round trip of one byte', 'us', 1],
  ['connection', 'a new connection and one byte back', 'us', 1],
  ['connectMany', `connections, ${PARALLEL} at once`, 'connections/s', 1],
  ['tcp', 'throughput of one connection (iperf3)', 'Gbit/s', 1e-9],
  ['udp', 'a UDP packet of 64 bytes, established', 'us', 1],
  ['judged', 'a UDP packet of 64 bytes that policy judges and logs', 'us', 1],
];

/** All paths, one right after the other, each time another one first. */
async function round(paths: readonly Path[], number: number): Promise<void> {
  const turn = number % paths.length;
  const turned = [...paths.slice(turn), ...paths.slice(0, turn)];
  for (const [which] of MEASURES) {
    for (const each of turned) each.figures[which].push(await measure(which, each, SECONDS));
  }
}

/**
 * The best of the rounds each, and the ratio of the bests: on a machine that others use that is what comes
 * nearest to an idle one.
 */
function print(paths: readonly Path[], bare: Path): void {
  for (const [which, what, unit, scale] of MEASURES) {
    const best = ({ figures }: Path): number =>
      (unit === 'us' ? Math.min(...figures[which]) : Math.max(...figures[which])) * scale;
    for (const each of paths) {
      const peer = { name: 'the bare router', figure: best(bare) };
      printFigure(`${what}, ${each.name}`, best(each), unit, each === bare ? undefined : peer);
    }
  }
}

await withScratch(async (scratch) => {
  printMachine();
  const bare = await path(scratch, 'bare router', () => undefined);
  const paths = [bare, await path(scratch, 'hand-written nftables', handWritten)];
  for (const count of POLICY_COUNTS) {
    const name = `${count} policies`;
    paths.push(await path(scratch, name, (router) => enforce(scratch, router, count)));
  }
  for (const [which] of MEASURES) {
    for (const each of paths) await measure(which, each, SECONDS / 2);
  }
  for (let number = 0; number < ROUNDS; number++) await round(paths, number);
  print(paths, bare);
});

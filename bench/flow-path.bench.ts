// What reading flows costs on the path of packets, against the same policy read by nobody (needs root).
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { FlowWorker, type SocketDetails } from '#agent';
import type { LocalEndpoint } from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import { NftablesSocket, RouteSocket, sysctlsOfNamespace, writeSysctlInNamespace } from '#linux';
import { ALLOW_ALL, policy, rule, stateOf, tierOf } from '../test/kernel/dataplane-router.ts';
import { median, printFigure, printMachine } from './measurement.ts';
import { type Host, pinned, type Scratch, type Traffic, withScratch } from './scratch.ts';
import { ECHO_PORT } from './traffic.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
const SECONDS = 0.4;
const PARALLEL = 32;
const IPERF_PORT = 5201;
const CPU = { client: 0, server: 1 } as const;
const ROUTER = '169.254.1.1';
const ROUTER_MAC = 'ee:ee:ee:ee:ee:ee';
const PODS = [
  { name: 'client', address: '10.65.0.1', interfaceName: 'cali00000000001' },
  { name: 'server', address: '10.65.0.2', interfaceName: 'cali00000000002' },
] as const;
const SERVER = PODS[1].address;
const ADDRESSES = PODS.map(({ address }) => address);

const MODES = ['read by nobody', 'read', 'read with processes and TCP'] as const;
type Mode = (typeof MODES)[number];
type Measure = 'roundTrip' | 'connection' | 'connectMany' | 'tcp';
type Figures = Record<Measure, number[]>;

interface Path {
  readonly router: Host;
  readonly dataplane: Dataplane;
  readonly client: Traffic;
  readonly clientHost: Host;
}

function attach(router: Host, pod: Host, which: (typeof PODS)[number]): void {
  const { address, interfaceName: name } = which;
  router.route.createVeth({ name, peerName: 'eth0', peerNamespace: pod.fd, mac: ROUTER_MAC });
  router.route.setUp(name);
  writeSysctlInNamespace(router.fd, `net/ipv4/conf/${name}/proxy_arp`, 1);
  writeSysctlInNamespace(router.fd, `net/ipv4/neigh/${name}/proxy_delay`, 0);
  pod.route.setUp('eth0');
  pod.route.addAddress('eth0', `${address}/32`);
  pod.route.replaceNeighbour({ link: 'eth0', address: ROUTER, mac: ROUTER_MAC });
  pod.run(['ip', 'route', 'add', ROUTER, 'dev', 'eth0', 'scope', 'link']);
  pod.run(['ip', 'route', 'add', 'default', 'via', ROUTER, 'dev', 'eth0']);
}

function enforce(scratch: Scratch, router: Host): Dataplane {
  const ports = [ECHO_PORT, IPERF_PORT].map((port) => [port, port] as const);
  const destination = { ipSets: [], notIpSets: [], ports };
  const web = policy('web', { ingress: [rule('Allow', { protocol: 6, destination })] });
  const endpoints = PODS.map(
    ({ name, address, interfaceName }): LocalEndpoint => ({
      id: `default/${name}`,
      interfaceName,
      addresses: [`${address}/32`],
      allowedSources: [],
      floatingAddresses: [],
      ingress: name === 'server' ? [tierOf(web)] : [],
      egress: [],
      profiles: [policyKey(ALLOW_ALL.id)],
    }),
  );
  const dataplane = new Dataplane({
    nftables: NftablesSocket.open({ namespace: router.fd }),
    routes: RouteSocket.open({ namespace: router.fd }),
    sysctls: sysctlsOfNamespace(router.fd),
  });
  scratch.later(() => dataplane.close());
  const { errors } = dataplane.apply(stateOf(endpoints, [web]));
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  return dataplane;
}

async function makePath(scratch: Scratch): Promise<Path> {
  const [router, clientHost, server] = [scratch.host(), scratch.host(), scratch.host()];
  writeSysctlInNamespace(router.fd, 'net/ipv4/ip_forward', 1);
  attach(router, clientHost, PODS[0]);
  attach(router, server, PODS[1]);
  const dataplane = enforce(scratch, router);
  const client = await scratch.traffic(clientHost, CPU.client);
  const serverTraffic = await scratch.traffic(server, CPU.server);
  await serverTraffic.ask({ type: 'serve' });
  const argv = [...pinned(CPU.server), 'iperf3', '-s', '-p', String(IPERF_PORT)];
  const listener = spawn('nsenter', [`--net=${server.path}`, ...argv], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  scratch.later(() => ended(listener));
  return { router, dataplane, client, clientHost };
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
async function iperf({ clientHost }: Path): Promise<number> {
  const end = ['-J', '-i', '0.1', '-c', SERVER, '-p', String(IPERF_PORT), '-t', String(1)];
  const argv = [`--net=${clientHost.path}`, ...pinned(CPU.client), 'iperf3', ...end];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  const { intervals, error } = JSON.parse(text) as IperfReport;
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  return Math.max(...intervals.map(({ sum }) => sum.bits_per_second));
}

/** Runs `work` while flows are read as `mode` says; returns how many connections were heard of. */
async function reading(path: Path, mode: Mode, work: () => Promise<void>): Promise<number> {
  const { router, dataplane } = path;
  writeSysctlInNamespace(router.fd, 'net/netfilter/nf_conntrack_acct', mode === MODES[0] ? 0 : 1);
  if (mode === MODES[0]) {
    await work();
    return 0;
  }
  let started = 0;
  const worker = new FlowWorker({
    groups: [1, 2],
    namespace: router.fd,
    hitOf: (prefix) => dataplane.hitOf(prefix),
    log: (message) => void process.stdout.write(`${message}\n`),
    onReports: (reports) => {
      for (const { direction, connections } of reports) {
        if (direction === 'ingress') started += connections.started;
      }
    },
  });
  const wanted = mode === MODES[2];
  const details: SocketDetails = { process: wanted, tcp: wanted };
  worker.setLocals(ADDRESSES);
  worker.setDetails(details);
  for (let look = 0; look < 100 && !worker.state; look++) await sleep(100);
  try {
    await work();
  } finally {
    await worker.stop();
  }
  return started;
}

async function measure(path: Path, figures: Figures): Promise<void> {
  const { client } = path;
  const to = { address: SERVER, seconds: SECONDS };
  figures.roundTrip.push(await client.ask({ type: 'roundTrip', ...to }));
  figures.connection.push(await client.ask({ type: 'connection', ...to }));
  figures.connectMany.push(await client.ask({ type: 'connect', ...to, parallel: PARALLEL }));
  figures.tcp.push(await iperf(path));
}

await withScratch(async (scratch) => {
  printMachine();
  const path = await makePath(scratch);
  const empty = (): Figures => ({ roundTrip: [], connection: [], connectMany: [], tcp: [] });
  const figures = new Map<Mode, Figures>(MODES.map((mode) => [mode, empty()]));
  let heard = 0;
  for (let round = 0; round <= ROUNDS; round++) {
    for (const mode of MODES) {
      const into = round === 0 ? empty() : (figures.get(mode) ?? empty());
      heard += await reading(path, mode, () => measure(path, into));
    }
  }
  const bare = figures.get(MODES[0]) ?? empty();
  for (const mode of MODES) {
    const own = figures.get(mode) ?? empty();
    const print = (what: Measure, text: string, unit: string, scale: number): void => {
      const peer = { name: MODES[0], figure: median(bare[what]) / scale };
      const figure = median(own[what]) / scale;
      printFigure(`${mode}: ${text}`, figure, unit, mode === MODES[0] ? undefined : peer);
    };
    print('roundTrip', 'round trip', 'us', 1);
    print('connection', 'new connection with its first answer', 'us', 1);
    print('connectMany', 'connections at once', 'a second', 1);
    print('tcp', 'TCP', 'Gbit/s', 1e9);
  }
  printFigure('connections that were heard of', heard, 'connections');
});

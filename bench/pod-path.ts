// One router with two pods behind it, whose processes serve and make traffic: what is measured on the path between.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { DataplaneState, LocalEndpoint } from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import { NftablesSocket, RouteSocket, sysctlsOfNamespace, writeSysctlInNamespace } from '#linux';
import { ALLOW_ALL, policy, rule, stateOf, tierOf } from '../test/kernel/dataplane-router.ts';
import { printFigure } from './measurement.ts';
import { type Host, pinned, type Scratch, type Traffic } from './scratch.ts';
import { ECHO_PORT, SILENT_PORT } from './traffic.ts';

export const PODS = [
  { name: 'client', address: '10.65.0.1', interfaceName: 'cali00000000001' },
  { name: 'server', address: '10.65.0.2', interfaceName: 'cali00000000002' },
] as const;
/** What a policy has to let in for `measure`. */
export const IPERF_PORT = 5201;
export const PARALLEL = 32;

const SERVER = PODS[1].address;
/** Clients on one CPU, servers on the other. */
const CPU = { client: 0, server: 1 } as const;
const ROUTER = '169.254.1.1';
const ROUTER_MAC = 'ee:ee:ee:ee:ee:ee';

export type Measure = 'roundTrip' | 'connection' | 'connectMany' | 'tcp' | 'udp' | 'judged';

/** `figures` are of the rounds, for each measure. */
export interface PodPath {
  readonly name: string;
  readonly router: Host;
  readonly client: Traffic;
  readonly clientHost: Host;
  readonly figures: Record<Measure, number[]>;
}

/** `prepare` is called when router and pods are connected. */
export async function podPath(
  scratch: Scratch,
  name: string,
  prepare: (router: Host) => void,
): Promise<PodPath> {
  const [router, clientHost, server] = [scratch.host(), scratch.host(), scratch.host()];
  writeSysctlInNamespace(router.fd, 'net/ipv4/ip_forward', 1);
  attach(router, clientHost, PODS[0]);
  attach(router, server, PODS[1]);
  prepare(router);
  const client = await scratch.traffic(clientHost, CPU.client);
  const serverTraffic = await scratch.traffic(server, CPU.server);
  await serverTraffic.ask({ type: 'serve' });
  const argv = [...pinned(CPU.server), 'iperf3', '-s', '-p', String(IPERF_PORT)];
  const listener = spawn('nsenter', [`--net=${server.path}`, ...argv], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  scratch.later(() => ended(listener));
  const figures = { roundTrip: [], connection: [], connectMany: [], tcp: [], udp: [], judged: [] };
  return { name, router, client, clientHost, figures };
}

/** One policy that lets in what `measure` does, in the kernel of the router. Throws where it is not all there. */
export function enforceOne(
  scratch: Scratch,
  router: Host,
  settings?: DataplaneState['settings'],
): Dataplane {
  const list = [ECHO_PORT, IPERF_PORT, SILENT_PORT].map((port) => [port, port] as const);
  const destination = { ipSets: [], notIpSets: [], ports: list };
  const ingress = [6, 17].map((protocol, index) => rule('Allow', { index, protocol, destination }));
  const web = policy('web', { ingress });
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
  const state = stateOf(endpoints, [web], settings ? { settings } : {});
  const { errors, pending, warnings } = dataplane.apply(state);
  const left = [...errors, ...pending, ...warnings];
  if (left.length > 0) throw new Error(JSON.stringify(left));
  return dataplane;
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
  router.run(['ip', 'route', 'add', `${address}/32`, 'dev', name, 'proto', 'static']);
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
async function iperf({ clientHost }: PodPath): Promise<number> {
  const end = ['-J', '-i', '0.1', '-c', SERVER, '-p', String(IPERF_PORT), '-t', '1'];
  const argv = [`--net=${clientHost.path}`, ...pinned(CPU.client), 'iperf3', ...end];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  for await (const chunk of child.stdout) text += String(chunk);
  const { intervals, error } = JSON.parse(text) as IperfReport;
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  return Math.max(...intervals.map(({ sum }) => sum.bits_per_second));
}

/** One figure; `tcp` takes a second whatever is asked for. */
export function measure(which: Measure, path: PodPath, seconds: number): Promise<number> {
  const to = { address: SERVER, seconds };
  switch (which) {
    case 'roundTrip':
    case 'connection':
      return path.client.ask({ type: which, ...to });
    case 'connectMany':
      return path.client.ask({ type: 'connect', ...to, parallel: PARALLEL });
    case 'tcp':
      return iperf(path);
    case 'udp':
      return path.client.ask({ type: 'packet', port: ECHO_PORT, ...to });
    case 'judged':
      return path.client.ask({ type: 'packet', port: SILENT_PORT, ...to });
  }
}

type Measures = readonly (readonly [Measure, name: string, unit: string, scale: number])[];

const MEASURES: Measures = [
  ['roundTrip', 'round trip of one byte', 'us', 1],
  ['connection', 'a new connection and one byte back', 'us', 1],
  ['connectMany', `connections, ${PARALLEL} at once`, 'connections/s', 1],
  ['tcp', 'throughput of one connection (iperf3)', 'Gbit/s', 1e-9],
  ['udp', 'a UDP packet of 64 bytes, established', 'us', 1],
  ['judged', 'a UDP packet of 64 bytes that policy judges and logs', 'us', 1],
];

/** Measures all paths, one right after the other, each time another one first; one turn before is for nothing. */
export async function measureRounds(
  paths: readonly PodPath[],
  rounds: number,
  seconds: number,
  measures = MEASURES,
): Promise<void> {
  for (const [which] of measures) {
    for (const path of paths) await measure(which, path, seconds / 2);
  }
  for (let round = 0; round < rounds; round++) {
    const turn = round % paths.length;
    const turned = [...paths.slice(turn), ...paths.slice(0, turn)];
    for (const [which] of measures) {
      for (const path of turned) path.figures[which].push(await measure(which, path, seconds));
    }
  }
}

/**
 * The best of the rounds each, and the ratio of the bests: on a machine that others use that is what comes
 * nearest to an idle one.
 */
export function printPaths(paths: readonly PodPath[], peer: PodPath, measures = MEASURES): void {
  for (const [which, what, unit, scale] of measures) {
    const best = ({ figures }: PodPath): number =>
      (unit === 'us' ? Math.min(...figures[which]) : Math.max(...figures[which])) * scale;
    for (const path of paths) {
      const against = path === peer ? undefined : { name: peer.name, figure: best(peer) };
      printFigure(`${what}, ${path.name}`, best(path), unit, against);
    }
  }
}

// What 10 and 100 policies cost on the path of packets, against a bare router (needs root).
import type { LocalEndpoint } from '#calc/dataplane-update';
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
import { median, printFigure, printMachine } from './measurement.ts';
import { type Host, type Scratch, type Traffic, withScratch } from './scratch.ts';
import { ECHO_PORT, SINK_PORT } from './traffic.ts';

const ROUNDS = 5;
/** Of each measurement. */
const SECONDS = 0.5;
const PARALLEL = 32;
const POLICY_COUNTS = [10, 100];
const ROUTER = '169.254.1.1';
const ROUTER_MAC = 'ee:ee:ee:ee:ee:ee';
const PODS = [
  { name: 'client', address: '10.65.0.1', interfaceName: 'cali00000000001' },
  { name: 'server', address: '10.65.0.2', interfaceName: 'cali00000000002' },
] as const;
const SERVER = PODS[1].address;

type Measure = 'roundTrip' | 'connectOne' | 'connectMany' | 'stream';

/** One router with two pods behind it, whose processes run from the start. */
interface Path {
  readonly name: string;
  readonly client: Traffic;
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

/** The last of so many policies is the one that allows; each of the others has a rule to look at. */
function enforce(scratch: Scratch, router: Host, count: number): void {
  const any = { ipSets: [], notIpSets: [] };
  const policies = Array.from({ length: count }, (_, index) => {
    const isLast = index === count - 1;
    const ports = isLast
      ? ([ECHO_PORT, SINK_PORT] as const)
      : ([1000 + index, 1000 + index] as const);
    const only = rule('Allow', { protocol: 6, destination: { ...any, ports: [ports] } });
    return policy(`policy-${index}`, { ingress: [only] });
  });
  const endpoints = PODS.map(
    ({ name, address, interfaceName }): LocalEndpoint => ({
      id: `default/${name}`,
      interfaceName,
      addresses: [`${address}/32`],
      allowedSources: [],
      floatingAddresses: [],
      ingress: name === 'server' ? [tierOf(...policies)] : [],
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
  const { errors, pending } = dataplane.apply(stateOf(endpoints, policies));
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

/** What an administrator would write by hand: connection tracking, and the one rule that is needed. */
function handWritten(router: Host): void {
  const chain = [
    'type filter hook forward priority 0; policy drop;',
    'ct state established,related accept',
    `tcp dport ${ECHO_PORT}-${SINK_PORT} accept`,
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
  const [clientTraffic, serverTraffic] = [
    await scratch.traffic(client),
    await scratch.traffic(server),
  ];
  await serverTraffic.ask({ type: 'serve' });
  const figures = { roundTrip: [], connectOne: [], connectMany: [], stream: [] };
  return { name, client: clientTraffic, figures };
}

function measure(which: Measure, { client }: Path, seconds: number): Promise<number> {
  const to = { address: SERVER, seconds };
  switch (which) {
    case 'roundTrip':
      return client.ask({ type: 'roundTrip', ...to });
    case 'connectOne':
      return client.ask({ type: 'connect', ...to, parallel: 1 });
    case 'connectMany':
      return client.ask({ type: 'connect', ...to, parallel: PARALLEL });
    case 'stream':
      return client.ask({ type: 'stream', ...to });
  }
}

const MEASURES: readonly (readonly [Measure, name: string, unit: string, scale: number])[] = [
  ['roundTrip', 'round trip of one byte', 'us', 1],
  ['connectOne', 'connections, one at a time', 'connections/s', 1],
  ['connectMany', `connections, ${PARALLEL} at once`, 'connections/s', 1],
  ['stream', 'throughput of one connection', 'Gbit/s', 8e-9],
];

/** All paths, one right after the other, each time another one first. */
async function round(paths: readonly Path[], number: number): Promise<void> {
  const turn = number % paths.length;
  const turned = [...paths.slice(turn), ...paths.slice(0, turn)];
  for (const [which] of MEASURES) {
    for (const each of turned) each.figures[which].push(await measure(which, each, SECONDS));
  }
}

/** Ratios are the middle of the rounds' ratios: what disturbs a round disturbs all paths. */
function print(paths: readonly Path[], bare: Path): void {
  for (const [which, what, unit, scale] of MEASURES) {
    for (const { name, figures } of paths) {
      const figure = median(figures[which]) * scale;
      const ratios = figures[which].map(
        (each, index) => each / (bare.figures[which][index] ?? NaN),
      );
      const peer = { name: 'the bare router, round by round', figure: figure / median(ratios) };
      printFigure(`${what}, ${name}`, figure, unit, figures === bare.figures ? undefined : peer);
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

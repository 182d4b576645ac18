// What 10 to 10,000 policies cost on the path of packets, against a bare router (needs root).
import type { DataplanePolicy, DataplaneRule, IpSet, LocalEndpoint } from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import { LogReader, NftablesSocket, Poller, RouteSocket, sysctlsOfNamespace } from '#linux';
import { ALLOW_ALL, policy, rule, stateOf, tierOf } from '../test/kernel/dataplane-router.ts';
import { printMachine } from './measurement.ts';
import { IPERF_PORT, measureRounds, podPath, PODS, printPaths } from './pod-path.ts';
import { type Host, type Scratch, withScratch } from './scratch.ts';
import { ECHO_PORT, SILENT_PORT } from './traffic.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 5);
/** Of each measurement. */
const SECONDS = 0.3;
const POLICY_COUNTS = [10, 100, 1_000, 10_000];
/** On another endpoint of the same router. */
const ELSEWHERE = 10_000;

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

await withScratch(async (scratch) => {
  printMachine();
  const bare = await podPath(scratch, 'the bare router', () => undefined);
  const paths = [bare, await podPath(scratch, 'hand-written nftables', handWritten)];
  for (const count of POLICY_COUNTS) {
    const name = `${count} policies`;
    paths.push(await podPath(scratch, name, (router) => enforce(scratch, router, count)));
  }
  await measureRounds(paths, ROUNDS, SECONDS);
  printPaths(paths, bare);
});

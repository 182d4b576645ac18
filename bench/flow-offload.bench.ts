// Established traffic past policy by the kernel's flowtable, against a bare router: in a guest, whose kernel has one.
import { policyKey } from '#calc/dataplane-update';
import type { LocalEndpoint } from '#calc/dataplane-update';
import { BARE_STATE } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import { NftablesSocket, RouteSocket, sysctlsOfNamespace } from '#linux';
import { runInGuest } from '../test/guest/guest.ts';
import { ALLOW_ALL, policy, rule, stateOf, tierOf } from '../test/kernel/dataplane-router.ts';
import { printFigure, printMachine } from './measurement.ts';
import { IPERF_PORT, type Measure, measure, podPath, type PodPath, PODS } from './pod-path.ts';
import { type Host, type Scratch, withScratch } from './scratch.ts';
import { ECHO_PORT } from './traffic.ts';

const INSIDE = 'inside';
const LIMIT_SECONDS = 900;
const ROUNDS = Number(process.env['ROUNDS'] ?? process.argv[3] ?? 5);
const SECONDS = 1;

const MEASURES: readonly (readonly [Measure, name: string, unit: string, scale: number])[] = [
  ['udp', 'a UDP packet of 64 bytes, established', 'us', 1],
  ['roundTrip', 'round trip of one byte', 'us', 1],
  ['tcp', 'throughput of one connection (iperf3)', 'Mbit/s', 1e-6],
];

function enforce(scratch: Scratch, router: Host, offload: boolean): void {
  const list = [[ECHO_PORT, ECHO_PORT] as const, [IPERF_PORT, IPERF_PORT] as const];
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
  const flowOffload = offload ? { hostInterfacePattern: '' } : null;
  const settings = { ...BARE_STATE.settings, flowOffload };
  const { errors, pending, warnings } = dataplane.apply(stateOf(endpoints, [web], { settings }));
  const left = [...errors, ...pending, ...warnings];
  if (left.length > 0) throw new Error(JSON.stringify(left));
}

/** What an administrator would write by hand. */
function handWritten(router: Host): void {
  const chain = [
    'type filter hook forward priority 0; policy drop;',
    'ct state established,related accept',
    `tcp dport { ${ECHO_PORT}, ${IPERF_PORT} } accept`,
    `udp dport ${ECHO_PORT} accept`,
  ];
  router.run(['nft', '-f', '-'], `table inet hand {\nchain forward {\n${chain.join('\n')}\n}\n}\n`);
}

async function inside(): Promise<void> {
  await withScratch(async (scratch) => {
    printMachine();
    const bare = await podPath(scratch, 'the bare router', () => undefined);
    const paths = [
      bare,
      await podPath(scratch, 'hand-written nftables', handWritten),
      await podPath(scratch, 'policy', (router) => enforce(scratch, router, false)),
      await podPath(scratch, 'policy with offload', (router) => enforce(scratch, router, true)),
    ];
    for (let round = 0; round <= ROUNDS; round++) {
      const turn = round % paths.length;
      const turned = [...paths.slice(turn), ...paths.slice(0, turn)];
      for (const [which] of MEASURES) {
        for (const path of turned) {
          const figure = await measure(which, path, SECONDS);
          // One round before the first is for nothing.
          if (round > 0) path.figures[which].push(figure);
        }
      }
    }
    for (const [which, what, unit, scale] of MEASURES) {
      const best = ({ figures }: PodPath): number =>
        (unit === 'us' ? Math.min(...figures[which]) : Math.max(...figures[which])) * scale;
      for (const path of paths) {
        const peer = path === bare ? undefined : { name: bare.name, figure: best(bare) };
        printFigure(`${what}, ${path.name}`, best(path), unit, peer);
      }
    }
  });
}

if (process.argv[2] === INSIDE) await inside();
else {
  const argv = [process.execPath, import.meta.filename, INSIDE, String(ROUNDS)];
  const { status, output, console: kernel, seconds } = await runInGuest(argv, LIMIT_SECONDS);
  process.stdout.write(`${output}${status === 0 ? '' : kernel}guest: ${seconds.toFixed(0)} s\n`);
  process.exitCode = status ?? 1;
}

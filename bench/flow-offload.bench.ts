// Established traffic past policy by the kernel's flowtable, against a bare router: in a guest, whose kernel has one.
import { setPriority } from 'node:os';
import { BARE_STATE } from '#calc/dataplane-update';
import { runInGuest } from '../test/guest/guest.ts';
import { printMachine } from './measurement.ts';
import {
  enforceOne,
  IPERF_PORT,
  type Measure,
  measureRounds,
  podPath,
  printPaths,
} from './pod-path.ts';
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
  const flowOffload = offload ? { hostInterfacePattern: '' } : null;
  enforceOne(scratch, router, { ...BARE_STATE.settings, flowOffload });
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
    await measureRounds(paths, ROUNDS, SECONDS, MEASURES);
    printPaths(paths, bare, MEASURES);
  });
}

if (process.argv[2] === INSIDE) await inside();
else {
  // What others do on this machine is not asked for.
  setPriority(-15);
  const argv = [process.execPath, import.meta.filename, INSIDE, String(ROUNDS)];
  const { status, output, console: kernel, seconds } = await runInGuest(argv, LIMIT_SECONDS);
  process.stdout.write(`${output}${status === 0 ? '' : kernel}guest: ${seconds.toFixed(0)} s\n`);
  process.exitCode = status ?? 1;
}

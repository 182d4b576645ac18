// A pod of the restart test: serves, keeps connecting where it may, or keeps trying where it may not.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What a pod has seen so far; written to its report file several times a second. */
export interface TrafficReport {
  /** New connections that were made and answered. */
  readonly answered: number;
  /** New connections that were not, within the time. */
  readonly unanswered: number;
  /** Answers on the one connection that stays open. */
  readonly beats: number;
  /** TCP segments that this pod had to send again, as its kernel counts: lost packets are among them. */
  readonly retransmitted: number;
  /** Whether that connection ever broke. */
  readonly broken: boolean;
}

const PORT = 8080;
const EVERY_MS = 10;
const TIMEOUT_MS = 2_000;
const report = { answered: 0, unanswered: 0, beats: 0, retransmitted: 0, broken: false };

function serve(): void {
  // Echoes, for new connections and for the one that stays open.
  net
    .createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    })
    .listen(PORT, '::');
}

/** Waits until the lab has given the peer an address. */
async function addressOf(peer: string): Promise<string> {
  for (;;) {
    const peers = JSON.parse(readFileSync(process.env['TORTIE_LAB_PEERS'] ?? '', 'utf8'));
    const address: unknown = peers[peer]?.[0];
    if (typeof address === 'string') return address;
    await sleep(100);
  }
}

function tryOnce(host: string): void {
  const socket = net.connect({ host, port: PORT, timeout: TIMEOUT_MS });
  const finish = (answered: boolean) => {
    if (answered) report.answered++;
    else report.unanswered++;
    socket.removeAllListeners();
    socket.on('error', () => {});
    socket.destroy();
  };
  socket.on('connect', () => socket.write('x'));
  socket.on('data', () => finish(true));
  socket.on('timeout', () => finish(false));
  socket.on('error', () => finish(false));
}

/** Waits until the server listens: nothing counts before that. */
async function untilServed(host: string): Promise<void> {
  for (let served = false; !served; await sleep(100)) {
    served = await new Promise<boolean>((resolve) => {
      const socket = net.connect({ host, port: PORT, timeout: TIMEOUT_MS });
      for (const event of ['connect', 'error', 'timeout']) {
        socket.once(event, () => {
          socket.destroy();
          resolve(event === 'connect');
        });
      }
    });
  }
}

function keepOpen(host: string): void {
  const socket = net.connect({ host, port: PORT });
  socket.on('connect', () => socket.write('x'));
  socket.on('data', () => {
    report.beats++;
    setTimeout(() => socket.write('x'), EVERY_MS);
  });
  for (const event of ['error', 'close']) socket.on(event, () => (report.broken = true));
}

/** RetransSegs of /proc/net/snmp in this pod's namespace. */
function retransmitted(): number {
  const [names = [], values = []] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('RetransSegs')] ?? 0);
}

const [mode = '', peer = '', file = ''] = process.argv.slice(2);
if (mode === 'serve') serve();
else {
  const host = await addressOf(peer);
  if (mode === 'talk') {
    await untilServed(host);
    keepOpen(host);
  }
  const before = retransmitted();
  setInterval(() => tryOnce(host), EVERY_MS);
  setInterval(() => {
    report.retransmitted = retransmitted() - before;
    writeFileSync(`${file}.new`, JSON.stringify(report));
    renameSync(`${file}.new`, file);
  }, 100);
}

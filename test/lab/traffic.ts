// A pod of the restart test: serves, keeps connecting where it may, or keeps trying where it may not.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';

/** What a pod has seen so far; written to its report file several times a second. */
export interface TrafficReport {
  /** New connections that were made and answered. */
  readonly answered: number;
  /** New connections that were not, within the time. */
  readonly unanswered: number;
  /** Answers on the one connection that stays open. */
  readonly beats: number;
  /** The longest time between two of its answers, milliseconds. */
  readonly longestGapMs: number;
  /** Whether that connection ever broke. */
  readonly broken: boolean;
}

const PORT = 8080;
const EVERY_MS = 10;
const TIMEOUT_MS = 2_000;
const report = { answered: 0, unanswered: 0, beats: 0, longestGapMs: 0, broken: false };

function serve(): void {
  // Echoes, for new connections and for the one that stays open.
  net
    .createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    })
    .listen(PORT, '::');
}

function addressOf(peer: string): string {
  const peers = JSON.parse(readFileSync(process.env['TORTIE_LAB_PEERS'] ?? '', 'utf8'));
  return peers[peer]?.[0] ?? '192.0.2.1';
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

function keepOpen(host: string): void {
  const socket = net.connect({ host, port: PORT });
  let last = 0;
  socket.on('connect', () => socket.write('x'));
  socket.on('data', () => {
    const now = Date.now();
    if (last > 0) report.longestGapMs = Math.max(report.longestGapMs, now - last);
    last = now;
    report.beats++;
    setTimeout(() => socket.write('x'), EVERY_MS);
  });
  for (const event of ['error', 'close']) socket.on(event, () => (report.broken = true));
}

const [mode = '', peer = '', file = ''] = process.argv.slice(2);
if (mode === 'serve') serve();
else {
  const host = addressOf(peer);
  if (mode === 'talk') keepOpen(host);
  setInterval(() => tryOnce(host), EVERY_MS);
  setInterval(() => {
    writeFileSync(`${file}.new`, JSON.stringify(report));
    renameSync(`${file}.new`, file);
  }, 100);
}

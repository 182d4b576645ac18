// What the benchmarks print: the machine as it is now, and a figure a line, with its ratio where it has a peer.
import { availableParallelism, loadavg, release } from 'node:os';

/** `figure / peer`, and what the peer is: `1.8 times "nft -f"`. */
export interface Peer {
  readonly name: string;
  readonly figure: number;
}

/** The machine and how busy others keep it: figures of a busy machine are read as ratios. */
export function printMachine(): void {
  const [load = 0] = loadavg();
  process.stdout.write(
    `machine: ${availableParallelism()} CPUs, Linux ${release()}, Node ${process.versions.node}, ` +
      `load ${load.toFixed(1)}\n`,
  );
}

/** Prints `name: figure unit (ratio … of peer)`. */
export function printFigure(name: string, figure: number, unit: string, peer?: Peer): void {
  const ratio = peer ? ` (ratio ${rounded(figure / peer.figure)} of ${peer.name})` : '';
  process.stdout.write(`${name}: ${rounded(figure)} ${unit}${ratio}\n`);
}

/** The middle one; the lower of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1] ?? NaN;
}

/** Seconds that the work takes. */
export function timed(work: () => void): number {
  const start = performance.now();
  work();
  return (performance.now() - start) / 1000;
}

/** Seconds until the work is done. */
export async function timedAsync(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** How often a second `turn` can be called, measured for `seconds` after a fifth of that as warm-up. */
export function rate(turn: () => void, seconds: number): number {
  const loop = (limit: number): number => {
    const start = performance.now();
    let count = 0;
    let elapsed = 0;
    for (; elapsed < limit; elapsed = (performance.now() - start) / 1000) {
      for (let each = 0; each < 100; each++, count++) turn();
    }
    return count / elapsed;
  };
  loop(seconds / 5);
  return loop(seconds);
}

/** Three significant digits. */
function rounded(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 });
}

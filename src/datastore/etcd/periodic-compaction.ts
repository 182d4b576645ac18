// Lets etcd forget changes that are older than a period.

export interface PeriodicCompactionOptions {
  /** Milliseconds, asked each time; 0: nothing is forgotten. */
  readonly period: () => number;
  readonly revision: () => number;
  readonly compact: (revision: number) => Promise<void>;
  readonly onTrouble: (error: unknown) => void;
}

/** How soon a period that becomes shorter is noticed. */
const LONGEST_WAIT_MS = 60_000;

/** Begins at once; returns the function that ends it. */
export function compactPeriodically(options: PeriodicCompactionOptions): () => void {
  const { period, revision, compact, onTrouble } = options;
  let noted = { revision: revision(), time: performance.now() };
  let timer: NodeJS.Timeout | undefined;
  const tick = (): void => {
    const wait = period();
    const now = performance.now();
    if (wait > 0 && now - noted.time >= wait) {
      compact(noted.revision).catch(onTrouble);
      noted = { revision: revision(), time: now };
    }
    const rest = wait > 0 ? Math.max(noted.time + wait - now, 1) : LONGEST_WAIT_MS;
    timer = setTimeout(tick, Math.min(rest, LONGEST_WAIT_MS)).unref();
  };
  tick();
  return () => clearTimeout(timer);
}

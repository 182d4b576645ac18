// The flow log behind the API: parses what nodes ship, filters, and follows with a bounded queue.
import { type Flow, FlowLog, parseFlows, parseFlowFilter } from '#flows';
import type { FlowQuery, FlowStore } from './flow-store.ts';

/** Flows that may wait for a slow reader; it is ended when there are more. */
const MAX_WAITING = 10_000;
const PUBLISH_MS = 250;

/** Keeps flows in memory. `close` ends the timer. */
export class FlowLogStore implements FlowStore {
  readonly #log: FlowLog;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;

  constructor(log: FlowLog = new FlowLog(), now: () => number = Date.now) {
    this.#log = log;
    this.#now = now;
    this.#timer = setInterval(() => log.publish(now()), PUBLISH_MS);
    this.#timer.unref();
  }

  append(flows: unknown[]): void {
    this.#log.append(parseFlows(flows), this.#now());
  }

  query(params: FlowQuery): Flow[] {
    return this.#log.query(parseFlowFilter(params, this.#now()));
  }

  async *follow(params: FlowQuery, signal: AbortSignal): AsyncGenerator<Flow> {
    const filter = parseFlowFilter(params, this.#now());
    const waiting: Flow[] = [];
    let wake: () => void = () => undefined;
    const stop = this.#log.subscribe(filter, (flow) => {
      waiting.push(flow);
      wake();
    });
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted && waiting.length <= MAX_WAITING) {
        const flow = waiting.shift();
        if (flow) yield flow;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      stop();
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

// The flow log behind the API: parses what nodes ship, filters, and follows with a bounded queue.
import { type Flow, FlowLog, parseFlows, parseFlowFilter } from '#flows';
import type { FlowKeeper, FlowStorage } from '#flowstore';
import type { FlowQuery, FlowStore } from './flow-store.ts';
import { KeptFlows } from './kept-flows.ts';

/** Flows that may wait for a slow reader; it is ended when there are more. */
const MAX_WAITING = 10_000;
const PUBLISH_MS = 250;

export interface FlowLogStoreOptions {
  readonly log?: FlowLog;
  readonly now?: () => number;
  /** Where flows are kept beyond this process's memory. */
  readonly keeping?: { readonly storage: FlowStorage; readonly keeper: FlowKeeper };
}

/** The newest flows in memory, all of them in a storage. `close` ends the timer. */
export class FlowLogStore implements FlowStore {
  readonly kept: KeptFlows | undefined;
  readonly #log: FlowLog;
  readonly #now: () => number;
  readonly #timer: NodeJS.Timeout;
  readonly #keeper: FlowKeeper | undefined;

  constructor({ log = new FlowLog(), now = Date.now, keeping }: FlowLogStoreOptions = {}) {
    this.#log = log;
    this.#now = now;
    this.#keeper = keeping?.keeper;
    this.kept = keeping && new KeptFlows({ ...keeping, now });
    this.#timer = setInterval(() => log.publish(now()), PUBLISH_MS);
    this.#timer.unref();
  }

  append(flows: unknown[]): void {
    const parsed = parseFlows(flows);
    this.#log.append(parsed, this.#now());
    this.#keeper?.add(parsed);
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

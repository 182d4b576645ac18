// Questions about kept flows, from the parameters of a request to plain data.
import { graphQuery, parseRecordsQuery, parseSummaryQuery, parseWindow, recordGraph } from '#flows';
import type { FlowKeeper, FlowStorage } from '#flowstore';
import type { FlowQuery } from './flow-store.ts';

export const QUESTIONS = ['records', 'summary', 'graph', 'state'] as const;
export type Question = (typeof QUESTIONS)[number];

export interface KeptFlowsOptions {
  readonly storage: FlowStorage;
  readonly keeper: FlowKeeper;
  readonly now?: () => number;
}

/** Sums and graphs are of closed buckets; records are also those that are still open. */
export class KeptFlows {
  readonly #storage: FlowStorage;
  readonly #keeper: FlowKeeper;
  readonly #now: () => number;

  constructor({ storage, keeper, now = Date.now }: KeptFlowsOptions) {
    this.#storage = storage;
    this.#keeper = keeper;
    this.#now = now;
  }

  /** Throws InvalidFlowFilter, or what the storage says. */
  async ask(question: Question, params: FlowQuery): Promise<unknown> {
    const now = this.#now();
    if (question === 'state') {
      return { ...(await this.#storage.state()), ...this.#keeper.counts };
    }
    if (question === 'records') {
      return { records: await this.#keeper.records(parseRecordsQuery(params, now)) };
    }
    if (question === 'summary') {
      const query = parseSummaryQuery(params, now);
      return { groupBy: query.groupBy, rows: await this.#storage.summarise(query) };
    }
    const asked = parseWindow(params, now);
    // Rates are over the time that is known, not over hours before anything was kept.
    const { oldest = asked.from } = await this.#storage.state();
    const window = { ...asked, from: Math.min(Math.max(asked.from, oldest), asked.to) };
    const rows = await this.#storage.summarise(graphQuery(window, window.where));
    return recordGraph(rows, window);
  }
}

// What the API server needs of a store of flows; `cmd` connects it.

import type { Question } from './kept-flows.ts';

/** Query parameters as the request has them, the last of each name. */
export type FlowQuery = Readonly<Record<string, string>>;

export interface FlowStore {
  /** Takes in what a node ships; throws an Error that says what is wrong with it. */
  append(flows: unknown[]): void;
  /** Throws an Error that says what is wrong with a parameter. */
  query(params: FlowQuery): Promise<readonly unknown[]> | readonly unknown[];
  /** What matches from now on, until the signal aborts. */
  follow(params: FlowQuery, signal: AbortSignal): AsyncIterable<unknown>;
  /** Answers about what is kept; undefined where nothing is. Throws as `query` does. */
  readonly kept?: { ask(question: Question, params: FlowQuery): Promise<unknown> } | undefined;
}

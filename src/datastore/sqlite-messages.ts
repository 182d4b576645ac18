// What the embedded store and its worker thread say to each other.
import type { Place } from './value-arena.ts';
import type { Compaction, LoadedRows } from './watch-cache.ts';

/** One revision as a row; `value` is JSON text, null where the key was deleted. */
export interface Row {
  readonly revision: number;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly value: string | null;
}

export interface WorkerOptions {
  readonly path: string;
  /** The revision that an empty store begins at. */
  readonly firstRevision: number;
}

/** One transaction. */
export interface Commit {
  readonly rows: readonly Row[];
  readonly compaction: Compaction | undefined;
}

/** Rows whose places are indices in those of all messages so far, one after the other. */
export interface RowsMessage extends Omit<LoadedRows, 'places'> {
  readonly newPlaces: readonly Place[];
}

export type ToWorker = { readonly type: 'commit'; readonly commit: Commit } | { type: 'close' };

export type FromWorker =
  | { readonly type: 'opened'; readonly compacted: number }
  | { readonly type: 'rows'; readonly rows: RowsMessage }
  | { readonly type: 'loaded' }
  | { readonly type: 'committed' }
  | { readonly type: 'failed'; readonly reason: string };

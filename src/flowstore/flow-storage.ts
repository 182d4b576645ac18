// What keeps flow records, whichever database it is.
import type { FlowRecord, FlowRecordsQuery, FlowSummaryQuery, FlowSummaryRow } from '#flows';

export interface Retention {
  /** Records older than this go, in milliseconds. */
  readonly ageMs: number;
  /** The oldest go while there are more bytes. */
  readonly bytes: number;
}

export interface StorageState {
  readonly records: number;
  /** On disk, as far as it is known. */
  readonly bytes: number;
  /** Beginning of the oldest bucket kept; undefined where there is none. */
  readonly oldest: number | undefined;
  readonly newest: number | undefined;
}

export interface FlowStorage {
  /** All of them, durably, or none. */
  append(records: readonly FlowRecord[]): Promise<void>;
  /** As `summarise` of #flows answers over all records kept. */
  summarise(query: FlowSummaryQuery): Promise<FlowSummaryRow[]>;
  /** As `selectRecords` of #flows. */
  records(query: FlowRecordsQuery): Promise<FlowRecord[]>;
  /** Applies the limits; call it now and then. What went is told by `state` before and after. */
  retain(nowMs: number): Promise<void>;
  state(): Promise<StorageState>;
  close(): Promise<void>;
}

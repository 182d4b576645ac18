// The door of flowstore: where flow records are kept and asked.
export { ClickhouseStorage, type ClickhouseOptions } from './clickhouse-storage.ts';
export {
  FlowKeeper,
  type FlowKeeperCounts,
  type FlowKeeperMeter,
  type FlowKeeperOptions,
} from './flow-keeper.ts';
export { DuckdbStorage, type DuckdbOptions } from './duckdb-storage.ts';
export type { FlowStorage, Retention, StorageState } from './flow-storage.ts';

// The door of datastore: the client and the syncer (each has a door of its own too) and the store.
export * from './client.ts';
export type { LogLimits } from './change-log.ts';
export { backupStore, type Restored, restoreStore } from './sqlite-backup.ts';
export { checkStore, type StoreReport } from './sqlite-check.ts';
export { STORE_FILE } from './sqlite-file.ts';
export {
  backupEtcd,
  type EtcdBackup,
  type EtcdFlags,
  etcdOptions,
  type EtcdStoreOptions,
  openEtcdStore,
} from './open-etcd.ts';
export { openSqliteStore, type SqliteStoreOptions } from './sqlite-store.ts';
export * from './store.ts';
export * from './syncer.ts';

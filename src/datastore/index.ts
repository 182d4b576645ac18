// The door of datastore: the client and the syncer (each has a door of its own too) and the store.
export * from './client.ts';
export { openSqliteStore, type SqliteStoreOptions } from './sqlite-store.ts';
export * from './store.ts';
export * from './syncer.ts';

// The door of datastore: the client and the syncer (each has a door of its own too).
export * from './client.ts';
export * from './syncer.ts';

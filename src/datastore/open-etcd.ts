// What of etcd the door offers; gRPC is loaded only where etcd is used.
import type { EtcdBackup } from './etcd/etcd-backup.ts';
import type { EtcdConnectionOptions } from './etcd/etcd-connection.ts';
import type { EtcdStoreOptions } from './etcd/etcd-store.ts';
import type { Store } from './store.ts';

export type { EtcdBackup } from './etcd/etcd-backup.ts';
export type { EtcdStoreOptions } from './etcd/etcd-store.ts';
export { type EtcdFlags, etcdOptions } from './etcd/etcd-options.ts';

/** As `openEtcdStore` of `etcd-store.ts`. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  return (await import('./etcd/etcd-store.ts')).openEtcdStore(options);
}

/** As `backupEtcd` of `etcd-backup.ts`. */
export async function backupEtcd(
  options: EtcdConnectionOptions,
  target: string,
): Promise<EtcdBackup> {
  return (await import('./etcd/etcd-backup.ts')).backupEtcd(options, target);
}

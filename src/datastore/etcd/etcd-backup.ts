// Copies all of an etcd member to a file, as `etcdctl snapshot save` does, and checks what arrived.
import { createHash } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StoreUnavailable } from '../store.ts';
import { EtcdConnection, type EtcdConnectionOptions } from './etcd-connection.ts';
import { snapshot, status } from './etcd-messages.ts';

export interface EtcdBackup {
  readonly endpoint: string;
  /** Of etcd. */
  readonly version: string;
  /** At least: what was written meanwhile may be in the copy. */
  readonly revision: number;
  readonly bytes: number;
}

/** etcd appends the SHA-256 of what it has sent. */
const DIGEST_BYTES = 32;

/**
 * The file must not exist; it is the owner's alone, and complete and on disk when this resolves. Restored with
 * `etcdctl snapshot restore`. Rejects with an Error that says what is wrong, and leaves nothing behind.
 */
export async function backupEtcd(
  options: EtcdConnectionOptions,
  target: string,
): Promise<EtcdBackup> {
  const connection = new EtcdConnection(options);
  const partial = `${target}.partial`;
  try {
    // Finds an endpoint that answers.
    const { response } = await connection.call(status, {});
    const endpoint = connection.endpoint;
    await reserve(target);
    try {
      const bytes = await copy(connection, partial);
      await rename(partial, target);
      await syncFolder(target);
      const { version, header } = response;
      return { endpoint, version, revision: header?.revision ?? 0, bytes };
    } catch (error) {
      await rm(target, { force: true });
      throw error;
    }
  } finally {
    connection.close();
    await rm(partial, { force: true });
  }
}

/** Nobody's file is overwritten. */
async function reserve(target: string): Promise<void> {
  try {
    await (await open(target, 'wx', 0o600)).close();
  } catch (error) {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw isThere ? new Error(`"${target}" is there already; give another name`) : error;
  }
}

async function copy(connection: EtcdConnection, path: string): Promise<number> {
  const file = await open(path, 'w', 0o600);
  try {
    const hash = createHash('sha256');
    let tail = Buffer.alloc(0);
    let bytes = 0;
    for await (const { blob } of await connection.stream(snapshot, {})) {
      await file.write(blob);
      bytes += blob.length;
      const known = Buffer.concat([tail, blob]);
      const end = Math.max(0, known.length - DIGEST_BYTES);
      hash.update(known.subarray(0, end));
      tail = known.subarray(end);
    }
    if (!hash.digest().equals(tail)) {
      throw new StoreUnavailable(`what etcd at ${connection.endpoint} sent is damaged; try again`);
    }
    await file.sync();
    return bytes;
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

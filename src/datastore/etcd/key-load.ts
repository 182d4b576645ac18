// Reads all keys of a prefix as they were at a revision as far back as etcd keeps, up to a limit.
import { status } from '@grpc/grpc-js';
import { EtcdRefusal, type EtcdConnection } from './etcd-connection.ts';
import { type KeyValue, prefixEnd, range } from './etcd-messages.ts';

const PAGE = 1000;
const ATTEMPTS = 5;

export interface LoadOptions {
  readonly prefix: string;
  /** A revision of etcd's. */
  readonly head: number;
  /** How far before it the base may be. */
  readonly history: number;
}

export interface LoadedKeys {
  /** What the pairs are as of; etcd keeps all changes after it. */
  readonly base: number;
  readonly pairs: readonly KeyValue[];
}

export async function loadKeys(
  connection: EtcdConnection,
  options: LoadOptions,
): Promise<LoadedKeys> {
  for (let attempt = 1; ; attempt++) {
    try {
      const base = await oldestKept(connection, options);
      return { base, pairs: await readAll(connection, options.prefix, base) };
    } catch (error) {
      // A compaction overtook it.
      if (!isForgotten(error) || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Whether etcd says that it has compacted a revision, or does not have it yet. */
export function isForgotten(error: unknown): boolean {
  return error instanceof EtcdRefusal && error.code === status.OUT_OF_RANGE;
}

/** The oldest revision from `first` to `head` that is kept, by bisection. */
async function oldestKept(
  connection: EtcdConnection,
  { prefix, head, history }: LoadOptions,
): Promise<number> {
  const first = Math.max(1, head - history);
  if (await isKept(connection, prefix, first)) return first;
  let gone = first;
  let kept = head;
  while (kept - gone > 1) {
    const middle = Math.floor((gone + kept) / 2);
    if (await isKept(connection, prefix, middle)) kept = middle;
    else gone = middle;
  }
  return kept;
}

async function isKept(connection: EtcdConnection, key: string, revision: number): Promise<boolean> {
  try {
    await connection.call(range, { key, keysOnly: true, revision });
    return true;
  } catch (error) {
    if (isForgotten(error)) return false;
    throw error;
  }
}

async function readAll(
  connection: EtcdConnection,
  prefix: string,
  revision: number,
): Promise<KeyValue[]> {
  const pairs: KeyValue[] = [];
  const rangeEnd = prefixEnd(prefix);
  let key = prefix;
  for (;;) {
    const { response } = await connection.call(range, { key, rangeEnd, limit: PAGE, revision });
    for (const pair of response.kvs) pairs.push(pair);
    const last = response.kvs.at(-1)?.key;
    if (!response.more || last === undefined) return pairs;
    key = `${last}\0`;
  }
}

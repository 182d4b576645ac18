// Reads all keys of a prefix as they were at a revision as far back as etcd keeps, up to a limit.
import { status } from '@grpc/grpc-js';
import { EtcdRefusal, type EtcdConnection } from './etcd-connection.ts';
import { type KeyValue, prefixEnd, range } from './etcd-messages.ts';

const PAGE = 1000;

/** Whether etcd says that it has compacted a revision, or does not have it yet. */
export function isForgotten(error: unknown): boolean {
  return error instanceof EtcdRefusal && error.code === status.OUT_OF_RANGE;
}

/**
 * The oldest revision that etcd keeps of those up to `history` before `head`, by bisection; `key` is one that may be
 * read.
 */
export async function oldestKept(
  connection: EtcdConnection,
  { key, head, history }: { readonly key: string; readonly head: number; readonly history: number },
): Promise<number> {
  const isKept = async (revision: number): Promise<boolean> => {
    try {
      await connection.call(range, { key, keysOnly: true, revision });
      return true;
    } catch (error) {
      if (isForgotten(error)) return false;
      throw error;
    }
  };
  const first = Math.max(1, head - history);
  if (await isKept(first)) return first;
  let gone = first;
  let kept = head;
  while (kept - gone > 1) {
    const middle = Math.floor((gone + kept) / 2);
    if (await isKept(middle)) kept = middle;
    else gone = middle;
  }
  return kept;
}

/** Everything below the prefix as of the revision, part by part. Throws what `isForgotten` knows. */
export async function* readKeys(
  connection: EtcdConnection,
  prefix: string,
  revision: number,
): AsyncGenerator<readonly KeyValue[], void> {
  const rangeEnd = prefixEnd(prefix);
  let key = prefix;
  for (;;) {
    const { response } = await connection.call(range, { key, rangeEnd, limit: PAGE, revision });
    yield response.kvs;
    const last = response.kvs.at(-1)?.key;
    if (!response.more || last === undefined) return;
    key = `${last}\0`;
  }
}

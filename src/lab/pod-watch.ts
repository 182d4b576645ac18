// Follows the pods of the cluster: the whole present state at every change, through lost connections.
import { setTimeout as sleep } from 'node:timers/promises';
import { kindOf, type KindDefinition, type Pod, type Resource } from '#api';
import { type ApiClient, ApiError } from '#datastore/client';

export interface PodWatchOptions {
  readonly client: ApiClient;
  readonly signal: AbortSignal;
  /** All pods by UID, after every change. */
  readonly onPods: (pods: ReadonlyMap<string, Pod>) => void;
  readonly log: (message: string) => void;
}

const RETRY_MS = 500;

/** A kind of the core group. */
export function coreKind(kind: string): KindDefinition {
  const definition = kindOf('v1', kind);
  if (!definition) throw new Error(`Cannot find the kind ${kind} of v1`);
  return definition;
}

export function isPod(resource: Resource): resource is Pod {
  return resource.apiVersion === 'v1' && resource.kind === 'Pod' && 'spec' in resource;
}

/** Runs until the signal aborts. */
export async function watchPods(options: PodWatchOptions): Promise<void> {
  const { signal, log } = options;
  let failing = false;
  while (!signal.aborted) {
    try {
      await listAndFollow(options, () => {
        failing = false;
      });
    } catch (error) {
      if (signal.aborted) return;
      if (!failing && !(error instanceof ApiError && error.gone)) {
        log(`Cannot follow pods, trying again: ${String(error)}`);
      }
      failing = true;
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function listAndFollow(
  { client, signal, onPods }: PodWatchOptions,
  onOpen: () => void,
): Promise<void> {
  const kind = coreKind('Pod');
  const list = await client.list(kind, { signal });
  const pods = new Map(list.items.filter(isPod).map((pod) => [uidOf(pod), pod]));
  onPods(pods);
  let { resourceVersion } = list;
  while (!signal.aborted) {
    for await (const event of client.watch(kind, { resourceVersion, signal, onOpen })) {
      resourceVersion = event.object.metadata.resourceVersion ?? resourceVersion;
      if (event.type === 'BOOKMARK' || !isPod(event.object)) continue;
      if (event.type === 'DELETED') pods.delete(uidOf(event.object));
      else pods.set(uidOf(event.object), event.object);
      onPods(pods);
    }
  }
}

/** The name stands in for a UID that a server did not give. */
export function uidOf(pod: Pod): string {
  return pod.metadata.uid ?? podKey(pod);
}

/** `namespace/name`. */
export function podKey(pod: Pod): string {
  return `${pod.metadata.namespace ?? 'default'}/${pod.metadata.name}`;
}

// What a deletion makes of an object: it goes at once, or it is marked and waits for finalizers and its grace period.
import type { KindDefinition, Resource } from '#api';
import { isObject } from '#lib';
import type { DeleteOptions } from './deletion-options.ts';
import { timestamp } from './timestamp.ts';

/** Finalizers of the server's own garbage collection. */
export const ORPHAN = 'orphan';
export const FOREGROUND = 'foregroundDeletion';

/** Marked for deletion, and waiting for something. */
export function isPendingDeletion(resource: Resource): boolean {
  return resource.metadata.deletionTimestamp !== undefined;
}

export function hasFinalizers(resource: Resource): boolean {
  return (resource.metadata.finalizers ?? []).length > 0;
}

/** Waiting for its grace period: whoever runs it ends it, then deletes it with a period of 0. */
export function isInGracePeriod(resource: Resource): boolean {
  return isPendingDeletion(resource) && (resource.metadata.deletionGracePeriodSeconds ?? 0) > 0;
}

/** Nothing but rules across kinds keeps it any more. */
export function isFinished(resource: Resource): boolean {
  return isPendingDeletion(resource) && !hasFinalizers(resource) && !isInGracePeriod(resource);
}

/**
 * The object as it is while it waits. `isFinished` tells whether it has to wait at all. A later request may
 * shorten the grace period, never lengthen it.
 */
export function markedForDeletion(
  kind: KindDefinition,
  current: Resource,
  options: DeleteOptions,
  now: number,
): Resource {
  const finalizers = finalizersFor(current, options);
  const { finalizers: _, ...metadata } = current.metadata;
  const marked = {
    ...current,
    metadata: {
      ...metadata,
      ...deadline(kind, current, options, now),
      ...(finalizers.length > 0 ? { finalizers } : {}),
    },
  };
  if (kind.group !== '' || kind.kind !== 'Namespace') return marked;
  const status = 'status' in marked && isObject(marked.status) ? marked.status : {};
  return { ...marked, status: { ...status, phase: 'Terminating' } } as Resource;
}

function deadline(
  kind: KindDefinition,
  current: Resource,
  { gracePeriodSeconds }: DeleteOptions,
  now: number,
): Partial<Resource['metadata']> {
  const { deletionTimestamp, deletionGracePeriodSeconds: before, generation } = current.metadata;
  if (deletionTimestamp === undefined) {
    const seconds = graceSeconds(kind, current, gracePeriodSeconds);
    return {
      deletionTimestamp: timestamp(now + seconds * 1000),
      deletionGracePeriodSeconds: seconds,
      ...(generation === undefined ? {} : { generation: generation + 1 }),
    };
  }
  if (gracePeriodSeconds === undefined || gracePeriodSeconds >= (before ?? 0)) return {};
  return {
    deletionTimestamp: timestamp(now + gracePeriodSeconds * 1000),
    deletionGracePeriodSeconds: gracePeriodSeconds,
  };
}

/** Only what runs somewhere has to be ended: a pod that is bound to a node and is not done. */
function graceSeconds(kind: KindDefinition, object: Resource, wanted: number | undefined): number {
  if (kind.group !== '' || kind.kind !== 'Pod') return 0;
  const { spec, status }: Resource & { spec?: unknown; status?: unknown } = object;
  const { nodeName, terminationGracePeriodSeconds: own } = isObject(spec) ? spec : {};
  const phase = isObject(status) ? status['phase'] : undefined;
  if (!nodeName || phase === 'Succeeded' || phase === 'Failed') return 0;
  return wanted ?? (typeof own === 'number' && own > 0 ? own : 0);
}

function finalizersFor(current: Resource, { propagationPolicy }: DeleteOptions): string[] {
  const finalizers = current.metadata.finalizers ?? [];
  if (propagationPolicy === undefined) return [...finalizers];
  const others = finalizers.filter((name) => name !== ORPHAN && name !== FOREGROUND);
  if (propagationPolicy === 'Orphan') return [...others, ORPHAN];
  return propagationPolicy === 'Foreground' ? [...others, FOREGROUND] : others;
}

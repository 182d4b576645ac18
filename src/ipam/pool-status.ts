// What each pool's status should say of whether addresses are given from it (spec 01, 1.2 and 1.3).
import { type IPPool, ipPoolKind } from '#api';
import type { ApiClient } from '#datastore/client';
import { isPool } from './inventory.ts';
import { overlappedPools } from './pools.ts';

export interface PoolCondition {
  readonly type: 'Allocatable';
  readonly status: 'True' | 'False';
  readonly reason: 'OK' | 'CIDROverlap' | 'Terminating' | 'PoolDisabled';
  readonly message: string;
}

/** By name of the pool. */
export function poolConditions(pools: readonly IPPool[]): Map<string, PoolCondition> {
  const overlapped = overlappedPools(pools);
  return new Map(
    pools.map(({ metadata: { name, deletionTimestamp }, spec }) => {
      const other = overlapped.get(name);
      if (deletionTimestamp !== undefined) {
        return [name, refusal('Terminating', 'the pool is being deleted')];
      }
      if (spec.disabled) return [name, refusal('PoolDisabled', 'the pool is disabled')];
      if (other === undefined) {
        const message = 'addresses are given from the pool';
        return [name, { type: 'Allocatable', status: 'True', reason: 'OK', message }];
      }
      const message = `${spec.cidr} overlaps the older IPPool "${other}"`;
      return [name, refusal('CIDROverlap', message)];
    }),
  );
}

function refusal(reason: PoolCondition['reason'], message: string): PoolCondition {
  return { type: 'Allocatable', status: 'False', reason, message };
}

/** Writes what differs; how many pools that were. Throws the client's errors. */
export async function writePoolConditions(
  client: Pick<ApiClient, 'list' | 'patch'>,
  now: Date,
): Promise<number> {
  const pools = (await client.list(ipPoolKind)).items.filter(isPool);
  const wanted = poolConditions(pools);
  let written = 0;
  for (const pool of pools) {
    const { name, generation } = pool.metadata;
    const condition = wanted.get(name);
    const known = conditionsOf(pool);
    const old = known.find(({ type }) => type === 'Allocatable');
    const isSame = old?.['reason'] === condition?.reason && old?.['message'] === condition?.message;
    if (!condition || isSame) continue;
    const isTurned = old?.['status'] !== condition.status;
    const since = isTurned ? `${now.toISOString().slice(0, 19)}Z` : old?.['lastTransitionTime'];
    const observed = generation === undefined ? {} : { observedGeneration: generation };
    const next = { ...condition, lastTransitionTime: since, ...observed };
    const others = known.filter(({ type }) => type !== 'Allocatable');
    const status = { conditions: [...others, next] };
    await client.patch(ipPoolKind, { name }, { status }, { subresource: 'status' });
    written++;
  }
  return written;
}

function conditionsOf(pool: IPPool): readonly Readonly<Record<string, unknown>>[] {
  const { status }: IPPool & { readonly status?: { readonly conditions?: unknown } } = pool;
  return Array.isArray(status?.conditions) ? status.conditions : [];
}

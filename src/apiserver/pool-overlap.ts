// Refuses an IPPool that overlaps another: an address would belong to both.
import { type ClusterInformation, clusterInformationKind, ipPoolKind, type Resource } from '#api';
import { isObject, parsePrefix, prefixContains } from '#lib';
import { invalid } from './request-error.ts';
import type { Resources } from './resources.ts';

/**
 * Throws 422. While the datastore is locked nobody is given an address, and pools may overlap: that is
 * how one is split. Two that are made at the same moment may pass; the younger is then not used.
 */
export async function checkPoolOverlap(resources: Resources, pool: Resource): Promise<void> {
  const prefix = parsePrefix(cidrOf(pool));
  if (!prefix) return;
  const { items } = await resources.list(ipPoolKind, undefined);
  for (const { value } of items) {
    const other = value as unknown as Resource;
    const known = parsePrefix(cidrOf(other));
    if (!known || other.metadata.name === pool.metadata.name) continue;
    const [wide, narrow] = known.length <= prefix.length ? [known, prefix] : [prefix, known];
    if (!prefixContains(wide, narrow)) continue;
    if (await isLocked(resources)) return;
    const { name } = other.metadata;
    const message = `overlaps IPPool ${JSON.stringify(name)} with ${cidrOf(other)}; choose another range`;
    throw invalid(ipPoolKind, pool.metadata.name, [
      { path: 'spec.cidr', message: `${cidrOf(pool)} ${message}`, severity: 'error' },
    ]);
  }
}

async function isLocked(resources: Resources): Promise<boolean> {
  const target = { kind: clusterInformationKind, namespace: '', name: 'default' };
  const found = (await resources.find(target)) as ClusterInformation | undefined;
  return found?.spec.datastoreReady === false;
}

function cidrOf(pool: Resource & { readonly spec?: unknown }): string {
  const cidr = isObject(pool.spec) ? pool.spec['cidr'] : undefined;
  return typeof cidr === 'string' ? cidr : '';
}

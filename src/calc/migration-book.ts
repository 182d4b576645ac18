// Live migrations by the workloads that they name, and what part a workload has in them (spec 22).
import type { MigrationRole } from './dataplane-update.ts';
import type { MigrationSource, Workload, WorkloadReference } from './model.ts';

type NamedBy = Map<string, Map<string, WorkloadReference>>;

export class MigrationBook {
  readonly #migrations = new Map<string, MigrationSource>();
  /** By the ID that is referred to, the references by migration. */
  readonly #named: Readonly<Record<MigrationRole, NamedBy>> = {
    source: new Map(),
    target: new Map(),
  };

  get(key: string): MigrationSource | undefined {
    return this.#migrations.get(key);
  }

  set(key: string, migration: MigrationSource | undefined): void {
    for (const role of ['source', 'target'] as const) {
      const named = this.#named[role];
      const before = this.#migrations.get(key)?.[role];
      const references = before && named.get(before.id);
      references?.delete(key);
      if (before && references?.size === 0) named.delete(before.id);
      const after = migration?.[role];
      if (after) named.set(after.id, (named.get(after.id) ?? new Map()).set(key, after));
    }
    if (migration) this.#migrations.set(key, migration);
    else this.#migrations.delete(key);
  }

  /** Of those that name it; the target wins, as upstream has it. */
  roleOf(workload: Workload): MigrationRole | undefined {
    const { source, target } = this.#named;
    if (isNamed(target, workload)) return 'target';
    return isNamed(source, workload) ? 'source' : undefined;
  }
}

/** Whether the migration names the workload in either part. */
export function namesWorkload(
  { source, target }: MigrationSource,
  workload: Pick<Workload, 'id' | 'node'>,
): boolean {
  return [source, target].some((it) => it !== undefined && refersTo(it, workload));
}

export function refersTo(
  { id, node }: WorkloadReference,
  workload: Pick<Workload, 'id' | 'node'>,
): boolean {
  const isMeant = workload.id === id || workload.id.startsWith(`${id}/`);
  return isMeant && (node === undefined || node === workload.node);
}

function isNamed(named: NamedBy, workload: Workload): boolean {
  if (named.size === 0) return false;
  const parts = workload.id.split('/');
  return parts.some((_, index) => {
    const references = named.get(parts.slice(0, index + 1).join('/'));
    return [...(references?.values() ?? [])].some((it) => refersTo(it, workload));
  });
}

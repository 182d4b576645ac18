// What may not happen to a resource that exists: fields that never change, resources that stay (spec 01, 1.3).
import { isObject, jsonEqual } from '#lib';
import type { Problem, Resource } from './kind.ts';
import { kindOf } from './kinds.ts';
import { BUILT_IN_TIERS } from './policy.ts';
import { fault, quoted } from './problem.ts';

const IDENTITY = ['apiVersion', 'kind', 'metadata.name', 'metadata.namespace'];

/** Everything wrong with making `old` into `next`, both as `validateResource` gives them. */
export function checkUpdate(old: Resource, next: Resource): Problem[] {
  const { immutableFields = [] } = kindOf(old.apiVersion, old.kind) ?? {};
  return [...IDENTITY, ...immutableFields].flatMap((path) => {
    const [before, after] = [valueAt(old, path), valueAt(next, path)];
    if (jsonEqual(before ?? null, after ?? null)) return [];
    const message = `cannot change from ${quoted(before ?? null)} to ${quoted(after ?? null)}`;
    return [fault(path, `${message}; make another ${old.kind} and delete this one`)];
  });
}

/** Why the resource may not be deleted; none where it may. */
export function checkDelete({ apiVersion, kind, metadata: { name } }: Resource): Problem[] {
  const builtIn = BUILT_IN_TIERS.some(
    (tier) => tier.apiVersion === apiVersion && tier.kind === kind && tier.metadata.name === name,
  );
  if (!builtIn) return [];
  return [fault('metadata.name', `tier ${quoted(name)} is built in and cannot be deleted`)];
}

function valueAt(root: unknown, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>((value, name) => (isObject(value) ? value[name] : undefined), root);
}

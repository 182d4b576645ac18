// Rules for owner references and finalizers that hold for every kind (metav1.ObjectMeta).
import type { Problem, Resource } from '#api';
import { isObject } from '#lib';
import { FOREGROUND, isPendingDeletion, ORPHAN } from './deletion-plan.ts';

/** One entry of `metadata.ownerReferences`. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

const MAX_REFERENCES = 1000;
const MAX_FINALIZERS = 1000;
const NAME =
  /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const UNQUALIFIED = new Set([ORPHAN, FOREGROUND, 'kubernetes']);

/** The owner references of an object; those that no write would let in are left out. */
export function ownerReferencesOf(metadata: unknown): OwnerReference[] {
  const references = isObject(metadata) ? metadata['ownerReferences'] : undefined;
  return Array.isArray(references) ? references.filter(isOwnerReference) : [];
}

/** Everything wrong with owners and finalizers of `next`, which may replace `current`. */
export function metadataRuleProblems(next: Resource, current?: Resource): Problem[] {
  return [...ownerProblems(next), ...finalizerProblems(next, current)];
}

function ownerProblems({ metadata }: Resource): Problem[] {
  const path = 'metadata.ownerReferences';
  const references: readonly unknown[] = metadata.ownerReferences ?? [];
  if (references.length > MAX_REFERENCES) {
    return [error(path, `has ${references.length} items, at most ${MAX_REFERENCES} are allowed`)];
  }
  const problems = references.flatMap((reference, index) => {
    const fields = isObject(reference) ? reference : {};
    const missing = ['apiVersion', 'kind', 'name', 'uid'].filter((name) => !isText(fields[name]));
    return missing.map((name) => error(`${path}[${index}].${name}`, 'is required'));
  });
  const controllers = ownerReferencesOf(metadata).filter(({ controller }) => controller === true);
  if (controllers.length <= 1) return problems;
  const names = controllers.map(({ kind, name }) => `${kind} "${name}"`).join(', ');
  return [...problems, error(path, `only one may be the controller, but ${names} are`)];
}

function finalizerProblems({ metadata }: Resource, current: Resource | undefined): Problem[] {
  const path = 'metadata.finalizers';
  const finalizers = metadata.finalizers ?? [];
  if (finalizers.length > MAX_FINALIZERS) {
    return [error(path, `has ${finalizers.length} items, at most ${MAX_FINALIZERS} are allowed`)];
  }
  const before = new Set(current?.metadata.finalizers);
  const problems = finalizers.flatMap((name, index): Problem[] => {
    if (before.has(name)) return [];
    const at = `${path}[${index}]`;
    if (!NAME.test(name)) return [error(at, `"${name.slice(0, 100)}" is no qualified name`)];
    if (name.includes('/') || UNQUALIFIED.has(name)) return [];
    const advice = 'prefer a domain-qualified finalizer name to avoid accidental conflicts';
    return [{ path: at, message: `"${name}": ${advice}`, severity: 'warning' }];
  });
  const added = finalizers.filter((name) => !before.has(name));
  if (finalizers.includes(ORPHAN) && finalizers.includes(FOREGROUND)) {
    problems.push(error(path, `"${ORPHAN}" and "${FOREGROUND}" exclude each other`));
  }
  if (!current || !isPendingDeletion(current) || added.length === 0) return problems;
  const names = added.map((name) => `"${name}"`).join(', ');
  return [...problems, error(path, `no finalizer can be added to what is being deleted: ${names}`)];
}

function isOwnerReference(value: unknown): value is OwnerReference {
  return (
    isObject(value) && ['apiVersion', 'kind', 'name', 'uid'].every((name) => isText(value[name]))
  );
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function error(path: string, message: string): Problem {
  return { path, message, severity: 'error' };
}

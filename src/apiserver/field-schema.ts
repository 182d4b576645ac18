// How the parts of an object are owned: maps by key, some lists by item, everything else as a whole.
import type { KindDefinition } from '#api';
import { isObject } from '#lib';
import { badRequest } from './request-error.ts';
import type { FieldStep } from './field-set.ts';
import { isSetList, mergeKeys } from './strategic-merge.ts';

/** The parts of a map or list that are owned one by one. */
export interface Parts {
  readonly list: boolean;
  readonly values: ReadonlyMap<FieldStep, unknown>;
}

/** Lists whose items one key does not tell apart (`listMapKey` in Kubernetes' API types). */
const SECOND_KEYS: Readonly<Record<string, { readonly name: string; readonly value?: string }>> = {
  containerPort: { name: 'protocol', value: 'TCP' },
  port: { name: 'protocol', value: 'TCP' },
  topologyKey: { name: 'whenUnsatisfiable' },
};

/** Maps that are one value (`structType=atomic`, `mapType=atomic`). */
const ATOMIC_MAPS: Readonly<Record<string, readonly string[]>> = {
  Pod: ['spec.nodeSelector'],
  Service: ['spec.selector'],
  NetworkPolicy: ['spec.podSelector'],
};

/** Of one kind. Paths are as in `spec.containers.image`: an item of a list has the path of its list. */
export class FieldSchema {
  readonly #keys: Readonly<Record<string, string>>;
  readonly #atomic: readonly string[];

  constructor(kind: KindDefinition) {
    this.#keys = mergeKeys(kind);
    this.#atomic = kind.group.endsWith('projectcalico.org') ? [] : (ATOMIC_MAPS[kind.kind] ?? []);
  }

  /** Undefined: the value is owned as a whole. */
  partsOf(value: unknown, path: string): Parts | undefined {
    if (isObject(value)) {
      if (this.#atomic.includes(path)) return undefined;
      const entries = Object.entries(value).map(([name, child]) => [`f:${name}`, child] as const);
      return { list: false, values: new Map(entries) };
    }
    if (!Array.isArray(value)) return undefined;
    const key = this.#keys[path];
    if (key === undefined && !isSetList(path)) return undefined;
    const steps = value.map((item) => (key ? keyedStep(item, key) : plainStep(item)));
    const values = new Map(steps.flatMap((step, n) => (step ? [[step, value[n]] as const] : [])));
    // Items that cannot be told apart cannot be owned one by one.
    return values.size === value.length ? { list: true, values } : undefined;
  }

  /** Throws a 400 for a list whose items should be told apart and cannot. */
  checkApplied(value: unknown, path = ''): void {
    const parts = this.partsOf(value, path);
    for (const [step, child] of parts?.values ?? [])
      this.checkApplied(child, pathBelow(path, step));
    const key = this.#keys[path];
    if (parts || !Array.isArray(value) || (key === undefined && !isSetList(path))) return;
    throw badRequest(
      `the items of ${path} must differ in their ${key ?? 'values'}, and each have one`,
    );
  }
}

/** The path of a part. */
export function pathBelow(path: string, step: FieldStep): string {
  if (!step.startsWith('f:')) return path;
  return path === '' ? step.slice(2) : `${path}.${step.slice(2)}`;
}

/** The fields by which an item is told from others: they stay as long as the item. */
export function keyFieldsOf(step: FieldStep): readonly FieldStep[] {
  if (!step.startsWith('k:')) return [];
  return Object.keys(JSON.parse(step.slice(2)) as object).map((name) => `f:${name}`);
}

function keyedStep(item: unknown, key: string): FieldStep | undefined {
  if (!isObject(item) || !isScalar(item[key])) return undefined;
  const keys: [string, unknown][] = [[key, item[key]]];
  const second = SECOND_KEYS[key];
  const value = second && (item[second.name] ?? second.value);
  if (second && isScalar(value)) keys.push([second.name, value]);
  return `k:${JSON.stringify(Object.fromEntries(keys))}`;
}

function plainStep(item: unknown): FieldStep | undefined {
  return isScalar(item) ? `v:${JSON.stringify(item)}` : undefined;
}

function isScalar(value: unknown): boolean {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

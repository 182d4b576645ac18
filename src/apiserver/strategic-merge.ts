// Kubernetes' strategic merge patch for the built-in kinds: some lists are merged by a key.
import type { KindDefinition } from '#api';
import { isObject, jsonEqual } from '#lib';
import { badRequest } from './request-error.ts';

type Fields = Readonly<Record<string, unknown>>;

const CONTAINER_LISTS: Readonly<Record<string, string>> = {
  ports: 'containerPort',
  env: 'name',
  volumeMounts: 'mountPath',
  volumeDevices: 'devicePath',
};

function containers(list: string): Record<string, string> {
  const nested = Object.entries(CONTAINER_LISTS).map(([name, key]) => [`${list}.${name}`, key]);
  return { [list]: 'name', ...Object.fromEntries(nested) };
}

/** Merge keys by kind and path, from `patchMergeKey` in Kubernetes' API types. */
const MERGE_KEYS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Pod: {
    ...containers('spec.containers'),
    ...containers('spec.initContainers'),
    ...containers('spec.ephemeralContainers'),
    'spec.volumes': 'name',
    'spec.imagePullSecrets': 'name',
    'spec.hostAliases': 'ip',
    'spec.topologySpreadConstraints': 'topologyKey',
    'status.conditions': 'type',
    'status.podIPs': 'ip',
    'status.hostIPs': 'ip',
  },
  Node: { 'status.conditions': 'type', 'status.addresses': 'type' },
  Namespace: { 'status.conditions': 'type' },
  Service: { 'spec.ports': 'port', 'status.conditions': 'type' },
  ServiceAccount: { secrets: 'name' },
};
const METADATA_KEYS: Readonly<Record<string, string>> = { 'metadata.ownerReferences': 'uid' };
/** Lists of plain values that are merged as sets. */
const SETS = new Set(['metadata.finalizers', 'spec.podCIDRs']);

const ORDER = '$setElementOrder/';
const DELETE_VALUES = '$deleteFromPrimitiveList/';

/** Whether the kind takes strategic patches: Kubernetes' own do, custom ones do not. */
export function takesStrategicPatch(kind: KindDefinition): boolean {
  return kind.group === '' || kind.group.endsWith('.k8s.io');
}

/** The key by which a list is merged, by the list's path. */
export function mergeKeys(kind: KindDefinition): Readonly<Record<string, string>> {
  return { ...METADATA_KEYS, ...(takesStrategicPatch(kind) ? MERGE_KEYS[kind.kind] : {}) };
}

/** Whether the list at the path is a set of plain values. */
export function isSetList(path: string): boolean {
  return SETS.has(path);
}

/** The target with the patch merged in; null removes. Neither is changed. */
export function strategicMerge(kind: KindDefinition, target: Fields, patch: unknown): unknown {
  if (!isObject(patch)) throw badRequest('a strategic merge patch must be an object');
  return new StrategicMerge(mergeKeys(kind)).object(target, patch, '');
}

class StrategicMerge {
  readonly #keys: Readonly<Record<string, string>>;

  constructor(keys: Readonly<Record<string, string>>) {
    this.#keys = keys;
  }

  object(target: Fields, patch: Fields, path: string): unknown {
    const directive = patch['$patch'];
    if (directive === 'replace') return withoutDirectives(patch);
    if (directive === 'delete') return {};
    const merged = new Map(Object.entries(target));
    for (const [name, value] of Object.entries(patch)) {
      if (name.startsWith(DELETE_VALUES)) {
        const field = name.slice(DELETE_VALUES.length);
        merged.set(field, without(merged.get(field), value));
      } else if (!name.startsWith('$')) this.#member(merged, patch, { name, value, path });
    }
    const retained = patch['$retainKeys'];
    if (Array.isArray(retained)) {
      for (const name of merged.keys()) if (!retained.includes(name)) merged.delete(name);
    }
    return Object.fromEntries(merged);
  }

  #member(
    merged: Map<string, unknown>,
    patch: Fields,
    { name, value, path }: { name: string; value: unknown; path: string },
  ): void {
    const at = path === '' ? name : `${path}.${name}`;
    const current = merged.get(name);
    if (value === null) merged.delete(name);
    else if (Array.isArray(value)) {
      merged.set(name, this.#list(current, value, { path: at, order: patch[ORDER + name] }));
    } else if (isObject(value)) {
      merged.set(name, this.object(isObject(current) ? current : {}, value, at));
    } else merged.set(name, value);
  }

  #list(
    current: unknown,
    patch: readonly unknown[],
    { path, order }: { path: string; order: unknown },
  ): unknown[] {
    const list: readonly unknown[] = Array.isArray(current) ? current : [];
    if (SETS.has(path)) {
      return [...list, ...patch.filter((item) => !list.some((known) => jsonEqual(known, item)))];
    }
    const key = this.#keys[path];
    if (key === undefined) return [...patch];
    const merged = this.#keyed(list, patch, { key, path });
    return Array.isArray(order) ? ordered(merged, order, key) : merged;
  }

  #keyed(
    list: readonly unknown[],
    patch: readonly unknown[],
    { key, path }: { key: string; path: string },
  ): unknown[] {
    if (patch.some((item) => isObject(item) && item['$patch'] === 'replace')) {
      return patch.filter((item) => !isObject(item) || item['$patch'] === undefined);
    }
    const merged = [...list];
    for (const item of patch) {
      if (!isObject(item) || item[key] === undefined) {
        throw badRequest(
          `an item of "${path}" in the patch has no "${key}", by which it is merged`,
        );
      }
      const index = merged.findIndex(
        (known) => isObject(known) && jsonEqual(known[key], item[key]),
      );
      const known = merged[index];
      if (item['$patch'] === 'delete') {
        if (index >= 0) merged.splice(index, 1);
      } else if (isObject(known)) merged[index] = this.object(known, item, path);
      else merged.push(this.object({}, item, path));
    }
    return merged;
  }
}

/** The items that `order` names in its order, then those that it does not know. */
function ordered(items: readonly unknown[], order: readonly unknown[], key: string): unknown[] {
  const rank = (item: unknown): number => {
    const id = isObject(item) ? item[key] : undefined;
    const place = order.findIndex((wanted) => isObject(wanted) && jsonEqual(wanted[key], id));
    return place < 0 ? order.length : place;
  };
  return [...items].sort((a, b) => rank(a) - rank(b));
}

function without(list: unknown, values: unknown): unknown[] {
  const removed: readonly unknown[] = Array.isArray(values) ? values : [];
  const kept: readonly unknown[] = Array.isArray(list) ? list : [];
  return kept.filter((item) => !removed.some((value) => jsonEqual(value, item)));
}

function withoutDirectives(patch: Fields): Fields {
  return Object.fromEntries(Object.entries(patch).filter(([name]) => !name.startsWith('$')));
}

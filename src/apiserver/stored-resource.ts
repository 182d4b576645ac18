// Between resources and what the store keeps of them: the same object without its resourceVersion.
import { apiVersionOf, type KindDefinition, type Resource } from '#api';
import { isObject } from '#lib';
import type { StoredObject, StoreKey } from '#datastore';
import { resourceName } from './request-error.ts';

/** `namespace` counts for namespaced kinds only. */
export function storeKey(kind: KindDefinition, namespace: string, name: string): StoreKey {
  const stored = kind.storedAs?.kind ?? kind;
  return { kind: resourceName(stored), namespace: kind.namespaced ? namespace : '', name };
}

/** The resource with its resourceVersion. */
export function toResource(value: StoredObject, revision: number): Resource {
  const metadata = isObject(value['metadata']) ? value['metadata'] : {};
  const versioned = { ...metadata, resourceVersion: String(revision) };
  // Only what `toStored` made of a valid resource is in the store.
  return { ...value, metadata: versioned } as unknown as Resource;
}

/** What of a resource is kept. */
export function toStored(kind: KindDefinition, resource: Resource): StoredObject {
  const { resourceVersion: _, selfLink: __, ...metadata } = resource.metadata;
  return { ...resource, apiVersion: apiVersionOf(kind), kind: kind.kind, metadata };
}

const texts = new WeakMap<StoredObject, { revision: number; text: string }>();

/** The resource as JSON; made once for each revision, however many read it. */
export function resourceText(value: StoredObject, revision: number): string {
  const known = texts.get(value);
  if (known?.revision === revision) return known.text;
  const text = JSON.stringify(toResource(value, revision));
  texts.set(value, { revision, text });
  return text;
}

// Kinds with two versions: requests may speak either, and one of them is stored.
import { apiVersionOf, type KindDefinition, type Resource } from '#api';
import { isObject } from '#lib';
import { badRequest } from './request-error.ts';

/** The version that objects of the kind are stored in. */
export function storedKind(kind: KindDefinition): KindDefinition {
  return kind.storedAs?.kind ?? kind;
}

/** The body of a request in the stored version. Throws 400 for one of another version. */
export function inStoredVersion(kind: KindDefinition, body: unknown): unknown {
  if (!kind.storedAs || !isObject(body)) return body;
  const { apiVersion = apiVersionOf(kind) } = body;
  if (apiVersion !== apiVersionOf(kind)) {
    const quoted = JSON.stringify(apiVersion).slice(0, 100);
    throw badRequest(`apiVersion is ${quoted}, but the request is for "${apiVersionOf(kind)}"`);
  }
  const renamed = rename(body, new Map(Object.entries(kind.storedAs.fields)));
  return { ...renamed, apiVersion: apiVersionOf(kind.storedAs.kind) };
}

/** A stored resource in the version of the request. */
export function inVersion(kind: KindDefinition, resource: Resource): Resource {
  if (!kind.storedAs) return resource;
  const names = Object.entries(kind.storedAs.fields).map(([own, stored]) => [stored, own] as const);
  const renamed = rename({ ...resource }, new Map(names));
  return { ...renamed, apiVersion: apiVersionOf(kind) } as unknown as Resource;
}

/** A path such as `regarding.name` in the stored version. */
export function storedPath(kind: KindDefinition, path: string): string {
  const [first = '', ...rest] = path.split('.');
  return [kind.storedAs?.fields[first] ?? first, ...rest].join('.');
}

function rename(
  object: Readonly<Record<string, unknown>>,
  names: ReadonlyMap<string, string>,
): Record<string, unknown> {
  const members = Object.entries(object).map(([name, value]) => [names.get(name) ?? name, value]);
  return Object.fromEntries(members) as Record<string, unknown>;
}

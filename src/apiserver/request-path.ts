// Reads which resource a URL path names.
import { type KindDefinition, SERVED_KINDS, namespaceKind } from '#api';
import type { Subresource } from './resources.ts';

export interface ResourcePath {
  readonly kind: KindDefinition;
  /** Undefined: all namespaces, or a cluster-wide kind. */
  readonly namespace: string | undefined;
  /** Undefined: the collection. */
  readonly name: string | undefined;
  readonly subresource: Subresource | undefined;
}

const byPath = new Map(
  SERVED_KINDS.map((kind) => [`${kind.group}/${kind.version}/${kind.plural}`, kind]),
);

/** `path` is the URL's, still escaped; undefined where it names no resource. */
export function parseResourcePath(path: string): ResourcePath | undefined {
  const steps = decoded(path);
  if (!steps) return undefined;
  const [root, ...rest] = steps;
  if (root !== 'api' && root !== 'apis') return undefined;
  const group = root === 'api' ? '' : rest.shift();
  const version = rest.shift();
  if (group === undefined || (root === 'apis' && group === '') || version === undefined) {
    return undefined;
  }
  const find = (plural: string | undefined): KindDefinition | undefined =>
    byPath.get(`${group}/${version}/${plural ?? ''}`);
  const inNamespace = rest[0] === 'namespaces' && rest.length > 2 && find(rest[2]);
  if (inNamespace) {
    if (!inNamespace.namespaced) return undefined;
    return tail(inNamespace, rest[1], rest.slice(3));
  }
  const kind = find(rest[0]);
  // A namespaced kind without a namespace is a collection over all of them.
  if (!kind || (kind.namespaced && rest.length > 1)) return undefined;
  return tail(kind, undefined, rest.slice(1));
}

function tail(
  kind: KindDefinition,
  namespace: string | undefined,
  rest: readonly string[],
): ResourcePath | undefined {
  const [name, subresource, ...more] = rest;
  if (more.length > 0 || namespace === '' || name === '') return undefined;
  if (subresource === undefined) return { kind, namespace, name, subresource };
  if (subresource === 'status' && kind.hasStatus) return { kind, namespace, name, subresource };
  if (subresource !== 'finalize' || kind !== namespaceKind) return undefined;
  return { kind, namespace, name, subresource };
}

function decoded(path: string): string[] | undefined {
  try {
    return path.replace(/^\//, '').replace(/\/$/, '').split('/').map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

// Where a resource lives: its URL path at the API server, and its key within one cluster.
import { apiVersionOf, type KindDefinition } from '#api';

export interface ResourceKey {
  readonly namespace?: string | undefined;
  readonly name: string;
}

/** `/api/v1/...` or `/apis/group/version/...`; the whole collection without `name`. */
export function resourcePath(
  kind: KindDefinition,
  key: { namespace?: string | undefined; name?: string | undefined },
  subresource?: string,
): string {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  const namespace =
    kind.namespaced && key.namespace ? `/namespaces/${encodeURIComponent(key.namespace)}` : '';
  const name = key.name ? `/${encodeURIComponent(key.name)}` : '';
  return `${root}${namespace}/${kind.plural}${name}${subresource ? `/${subresource}` : ''}`;
}

/** Unique within a cluster: `v1/Pod shop/front`, `projectcalico.org/v3/Tier default`. */
export function resourceKey(kind: KindDefinition, metadata: ResourceKey): string {
  const name = kind.namespaced ? `${metadata.namespace ?? ''}/${metadata.name}` : metadata.name;
  return `${apiVersionOf(kind)}/${kind.kind} ${name}`;
}

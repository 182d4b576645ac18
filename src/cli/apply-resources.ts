// Makes the cluster hold what manifests say: creates what is missing, replaces what differs, leaves the rest.
import { apiVersionOf, kindOf, type KindDefinition, type Pod, type Resource } from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import { isObject, jsonEqual } from '#lib';
import { displayName } from './kind-lookup.ts';

export type Applied = 'created' | 'configured' | 'unchanged';

/** What stands first is there when the next ones need it. */
const ORDER = [
  ['Namespace'],
  ['ServiceAccount', 'Tier', 'IPPool', 'FelixConfiguration', 'Node', 'Profile'],
  ['NetworkSet', 'GlobalNetworkSet', 'HostEndpoint', 'Service', 'EndpointSlice'],
  ['GlobalNetworkPolicy', 'NetworkPolicy'],
];

const ATTEMPTS_MAX = 5;

/** Dependency before dependent; pods come last, so that policy is there before they are. */
export function inApplyOrder(resources: readonly Resource[]): Resource[] {
  return resources.toSorted((a, b) => rank(a) - rank(b));
}

function rank({ kind }: Resource): number {
  if (kind === 'Pod') return ORDER.length + 1;
  const index = ORDER.findIndex((kinds) => kinds.includes(kind));
  return index < 0 ? ORDER.length : index;
}

/** A resource's kind; every loaded manifest has one. */
export function definitionOf(resource: Resource): KindDefinition {
  const kind = kindOf(resource.apiVersion, resource.kind);
  if (!kind)
    throw new Error(`Cannot apply ${resource.kind}: ${resource.apiVersion} has no such kind`);
  return kind;
}

/** The resource in its namespace: its own, else the given one; none for kinds without. */
export function inNamespace(resource: Resource, namespace: string): Resource {
  if (!definitionOf(resource).namespaced) return resource;
  const metadata = { ...resource.metadata, namespace: resource.metadata.namespace ?? namespace };
  return { ...resource, metadata };
}

/** Applies one resource. Throws ApiError, or Error where a pod that runs would have to change. */
export async function applyResource(client: ApiClient, wanted: Resource): Promise<Applied> {
  const kind = definitionOf(wanted);
  for (let attempt = 1; ; attempt++) {
    try {
      return await applyOnce(client, kind, wanted);
    } catch (error) {
      const raced = error instanceof ApiError && (error.conflict || error.alreadyExists);
      if (!raced || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

async function applyOnce(
  client: ApiClient,
  kind: KindDefinition,
  wanted: Resource,
): Promise<Applied> {
  const present = await client.get(kind, wanted.metadata);
  if (!present) {
    await client.create(kind, wanted);
    return 'created';
  }
  const next = merged(kind, present, wanted);
  if (jsonEqual(next, present)) return 'unchanged';
  if (kind.kind === 'Pod' && !jsonEqual(bodyOf(next), bodyOf(present))) {
    throw new Error(
      `Cannot change ${displayName(kind, wanted.metadata.name)}: a pod is settled when it starts, delete it first`,
    );
  }
  await client.replace(kind, next);
  return 'configured';
}

/** The manifest's body and labels in place of the present ones; what others wrote into metadata and status stays. */
export function merged(kind: KindDefinition, present: Resource, wanted: Resource): Resource {
  const { labels, annotations } = wanted.metadata;
  const status: unknown = 'status' in present && kind.hasStatus ? present.status : undefined;
  const { metadata, apiVersion, ...body } =
    kind.kind === 'Pod' ? keepNode(present, wanted) : wanted;
  const kept = { ...present.metadata.annotations, ...annotations };
  const { labels: _, annotations: __, ...identity } = present.metadata;
  return {
    ...body,
    apiVersion: apiVersion === '' ? apiVersionOf(kind) : apiVersion,
    metadata: {
      ...identity,
      ...(labels && Object.keys(labels).length > 0 ? { labels } : {}),
      ...(Object.keys(kept).length > 0 ? { annotations: kept } : {}),
    },
    ...(status === undefined ? {} : { status }),
  } as Resource;
}

/** Where the lab or a scheduler put a pod is not the manifest's to undo. */
function keepNode(present: Resource, wanted: Resource): Resource {
  const { nodeName } = (present as Pod).spec;
  const pod = wanted as Pod;
  if (nodeName === undefined || pod.spec.nodeName !== undefined) return wanted;
  const moved: Pod = { ...pod, spec: { ...pod.spec, nodeName } };
  return moved;
}

function bodyOf(resource: Resource): unknown {
  const { metadata: _, ...body } = resource;
  return isObject(body) ? { ...body, status: undefined } : body;
}

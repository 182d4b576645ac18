// Whether a policy or a host endpoint is in force: what the nodes' agents say of themselves, for one version of it.
import type { AgentStatus } from './agent-status.ts';
import type { HostEndpoint } from './host-endpoint.ts';
import type { KindDefinition, Resource } from './kind.ts';

/** What one node says of one version of a policy or of a host endpoint. */
export interface NodeEnforcement {
  readonly node: string;
  readonly enforced: boolean;
  /** Why not, where the node knows. */
  readonly error?: string;
}

/** Kinds whose resources have the condition `Enforced`, as `kindKey` writes them. */
const ENFORCED_KINDS: readonly string[] = [
  'NetworkPolicy.projectcalico.org',
  'GlobalNetworkPolicy.projectcalico.org',
  'NetworkPolicy.networking.k8s.io',
  'ClusterNetworkPolicy.policy.networking.k8s.io',
  'HostEndpoint.projectcalico.org',
];

/** A kind in an agent's status: `NetworkPolicy.projectcalico.org`. */
export function kindKey(kind: Pick<KindDefinition, 'kind' | 'group'>): string {
  return `${kind.kind}.${kind.group}`;
}

/** Whether agents report of a kind which of its versions they enforce. */
export function isEnforcedKind(kind: Pick<KindDefinition, 'kind' | 'group'>): boolean {
  return ENFORCED_KINDS.includes(kindKey(kind));
}

/** The key that a node names it by: of a policy as the data plane has it, `kind/namespace/name`. */
export function enforcedKey({ apiVersion, kind, metadata }: Resource): string {
  const isKubernetes = groupOf(apiVersion) === 'networking.k8s.io';
  return `${isKubernetes ? 'Kubernetes' : ''}${kind}/${metadata.namespace ?? ''}/${metadata.name}`;
}

/** The one node that a host endpoint is on; undefined for what is for all nodes. */
export function nodeOfEndpoint(resource: Resource): string | undefined {
  if (resource.kind !== 'HostEndpoint') return undefined;
  return (resource as HostEndpoint).spec.node ?? '';
}

/**
 * What each node that it concerns says of the version that its resourceVersion names: in force once the node has
 * applied that or a later revision of its kind, and does not name it among those it could not enforce. A host
 * endpoint concerns its own node, which must also have it on an interface.
 */
export function enforcementOf(
  resource: Resource,
  nodes: Iterable<string>,
  agents: ReadonlyMap<string, AgentStatus>,
): NodeEnforcement[] {
  const own = nodeOfEndpoint(resource);
  if (own === undefined) return [...nodes].map((node) => onNode(resource, node, agents.get(node)));
  if (![...nodes].includes(own)) {
    return [{ node: own, enforced: false, error: 'there is no such node' }];
  }
  return [onNode(resource, own, agents.get(own))];
}

function onNode(resource: Resource, node: string, agent: AgentStatus | undefined): NodeEnforcement {
  const kind = kindKey({ kind: resource.kind, group: groupOf(resource.apiVersion) });
  const status = agent?.status;
  if (!status) return { node, enforced: false, error: 'its agent has not reported' };
  const refused = status.refusedPolicies?.find((one) => one.key === enforcedKey(resource));
  if (refused) return { node, enforced: false, error: refused.message };
  const isApplied = isAtLeast(status.appliedRevisions?.[kind], resource.metadata.resourceVersion);
  const placed = status.hostEndpoints?.find(({ name }) => name === resource.metadata.name);
  const isHost = resource.kind === 'HostEndpoint';
  const enforced = isApplied && (!isHost || placed?.enforced === true);
  const error = (isApplied ? placed?.error : undefined) ?? status.errors?.[0];
  return { node, enforced, ...(!enforced && error !== undefined && { error }) };
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

/** Revisions are numbers that grow (sqlite's and etcd's). */
function isAtLeast(revision: string | undefined, wanted: string | undefined): boolean {
  return revision !== undefined && wanted !== undefined && Number(revision) >= Number(wanted);
}

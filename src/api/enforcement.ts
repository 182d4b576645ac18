// Whether a policy is in force on every node: what the nodes' agents say of themselves, for one version of it.
import type { AgentStatus } from './agent-status.ts';
import type { KindDefinition, Resource } from './kind.ts';

/** What one node says of one version of a policy. */
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
];

/** A kind in an agent's status: `NetworkPolicy.projectcalico.org`. */
export function kindKey(kind: Pick<KindDefinition, 'kind' | 'group'>): string {
  return `${kind.kind}.${kind.group}`;
}

/** Whether agents report of a kind which of its versions they enforce. */
export function isEnforcedKind(kind: Pick<KindDefinition, 'kind' | 'group'>): boolean {
  return ENFORCED_KINDS.includes(kindKey(kind));
}

/** A policy's key as the data plane has it: `kind/namespace/name`. */
export function enforcedKey({ apiVersion, kind, metadata }: Resource): string {
  const isKubernetes = groupOf(apiVersion) === 'networking.k8s.io';
  return `${isKubernetes ? 'Kubernetes' : ''}${kind}/${metadata.namespace ?? ''}/${metadata.name}`;
}

/**
 * What each node says of the version of a policy that its resourceVersion names: in force once the node has
 * applied that or a later revision of its kind, and does not name it among those it could not enforce.
 */
export function enforcementOf(
  policy: Resource,
  nodes: Iterable<string>,
  agents: ReadonlyMap<string, AgentStatus>,
): NodeEnforcement[] {
  const kind = kindKey({ kind: policy.kind, group: groupOf(policy.apiVersion) });
  const key = enforcedKey(policy);
  return [...nodes].map((node): NodeEnforcement => {
    const status = agents.get(node)?.status;
    if (!status) return { node, enforced: false, error: 'its agent has not reported' };
    const refused = status.refusedPolicies?.find((one) => one.key === key);
    if (refused) return { node, enforced: false, error: refused.message };
    const applied = status.appliedRevisions?.[kind];
    const enforced = isAtLeast(applied, policy.metadata.resourceVersion);
    const error = enforced ? undefined : status.errors?.[0];
    return { node, enforced, ...(error !== undefined && { error }) };
  });
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '';
}

/** Revisions are numbers that grow (sqlite's and etcd's). */
function isAtLeast(revision: string | undefined, wanted: string | undefined): boolean {
  return revision !== undefined && wanted !== undefined && Number(revision) >= Number(wanted);
}

// Who asks, and for what: the identity and the attributes of a request, in Kubernetes' terms.
import type { KindDefinition } from '#api';

/** Who a request comes from (authentication.k8s.io/v1 UserInfo). */
export interface Identity {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export const MASTERS = 'system:masters';
export const NODES = 'system:nodes';
export const AUTHENTICATED = 'system:authenticated';
export const UNAUTHENTICATED = 'system:unauthenticated';
export const ANONYMOUS = 'system:anonymous';
const NODE_PREFIX = 'system:node:';
const SERVICE_ACCOUNT_PREFIX = 'system:serviceaccount:';

/** A request on a resource, as authorisation sees it. */
export interface ResourceAttributes {
  readonly verb: string;
  readonly group: string;
  readonly version?: string;
  /** The plural. */
  readonly resource: string;
  /** Empty: the resource itself. */
  readonly subresource: string;
  /** Empty: all of them, or a cluster-wide kind. */
  readonly namespace: string;
  /** Empty: a collection. */
  readonly name: string;
}

/** A request on a path that is no resource. */
export interface PathAttributes {
  readonly verb: string;
  readonly path: string;
}

export type Attributes = ResourceAttributes | PathAttributes;

/** The attributes of a kind's resource; what is absent is empty. */
export function attributesOf(
  kind: KindDefinition,
  verb: string,
  rest: {
    readonly namespace?: string | undefined;
    readonly name?: string | undefined;
    readonly subresource?: string | undefined;
  } = {},
): ResourceAttributes {
  const { namespace = '', name = '', subresource = '' } = rest;
  const { group, version, plural: resource } = kind;
  return { verb, group, version, resource, subresource, namespace, name };
}

/** With the group that everybody has who was recognised. */
export function authenticated(identity: Identity): Identity {
  if (identity.groups.includes(AUTHENTICATED)) return identity;
  return { ...identity, groups: [...identity.groups, AUTHENTICATED] };
}

/** The identity of a node's agent. */
export function nodeIdentity(node: string): Identity {
  return { name: `${NODE_PREFIX}${node}`, groups: [NODES] };
}

/** The node whose agent this is; undefined for everybody else. */
export function nodeNameOf({ name, groups }: Identity): string | undefined {
  if (!groups.includes(NODES) || !name.startsWith(NODE_PREFIX)) return undefined;
  return name.slice(NODE_PREFIX.length) || undefined;
}

/** `system:serviceaccount:<namespace>:<name>`. */
export function serviceAccountUser(namespace: string, name: string): string {
  return `${SERVICE_ACCOUNT_PREFIX}${namespace}:${name}`;
}

/** The groups of every service account of a namespace. */
export function serviceAccountGroups(namespace: string): string[] {
  return ['system:serviceaccounts', `system:serviceaccounts:${namespace}`];
}

/** The service account that a user name stands for; undefined for other names. */
export function serviceAccountOf(user: string): { namespace: string; name: string } | undefined {
  const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(user);
  const [, namespace, name] = match ?? [];
  return namespace && name ? { namespace, name } : undefined;
}

/** `pods is forbidden: ...`, Kubernetes' words of what is missing. */
export function denialText({ name: user }: Identity, attributes: Attributes): string {
  const { verb } = attributes;
  if ('path' in attributes) return `User "${user}" cannot ${verb} path "${attributes.path}"`;
  const { group, namespace } = attributes;
  const place = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const resource = `resource "${resourceText(attributes)}" in API group "${group}" ${place}`;
  return `User "${user}" cannot ${verb} ${resource}`;
}

/** `pods/log`. */
export function resourceText({ resource, subresource }: ResourceAttributes): string {
  return subresource === '' ? resource : `${resource}/${subresource}`;
}

// Tier RBAC: who may touch a policy is said for its tier, on pseudo-resources such as `tier.networkpolicies`.
import {
  globalNetworkPolicyKind,
  type KindDefinition,
  networkPolicyKind,
  stagedGlobalNetworkPolicyKind,
  stagedNetworkPolicyKind,
  tierKind,
} from '#api';
import { isObject } from '#lib';
import type { RequestError } from '../request-error.ts';
import { accessDenied } from './access-denied.ts';
import {
  attributesOf,
  type Attributes,
  type Identity,
  type ResourceAttributes,
} from './identity.ts';

const TIERED: readonly KindDefinition[] = [
  networkPolicyKind,
  globalNetworkPolicyKind,
  stagedNetworkPolicyKind,
  stagedGlobalNetworkPolicyKind,
];
const DEFAULT_TIER = 'default';

/** Whether a resource is a policy in a tier. Kubernetes' own policies, staged ones too, are not. */
export function isTiered({
  group,
  resource,
}: Pick<ResourceAttributes, 'group' | 'resource'>): boolean {
  return TIERED.some((kind) => kind.group === group && kind.plural === resource);
}

/** A policy's tier. */
export function tierOf(policy: Readonly<Record<string, unknown>>): string {
  const { spec } = policy;
  const tier = isObject(spec) ? spec['tier'] : undefined;
  return typeof tier === 'string' && tier !== '' ? tier : DEFAULT_TIER;
}

/** The tier that list selectors ask for; undefined: any. */
export function selectedTier(query: {
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}): string | undefined {
  const field = /(?:^|,)\s*spec\.tier\s*==?\s*([^,!=\s]+)/.exec(query.fieldSelector ?? '');
  const label = /(?:^|,)\s*projectcalico\.org\/tier\s*==?\s*([^,!=\s]+)/.exec(
    query.labelSelector ?? '',
  );
  return field?.[1] ?? label?.[1];
}

type Allows = (attributes: Attributes) => boolean;

/** The permissions that a request on policies needs, asked of RBAC through `allows`. */
export class TierAccess {
  readonly #attributes: ResourceAttributes;
  readonly #allows: Allows;
  readonly #answers = new Map<string, boolean>();

  constructor(attributes: ResourceAttributes, allows: Allows) {
    this.#attributes = attributes;
    this.#allows = allows;
  }

  /** Of policies in every tier, whichever there are. */
  get everywhere(): boolean {
    return this.#pseudo('') && this.#allows(getTier(''));
  }

  /** On the policy (without one: on all policies) of the tier: its verb there, and `get` on the tier. */
  allows(tier: string, policy = ''): boolean {
    const asked = `${tier}\0${policy}`;
    const known = this.#answers.get(asked);
    if (known !== undefined) return known;
    const answer = this.#allows(getTier(tier)) && this.#verbAllowed(tier, policy);
    this.#answers.set(asked, answer);
    return answer;
  }

  /** The 403 for the tier, with the permission that is missing. */
  denied(identity: Identity, tier: string, policy = ''): RequestError {
    const { verb, resource } = this.#attributes;
    const attributes = { ...this.#attributes, name: policy };
    const missing = this.#verbAllowed(tier, policy)
      ? `needs get on tiers.projectcalico.org "${tier}"`
      : `needs ${verb} on tier.${resource}.projectcalico.org "${tier}.*", and get on tiers "${tier}"`;
    return accessDenied(identity, attributes, `in tier "${tier}": ${missing}`);
  }

  #verbAllowed(tier: string, policy: string): boolean {
    if (this.#pseudo(`${tier}.*`)) return true;
    if (policy === '') return false;
    return this.#pseudo(policy.startsWith(`${tier}.`) ? policy : `${tier}.${policy}`);
  }

  #pseudo(name: string): boolean {
    const resource = `tier.${this.#attributes.resource}`;
    return this.#allows({ ...this.#attributes, resource, name });
  }
}

function getTier(name: string): ResourceAttributes {
  return attributesOf(tierKind, 'get', { name });
}

// Who may do what: nodes what their agents need, everybody else what RBAC gives them, policies by their tier.
import { clusterInformationKind, type KindDefinition } from '#api';
import type { ObjectSelector } from '../object-selector.ts';
import { accessDenied } from './access-denied.ts';
import { escalationCheck } from './escalation.ts';
import {
  attributesOf,
  type Attributes,
  type Identity,
  MASTERS,
  nodeNameOf,
  type ResourceAttributes,
} from './identity.ts';
import { nodeMay, nodeWriteCheck, type WriteCheck } from './node-authorization.ts';
import type { RbacPolicy } from './rbac-policy.ts';
import { isTiered, TierAccess, tierOf } from './tier-authorization.ts';

export interface Attempt {
  readonly verb: string;
  readonly kind: KindDefinition;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
  /** Of a list or watch of policies: the tier that its selectors ask for. */
  readonly tier?: string | undefined;
}

/** What an allowed request still has to keep to. */
export interface Access {
  /** Looks at a write's outcome before it is stored; throws a 403. */
  readonly check?: WriteCheck | undefined;
  /** Of a list or watch: which objects may be seen; absent: all of them. */
  readonly visible?: ObjectSelector;
  /** Of one object that was found: throws a 403 where it may not be seen or deleted. */
  readonly checkFound?: (object: Readonly<Record<string, unknown>>) => void;
}

export interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
}

const READS = new Set(['get', 'list', 'watch']);
const FOR_SYSTEM = 'it is written by the system alone';

export class Authorizer {
  readonly #policy: RbacPolicy;
  readonly #tiers: () => Iterable<string>;

  /** `tiers`: the names of those there are. */
  constructor(policy: RbacPolicy, tiers: () => Iterable<string>) {
    this.#policy = policy;
    this.#tiers = tiers;
  }

  get policy(): RbacPolicy {
    return this.#policy;
  }

  /** Whether the request may be made, as a SubjectAccessReview says it. */
  decide(identity: Identity, attributes: Attributes): Decision {
    if (identity.groups.includes(MASTERS)) return { allowed: true, reason: `group ${MASTERS}` };
    if (isForSystem(attributes)) return { allowed: false, reason: FOR_SYSTEM };
    const granted = this.#policy.allowing(identity, attributes);
    if (!('path' in attributes) && isTiered(attributes)) {
      if (nodeNameOf(identity) !== undefined && nodeMay(attributes)) return byNode();
      return this.#decideTiered(identity, attributes);
    }
    if (granted) return { allowed: true, reason: `RBAC: allowed by ${granted.through}` };
    if (nodeNameOf(identity) !== undefined && nodeMay(attributes)) return byNode();
    // As in Kubernetes without a word: `kubectl auth can-i` prints what is said after its "no".
    return { allowed: false, reason: '' };
  }

  /** Throws a 403 that says what is missing. */
  require(identity: Identity, attributes: Attributes): void {
    if (!this.decide(identity, attributes).allowed) throw accessDenied(identity, attributes);
  }

  /** Throws a 403, or returns what the request has to keep to. */
  authorize(identity: Identity, attempt: Attempt): Access {
    if (identity.groups.includes(MASTERS)) return {};
    const { kind, verb } = attempt;
    const attributes = attributesOf(kind, verb, attempt);
    const allows = (asked: Attributes): boolean =>
      this.#policy.allowing(identity, asked) !== undefined;
    if (isForSystem(attributes)) throw accessDenied(identity, attributes, FOR_SYSTEM);
    const node = nodeNameOf(identity);
    if (isTiered(attributes)) {
      if (node !== undefined && nodeMay(attributes)) return {};
      return this.#tiered(identity, attempt, attributes);
    }
    if (allows(attributes)) {
      return { check: escalationCheck(this.#policy, identity, { kind, verb }, allows) };
    }
    if (node !== undefined && nodeMay(attributes)) {
      return { check: nodeWriteCheck(identity, node, kind, verb) };
    }
    throw accessDenied(identity, attributes);
  }

  #access(identity: Identity, attributes: ResourceAttributes): TierAccess {
    return new TierAccess(
      attributes,
      (asked) => this.#policy.allowing(identity, asked) !== undefined,
    );
  }

  #tiered(identity: Identity, { tier, name }: Attempt, attributes: ResourceAttributes): Access {
    const access = this.#access(identity, attributes);
    if (tier !== undefined && !access.allows(tier)) throw access.denied(identity, tier);
    // What is created says its tier itself; of the rest, somebody without any tier learns nothing.
    const settled = tier !== undefined || attributes.verb === 'create' || access.everywhere;
    if (!settled && ![...this.#tiers()].some((each) => access.allows(each, name))) {
      throw access.denied(identity, 'default', name);
    }
    const checkFound = (policy: Readonly<Record<string, unknown>>): void => {
      const own = nameOf(policy);
      if (!access.allows(tierOf(policy), own)) throw access.denied(identity, tierOf(policy), own);
    };
    return {
      visible: (policy) => access.allows(tierOf(policy)),
      checkFound,
      check: (next, current) => {
        if (current) checkFound({ ...current });
        checkFound({ ...next });
      },
    };
  }

  /** Without a tier to judge by: whether there is a tier in which it is allowed. */
  #decideTiered(identity: Identity, attributes: ResourceAttributes): Decision {
    const access = this.#access(identity, attributes);
    const tier = access.everywhere
      ? '*'
      : [...this.#tiers()].find((each) => access.allows(each, attributes.name));
    if (tier !== undefined) return { allowed: true, reason: `RBAC: allowed in tier "${tier}"` };
    const reason = access.denied(identity, 'default', attributes.name).message;
    return { allowed: false, reason };
  }
}

/** Calico's webhook guards the cluster's information so: it says what the cluster is, and can stop every agent. */
function isForSystem(attributes: Attributes): boolean {
  if ('path' in attributes || READS.has(attributes.verb)) return false;
  const { group, plural } = clusterInformationKind;
  return attributes.group === group && attributes.resource === plural;
}

function byNode(): Decision {
  return { allowed: true, reason: "a node's agent needs it" };
}

function nameOf({ metadata }: Readonly<Record<string, unknown>>): string {
  const name: unknown =
    typeof metadata === 'object' && metadata !== null && 'name' in metadata ? metadata.name : '';
  return typeof name === 'string' ? name : '';
}

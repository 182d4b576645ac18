// What an evaluation says: the verdict of each half, what decided it and every step on the way.

export type Verdict = 'allow' | 'deny';
/** `egress` leaves the source, `ingress` enters the destination. */
export type Direction = 'egress' | 'ingress';

/**
 * A policy as its author named it. `NetworkPolicy` is Calico's; Kubernetes' own has its own word. Staged ones
 * never decide.
 */
export interface PolicyRef {
  readonly kind:
    | 'NetworkPolicy'
    | 'GlobalNetworkPolicy'
    | 'KubernetesNetworkPolicy'
    | 'ClusterNetworkPolicy'
    | 'StagedNetworkPolicy'
    | 'StagedGlobalNetworkPolicy'
    | 'StagedKubernetesNetworkPolicy';
  /** null for the kinds without namespace. */
  readonly namespace: string | null;
  readonly name: string;
}

/** What decided. */
export interface Ruling {
  readonly verdict: Verdict;
  /** null where no policy applied or profiles decided. */
  readonly tier: string | null;
  /** null too where the default action of the tier decided. */
  readonly policy: PolicyRef | null;
  /** Index of the rule from 0 as the author wrote it; −1 for a default action. */
  readonly rule: number;
}

/** What decided one half. */
export interface Half extends Ruling {
  /** Absent where it is certain. */
  readonly doubt?: Doubt;
}

/** The node does not tell its interfaces, and another host endpoint than the one that was asked may govern this one. */
export interface Doubt {
  readonly node: string;
  /** Who was asked; null is nobody. */
  readonly hostEndpoint: string | null;
  /** What others would say, where it is not the same. */
  readonly otherwise: readonly (Ruling & { readonly hostEndpoint: string | null })[];
}

export type Outcome =
  /** A rule, a profile or the lack of any policy lets the packet pass. */
  | 'allow'
  | 'deny'
  /** A rule hands the packet to the next tier. */
  | 'pass'
  /** A rule logs it and evaluation goes on. */
  | 'log'
  /** The policy applies and none of its rules matched. */
  | 'no-match'
  /** The policy does not apply to this endpoint, or no policy of the tier does. */
  | 'not-selected'
  /** The policy is staged: reported, never enforced. */
  | 'staged'
  /** The default action of a tier whose policies all passed the packet over. */
  | 'default-deny'
  | 'default-pass'
  /** A failsafe port of a host endpoint: policy is not asked. */
  | 'failsafe';

export interface Step {
  readonly direction: Direction;
  readonly tier: string | null;
  readonly policy: PolicyRef | null;
  readonly rule: number;
  readonly outcome: Outcome;
  /** Plain English. */
  readonly reason: string;
}

/** What both ends say of a packet. */
export interface Judgement {
  readonly verdict: Verdict;
  readonly egress: Half;
  readonly ingress: Half;
  readonly steps: readonly Step[];
}

/** The answer of `evaluate`; as JSON it is the output of `tortie explain -o json`. */
export interface Explanation extends Judgement {
  /**
   * What would be said if staged policies were enforced, which are then named as the enforced ones that they would
   * be. Only where one would add, replace or remove a policy that applies to either end.
   */
  readonly pending?: Judgement;
}

/** `NetworkPolicy shop/web`, or `GlobalNetworkPolicy deny-all`. */
export function formatPolicyRef(ref: PolicyRef): string {
  return `${ref.kind} ${ref.namespace === null ? '' : `${ref.namespace}/`}${ref.name}`;
}

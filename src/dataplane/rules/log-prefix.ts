// Prefixes of logged packets: short texts that say which rule decided, and the table to read them by.
import { type Direction, type PolicyId, policyKey } from '#calc/dataplane-update';
import { shortHash } from './names.ts';

/** Which rule decided about a packet. */
export interface RuleHit {
  readonly action: 'Allow' | 'Deny' | 'Pass';
  readonly direction: Direction;
  /** Null for profiles, and where no tier or profile decided. */
  readonly tier: string | null;
  /** Null where a default decided: the end of a tier, no profile, an interface nobody knows. */
  readonly policy: PolicyId | null;
  /** Index of the rule in its policy; -1 where a default decided. */
  readonly rule: number;
  /** The rule of a staged policy: it was met, and decided nothing. */
  readonly staged?: true;
}

/** Who decided: Policy, pRofile, Staged policy, end of Tier, No profile, Unknown interface. */
export type PrefixOwner = 'P' | 'R' | 'S' | 'T' | 'N' | 'U';

/** Bytes of a prefix; the kernel allows 127. */
const PREFIX_MAX = 120;

/** Groups of nfnetlink_log: towards a workload, and from it (spec 03, 3.1). */
export const LOG_GROUP: Readonly<Record<Direction, number>> = { ingress: 1, egress: 2 };

/** Gives every decision its prefix and remembers what the prefix means. */
export class LogPrefixes {
  readonly #hits = new Map<string, RuleHit>();

  get hits(): ReadonlyMap<string, RuleHit> {
    return this.#hits;
  }

  /** Takes over what other prefixes mean. */
  absorb(hits: ReadonlyMap<string, RuleHit>): void {
    for (const [prefix, hit] of hits) this.#hits.set(prefix, hit);
  }

  /**
   * `API3|NetworkPolicy/default/web`: action, owner, direction, rule, and who decided; the last part is
   * hashed when it is too long.
   */
  prefixOf(hit: RuleHit, owner: PrefixOwner): string {
    const direction = hit.direction === 'ingress' ? 'I' : 'E';
    const index = hit.rule < 0 ? '' : String(hit.rule);
    const head = `${hit.action.charAt(0)}${owner}${direction}${index}|`;
    const name = hit.policy ? policyKey(hit.policy) : (hit.tier ?? '');
    const long = Buffer.byteLength(head) + Buffer.byteLength(name) > PREFIX_MAX;
    const prefix = `${head}${long ? `#${shortHash(name)}` : name}`;
    this.#hits.set(prefix, hit);
    return prefix;
  }
}

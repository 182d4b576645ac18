// Probes of lint: whether packets that every cluster needs may pass, and whose policy is to blame where not.
import { compareCodePoints } from '#lib';
import { evaluate } from '../evaluate.ts';
import { type Direction, formatPolicyRef } from '../explanation.ts';
import type { Packet } from '../packet.ts';
import { PartyError } from '../party.ts';
import type { World } from '../world.ts';
import { compareFindings, type Finding } from './finding.ts';

/** The half that denies a packet, and the object and field that make it deny. */
export interface Denial {
  readonly direction: Direction;
  /** undefined where no policy decides, but profiles or the lack of them. */
  readonly object: string | undefined;
  readonly path: string;
  /** `rule 0 Deny matches`, or why nothing matched. */
  readonly because: string;
}

/** undefined where the packet may pass, or cannot be: the ends share no address family. */
export function denialOf(world: World, packet: Packet): Denial | 'allowed' | undefined {
  try {
    const { verdict, egress, ingress, steps } = evaluate(world, packet);
    if (verdict === 'allow') return 'allowed';
    const direction = egress.verdict === 'deny' ? 'egress' : 'ingress';
    const half = direction === 'egress' ? egress : ingress;
    const own = steps.filter((step) => step.direction === direction);
    const because = own.at(-1)?.reason ?? '';
    if (half.policy) {
      const path = `spec.${direction}[${half.rule}]`;
      return { direction, object: formatPolicyRef(half.policy), path, because };
    }
    const passedOver = own.find((step) => step.tier === half.tier && step.outcome === 'no-match');
    const object = passedOver?.policy ? formatPolicyRef(passedOver.policy) : undefined;
    return { direction, object, path: `spec.${direction}`, because };
  } catch (error) {
    if (error instanceof PartyError) return undefined;
    throw error;
  }
}

const NAMES_SHOWN = 3;

/** `shop/cart, shop/front, web/a and 4 more`. */
export function someNames(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_SHOWN);
  const rest = names.length - shown.length;
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ');
}

/** One finding for all that one field does wrong. */
export class FindingsByField {
  readonly #found = new Map<
    string,
    { finding: (names: readonly string[]) => Finding; names: string[] }
  >();

  /** `finding` is called with every name that came for the same key. */
  add(key: string, names: readonly string[], finding: (names: readonly string[]) => Finding): void {
    const known = this.#found.get(key);
    if (known) known.names.push(...names);
    else this.#found.set(key, { finding, names: [...names] });
  }

  all(): Finding[] {
    return [...this.#found.values()]
      .map(({ finding, names }) => finding([...new Set(names)].sort(compareCodePoints)))
      .sort(compareFindings);
  }
}

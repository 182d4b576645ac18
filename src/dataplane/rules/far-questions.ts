// What a group of rules asked about the addresses of the far end, and whether other members are answered alike.
import { FAMILIES, type Family } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import {
  type AddressClasses,
  type AddressQuestion,
  addressClasses,
  addressQuestion,
  type ClassMap,
} from './address-classes.ts';
import type { Chain } from './chain.ts';
import type { PlacedRule } from './candidates.ts';
import type { FarClasses } from './classifier.ts';
import type { PacketEnd } from './match.ts';

/** A value: a question, and what the answer was with which sets. */
export interface Asked {
  readonly question: AddressQuestion;
  readonly sets: ReadonlyMap<string, IpSet | undefined>;
  readonly classes: AddressClasses | undefined;
  /** Whether some rule looks classes up. */
  readonly isUsed: boolean;
}

type SetOf = (id: string) => IpSet | undefined;

/** Of one group: each family is asked about once, when somebody wants to know. */
export class FarQuestions {
  readonly #group: {
    readonly name: string;
    readonly rules: readonly PlacedRule[];
    readonly end: PacketEnd;
  };
  readonly #setOf: SetOf;
  readonly #asked = new Map<Family, Asked>();

  constructor(
    group: {
      readonly name: string;
      readonly rules: readonly PlacedRule[];
      readonly end: PacketEnd;
    },
    setOf: SetOf,
  ) {
    this.#group = group;
    this.#setOf = setOf;
  }

  /** All that was asked; `chains` are what was made of the answers. */
  askedFor(chains: readonly Chain[]): readonly Asked[] {
    const actions = chains.flatMap(({ rules }) => rules.flatMap((rule) => rule.actions));
    const used = new Set(
      actions.map((one) => (one.action === 'look-up' ? one.classes : undefined)),
    );
    return FAMILIES.flatMap((family) => this.#asked.get(family) ?? []).map((one) => ({
      ...one,
      isUsed: one.classes !== undefined && used.has(one.classes.map.name),
    }));
  }

  of(family: Family): FarClasses | undefined {
    const asked = this.#asked.get(family) ?? this.#ask(family);
    this.#asked.set(family, asked);
    const { question, classes } = asked;
    return classes && { question, classes };
  }

  #ask(family: Family): Asked {
    const { name, rules, end } = this.#group;
    return askedOf(addressQuestion(name, rules, end, family, this.#setOf), this.#setOf);
  }
}

function askedOf(question: AddressQuestion, setOf: SetOf): Asked {
  const ids = [...question.conditions.values()].flatMap((match) =>
    match.match === 'ip-set' ? [match.set] : [],
  );
  const sets = new Map(ids.map((id) => [id, setOf(id)]));
  return { question, sets, classes: addressClasses(question, setOf), isUsed: true };
}

/**
 * The same question with other sets; undefined where rules would be rendered in another way. Sets are values: where all
 * are as they were the answer is the same object.
 */
export function askedAgain(asked: Asked, setOf: SetOf): Asked | undefined {
  if ([...asked.sets].every(([id, set]) => setOf(id) === set)) return asked;
  const again = { ...askedOf(asked.question, setOf), isUsed: asked.isUsed };
  return again.classes?.structure === asked.classes?.structure ? again : undefined;
}

/** The maps from address to class that the answers are. */
export function classMapsOf(asked: readonly Asked[]): ClassMap[] {
  return asked.flatMap(({ classes, isUsed }) => (classes && isUsed ? classes.map : []));
}

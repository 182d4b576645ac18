// What a group of rules asked about the addresses of the far end, and whether other members are answered alike.
import { FAMILIES, type Family } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import { changedClasses } from './address-class-changes.ts';
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

/** A value: what the answer to a question was, with which sets. */
interface Answer {
  readonly sets: ReadonlyMap<string, IpSet | undefined>;
  readonly classes: AddressClasses | undefined;
}

/** A value: a question of a group, and the answer. */
export interface Asked extends Answer {
  readonly question: AddressQuestion;
  /** Whether some rule looks classes up. */
  readonly isUsed: boolean;
}

type SetOf = (id: string) => IpSet | undefined;

/** The last answer to each question: groups that ask the same share it, and the map in the kernel. */
export class FarAnswers {
  /** By name of the question. */
  #kept = new Map<string, Answer>();
  #used = new Map<string, Answer>();

  /** What was not asked since the last call is forgotten. */
  forgetUnused(): void {
    this.#kept = this.#used;
    this.#used = new Map();
  }

  /**
   * Sets are values: where all are as they were the answer is the same object. `former`, an answer to the same
   * question, helps where the last one is forgotten.
   */
  of(question: AddressQuestion, setOf: SetOf, former?: Answer): Answer {
    const before = this.#used.get(question.name) ?? this.#kept.get(question.name) ?? former;
    const now = before && isOf(before, setOf) ? before : answer(question, setOf, before);
    this.#used.set(question.name, now);
    return now;
  }
}

function isOf({ sets }: Answer, setOf: SetOf): boolean {
  return [...sets].every(([id, set]) => setOf(id) === set);
}

function answer(question: AddressQuestion, setOf: SetOf, before: Answer | undefined): Answer {
  const ids = [...question.conditions.values()].flatMap((match) =>
    match.match === 'ip-set' ? [match.set] : [],
  );
  const sets = new Map(ids.map((id) => [id, setOf(id)]));
  const { classes } = before ?? {};
  const changed = before && classes && changedClasses(question, { ...before, classes }, setOf);
  return { sets, classes: changed ?? addressClasses(question, setOf) };
}

/** Of one group: each family is asked about once, when somebody wants to know. */
export class FarQuestions {
  readonly #group: { readonly rules: readonly PlacedRule[]; readonly end: PacketEnd };
  readonly #setOf: SetOf;
  readonly #answers: FarAnswers;
  readonly #asked = new Map<Family, Asked>();

  constructor(
    group: { readonly rules: readonly PlacedRule[]; readonly end: PacketEnd },
    setOf: SetOf,
    answers: FarAnswers,
  ) {
    this.#group = group;
    this.#setOf = setOf;
    this.#answers = answers;
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
    const { rules, end } = this.#group;
    const question = addressQuestion(rules, end, family, this.#setOf);
    return { question, ...this.#answers.of(question, this.#setOf), isUsed: true };
  }
}

/**
 * The same question with other sets; undefined where rules would be rendered in another way. `changed`: the IDs of all
 * sets that are others, where that is known.
 */
export function askedAgain(
  asked: Asked,
  { setOf, changed }: { readonly setOf: SetOf; readonly changed: readonly string[] | undefined },
  answers: FarAnswers,
): Asked | undefined {
  const isSame = changed ? !changed.some((id) => asked.sets.has(id)) : isOf(asked, setOf);
  if (isSame) return asked;
  const again = { ...asked, ...answers.of(asked.question, setOf, asked) };
  return again.classes?.structure === asked.classes?.structure ? again : undefined;
}

/** The maps from address to class that the answers are. */
export function classMapsOf(asked: readonly Asked[]): ClassMap[] {
  return asked.flatMap(({ classes, isUsed }) => (classes && isUsed ? classes.map : []));
}

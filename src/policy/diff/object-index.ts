// Finds the labelled objects that a selection holds for without asking every object.
import { type LabelRestriction, labelRestrictions, type Labels } from '#selector';
import { conditionsHold, type EntitySelection, type LabelCondition } from '../scoped-selector.ts';

/** Objects are known by their place in the list given. */
export class ObjectIndex {
  readonly #labels: readonly Labels[];
  readonly #everything: readonly number[];
  readonly #byValue = new Map<string, Map<string, number[]>>();
  readonly #byLabel = new Map<string, number[]>();

  constructor(objects: readonly { readonly labels: Labels }[]) {
    this.#labels = objects.map((object) => object.labels);
    this.#everything = objects.map((_, index) => index);
    for (const [index, labels] of this.#labels.entries()) {
      for (const [label, value] of Object.entries(labels)) this.#add(index, label, value);
    }
  }

  #add(index: number, label: string, value: string): void {
    const having = this.#byLabel.get(label) ?? [];
    this.#byLabel.set(label, having);
    having.push(index);
    const values = this.#byValue.get(label) ?? new Map<string, number[]>();
    this.#byValue.set(label, values);
    const equal = values.get(value) ?? [];
    values.set(value, equal);
    equal.push(index);
  }

  /** The objects that meet every positive condition and not the negative one, ascending. */
  selected({ positive, negative }: EntitySelection): number[] {
    return this.#candidates(positive).filter((index) => {
      const labels = this.#labels[index] ?? {};
      return conditionsHold(positive, labels) && !negative?.selector.evaluate(labels);
    });
  }

  /** The shortest of the lists that every match must be in. */
  #candidates(conditions: readonly LabelCondition[]): readonly number[] {
    let best = this.#everything;
    for (const { selector } of conditions) {
      for (const [label, restriction] of labelRestrictions(selector)) {
        const list = this.#restricted(label, restriction);
        if (list && list.length < best.length) best = list;
      }
    }
    return best;
  }

  #restricted(label: string, restriction: LabelRestriction): readonly number[] | undefined {
    const { mustHaveOneOfValues: values, mustBePresent } = restriction;
    const [first] = values ?? [];
    const byValue = this.#byValue.get(label);
    if (values?.length === 1 && first !== undefined) return byValue?.get(first) ?? [];
    if (values) {
      return values.flatMap((value) => byValue?.get(value) ?? []).sort((a, b) => a - b);
    }
    return mustBePresent ? (this.#byLabel.get(label) ?? []) : undefined;
  }
}

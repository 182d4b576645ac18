// A set of fields of an object as a tree, and its form in `managedFields`: FieldsV1.
import { isObject } from '#lib';

/**
 * One step of a field path, as FieldsV1 writes it: `f:name` of a field or map key, `k:{"name":"a"}` of an item by its
 * keys, `v:"x"` of an item by its value.
 */
export type FieldStep = string;

/** Deeper sets are refused: no object of the API has as many levels. */
const MAX_DEPTH = 64;
const STEP = /^[fkvi]:/;

export class FieldSet {
  /** Fields that are in the set themselves. */
  readonly members = new Set<FieldStep>();
  /** Fields below a field; none of them is empty. */
  readonly #children = new Map<FieldStep, FieldSet>();

  get empty(): boolean {
    return this.members.size === 0 && this.#children.size === 0;
  }

  get children(): ReadonlyMap<FieldStep, FieldSet> {
    return this.#children;
  }

  /** Whether the field, or one below it, is in the set. */
  touches(step: FieldStep): boolean {
    return this.members.has(step) || this.#children.has(step);
  }

  /** Of a set that is being built: what is below a field. An empty one is not kept. */
  setChild(step: FieldStep, child: FieldSet): void {
    if (child.empty) this.#children.delete(step);
    else this.#children.set(step, child);
  }

  union(other: FieldSet): FieldSet {
    return combine(this, other, {
      member: (mine, theirs) => mine || theirs,
      child: (mine, theirs) => (mine && theirs ? mine.union(theirs) : (mine ?? theirs)),
    });
  }

  intersection(other: FieldSet): FieldSet {
    return combine(this, other, {
      member: (mine, theirs) => mine && theirs,
      child: (mine, theirs) => (mine && theirs ? mine.intersection(theirs) : undefined),
    });
  }

  /** Exactly the fields of the other are taken away, not those below them. */
  difference(other: FieldSet): FieldSet {
    return combine(this, other, {
      member: (mine, theirs) => mine && !theirs,
      child: (mine, theirs) => (mine && theirs ? mine.difference(theirs) : mine),
    });
  }

  equals(other: FieldSet): boolean {
    return this.difference(other).empty && other.difference(this).empty;
  }

  /** The paths of all members, in order. */
  *paths(prefix: readonly FieldStep[] = []): Generator<readonly FieldStep[]> {
    for (const step of this.#steps()) {
      const path = [...prefix, step];
      if (this.members.has(step)) yield path;
      yield* this.#children.get(step)?.paths(path) ?? [];
    }
  }

  /** As FieldsV1. */
  toJSON(): Record<string, unknown> {
    const entries = this.#steps().map((step) => {
      const below = this.#children.get(step)?.toJSON() ?? {};
      const itself = this.members.has(step) && Object.keys(below).length > 0 ? { '.': {} } : {};
      return [step, { ...itself, ...below }];
    });
    return Object.fromEntries(entries);
  }

  /** Reads FieldsV1; undefined where it is none. */
  static parse(value: unknown, depth = 0): FieldSet | undefined {
    if (!isObject(value) || depth > MAX_DEPTH) return undefined;
    const set = new FieldSet();
    for (const [step, below] of Object.entries(value)) {
      if (step === '.') continue;
      const child = FieldSet.parse(below, depth + 1);
      if (!STEP.test(step) || !child || !isObject(below)) return undefined;
      if (child.empty || Object.hasOwn(below, '.')) set.members.add(step);
      set.setChild(step, child);
    }
    return set;
  }

  #steps(): FieldStep[] {
    return [...new Set([...this.members, ...this.#children.keys()])].sort();
  }
}

interface Combination {
  readonly member: (mine: boolean, theirs: boolean) => boolean;
  readonly child: (
    mine: FieldSet | undefined,
    theirs: FieldSet | undefined,
  ) => FieldSet | undefined;
}

function combine(mine: FieldSet, theirs: FieldSet, { member, child }: Combination): FieldSet {
  const result = new FieldSet();
  for (const step of new Set([...mine.members, ...theirs.members])) {
    if (member(mine.members.has(step), theirs.members.has(step))) result.members.add(step);
  }
  for (const step of new Set([...mine.children.keys(), ...theirs.children.keys()])) {
    const below = child(mine.children.get(step), theirs.children.get(step));
    if (below) result.setChild(step, below);
  }
  return result;
}

/** As people write it: `.spec.containers[name="web"].image`. */
export function fieldPathText(path: readonly FieldStep[]): string {
  return path
    .map((step) => {
      const content = step.slice(2);
      if (step.startsWith('f:')) return `.${content}`;
      if (!step.startsWith('k:')) return `[=${content}]`;
      const keys = Object.entries(JSON.parse(content) as Record<string, unknown>);
      return `[${keys.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`;
    })
    .join('');
}

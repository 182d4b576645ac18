// Which fields a value has, which of them differ in another, and values put together by their fields.
import { jsonEqual } from '#lib';
import { type FieldSchema, keyFieldsOf, type Parts, pathBelow } from './field-schema.ts';
import { FieldSet, type FieldStep } from './field-set.ts';

export interface Comparison {
  /** Fields that are new or have another value, with the maps and items that are new as a whole. */
  readonly changed: FieldSet;
  readonly removed: FieldSet;
}

/**
 * The fields of an applied value: what is owned as a whole, and the items of lists. With `containers` also the maps
 * that the fields are in.
 */
export function fieldsOf(
  schema: FieldSchema,
  value: unknown,
  { path = '', containers = false }: { path?: string; containers?: boolean } = {},
): FieldSet {
  const fields = new FieldSet();
  const parts = schema.partsOf(value, path);
  for (const [step, child] of parts?.values ?? []) {
    const below = fieldsOf(schema, child, { path: pathBelow(path, step), containers });
    if (below.empty || parts?.list || containers) fields.members.add(step);
    fields.setChild(step, below);
  }
  return fields;
}

export function compareFields(
  schema: FieldSchema,
  before: unknown,
  after: unknown,
  path = '',
): Comparison {
  const changed = new FieldSet();
  const removed = new FieldSet();
  const old = schema.partsOf(before, path)?.values ?? new Map<FieldStep, unknown>();
  const now = schema.partsOf(after, path)?.values ?? new Map<FieldStep, unknown>();
  for (const step of new Set([...old.keys(), ...now.keys()])) {
    const at = pathBelow(path, step);
    const whole = (value: unknown) => fieldsOf(schema, value, { path: at, containers: true });
    if (!old.has(step)) {
      changed.members.add(step);
      changed.setChild(step, whole(now.get(step)));
    } else if (!now.has(step)) {
      removed.members.add(step);
      removed.setChild(step, whole(old.get(step)));
    } else {
      const pair = [old.get(step), now.get(step)] as const;
      if (!samePartition(schema.partsOf(pair[0], at), schema.partsOf(pair[1], at))) {
        if (!jsonEqual(pair[0], pair[1])) changed.members.add(step);
      }
      const below = compareFields(schema, pair[0], pair[1], at);
      changed.setChild(step, below.changed);
      removed.setChild(step, below.removed);
    }
  }
  return { changed, removed };
}

function samePartition(before: Parts | undefined, after: Parts | undefined): boolean {
  return before !== undefined && after !== undefined && before.list === after.list;
}

/** `live` with the fields of `applied` put in. */
export function mergeFields(
  schema: FieldSchema,
  live: unknown,
  applied: unknown,
  path = '',
): unknown {
  const had = schema.partsOf(live, path);
  const wanted = schema.partsOf(applied, path);
  if (!had || !wanted || had.list !== wanted.list) return applied;
  const merge = (step: FieldStep): unknown =>
    had.values.has(step) && wanted.values.has(step)
      ? mergeFields(schema, had.values.get(step), wanted.values.get(step), pathBelow(path, step))
      : (wanted.values.get(step) ?? had.values.get(step));
  if (wanted.list) return mergedOrder([...had.values.keys()], [...wanted.values.keys()]).map(merge);
  const steps = [...new Set([...had.values.keys(), ...wanted.values.keys()])];
  return Object.fromEntries(steps.map((step) => [step.slice(2), merge(step)]));
}

/** The wanted items in their order, the others where they stood among them. */
function mergedOrder(had: readonly FieldStep[], wanted: readonly FieldStep[]): FieldStep[] {
  const before = new Set(had);
  const shared = wanted.filter((step) => before.has(step));
  const known = new Set(shared);
  const order = had.map((step) => (known.has(step) ? (shared.shift() ?? step) : step));
  let at = 0;
  for (const step of wanted) {
    if (known.has(step)) at = order.indexOf(step) + 1;
    else order.splice(at++, 0, step);
  }
  return order;
}

/** `value` without the fields in `given` that nobody owns: not `owned`, and nothing below them. */
export function removeFields(
  schema: FieldSchema,
  value: unknown,
  { given, owned, path = '' }: { given: FieldSet; owned: FieldSet; path?: string },
): unknown {
  const parts = schema.partsOf(value, path);
  if (!parts) return value;
  const kept: [FieldStep, unknown][] = [];
  for (const [step, child] of parts.values) {
    if (!given.touches(step)) {
      kept.push([step, child]);
      continue;
    }
    if (given.members.has(step) && !owned.touches(step)) continue;
    const below = {
      given: withoutSteps(given.children.get(step), keyFieldsOf(step)),
      owned: owned.children.get(step) ?? new FieldSet(),
      path: pathBelow(path, step),
    };
    const rest = removeFields(schema, child, below);
    const emptied = sizeOf(schema, rest, below.path) === 0 && sizeOf(schema, child, below.path) > 0;
    if (!emptied || owned.touches(step)) kept.push([step, rest]);
  }
  if (parts.list) return kept.map(([, child]) => child);
  return Object.fromEntries(kept.map(([step, child]) => [step.slice(2), child]));
}

function withoutSteps(set: FieldSet | undefined, steps: readonly FieldStep[]): FieldSet {
  const taken = new FieldSet();
  for (const step of steps) taken.members.add(step);
  return (set ?? new FieldSet()).difference(taken);
}

/** Infinite where it has no parts. */
function sizeOf(schema: FieldSchema, value: unknown, path: string): number {
  return schema.partsOf(value, path)?.values.size ?? Infinity;
}

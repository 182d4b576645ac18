// From what the table holds to what it should hold: the target that can be reached, and the steps to it.
import { differences } from '#lib';
import type { NftOperation, SetElement } from '#linux';
import { dispatchMapName, WORKLOADS_MAP } from '../rules/names.ts';
import { keyOfClass, type SetState } from './set-state.ts';
import { type ChainState, NO_RULES, type TableState } from './table-state.ts';

/** A change, with the name of the chain or set that it is part of. */
export interface Step {
  readonly object: string;
  readonly operation: NftOperation;
}

/**
 * The desired state without what the kernel refused: a refused object, and what needs an object that
 * is not there, stays as it is (or absent). Chains and sets share one space of names.
 */
export function reachable(
  desired: TableState,
  actual: TableState,
  refused: ReadonlySet<string>,
): TableState {
  if (refused.size === 0) return desired;
  const chains = keepRefused(desired.chains, actual.chains, refused);
  const sets = keepRefused(desired.sets, actual.sets, refused);
  const isThere = (name: string) => chains.has(name) || sets.has(name);
  // What lacks something it refers to falls back to what it was, and others may then miss it.
  for (let moved = true; moved; ) {
    const chainsMoved = fallBack(chains, actual.chains, ({ content }) => content, isThere);
    const mapsMoved = fallBack(sets, actual.sets, (set) => set, isThere);
    moved = chainsMoved || mapsMoved;
  }
  for (const [name, set] of sets) {
    if (!set.type.verdicts || set.references || refused.has(name)) continue;
    sets.set(name, reachableVerdicts(set, actual.sets.get(name), chains));
  }
  keepClasses({ chains, sets }, actual, refused);
  keepNeeded({ chains, sets }, desired, actual);
  return { chains, sets };
}

/** What stays as it was leads where it led: that stays too, though nobody else wants it any more. */
function keepNeeded({ chains, sets }: Target, desired: TableState, actual: TableState): void {
  const seen = new Set([
    ...[...chains].filter(([name, one]) => one !== desired.chains.get(name)).map(([name]) => name),
    ...[...sets].filter(([name, one]) => one !== desired.sets.get(name)).map(([name]) => name),
  ]);
  for (const name of seen) {
    const chain = chains.get(name) ?? actual.chains.get(name);
    const set = sets.get(name) ?? actual.sets.get(name);
    if (chain && !chains.has(name)) chains.set(name, chain);
    if (set && !chain && !sets.has(name)) sets.set(name, set);
    for (const one of chain?.content?.references ?? (set ? ledTo(set) : [])) seen.add(one);
  }
}

function ledTo({ references, entries }: SetState): Iterable<string> {
  if (references) return references;
  return [...entries].flatMap(([, [element]]) => {
    const verdict = element?.verdict;
    return verdict && 'chain' in verdict ? [verdict.chain] : [];
  });
}

interface Target {
  readonly chains: Map<string, ChainState>;
  readonly sets: Map<string, SetState>;
}

/** A workload whose new class leads nowhere stays in the one it was in, with all that this one needs. */
function keepClasses(target: Target, actual: TableState, refused: ReadonlySet<string>): void {
  const places = target.sets.get(WORKLOADS_MAP);
  if (!places) return;
  const held = [...(actual.sets.get(WORKLOADS_MAP)?.entries ?? [])];
  const former = new Map(held.map(([text, elements]) => [elements[0]?.key, { text, elements }]));
  const maps = CLASS_MAPS.filter((map) => !refused.has(map));
  if (refused.has(WORKLOADS_MAP)) {
    // They stay where they are: so do the ways that they had.
    for (const [, [element]] of places.entries) {
      for (const map of maps) {
        if (element?.data !== undefined && !entryOf(element.data, target.sets.get(map))) {
          keepEntry(map, element.data, target, actual);
        }
      }
    }
    return;
  }
  const entries = new Map(places.entries);
  for (const [text, [element]] of places.entries) {
    const before = former.get(element?.key);
    const name = before?.elements[0]?.data;
    if (!before || before.text === text || name === undefined) continue;
    if (leadsOn(element?.data, target.sets) || !leadsOn(name, actual.sets)) continue;
    entries.delete(text);
    entries.set(before.text, before.elements);
    for (const map of maps) keepEntry(map, name, target, actual);
  }
  target.sets.set(WORKLOADS_MAP, { ...places, entries });
}

const CLASS_MAPS = [dispatchMapName('ingress'), dispatchMapName('egress')];

function entryOf(name: string | undefined, set: SetState | undefined) {
  const key = name && keyOfClass(name);
  return [...(set?.entries ?? [])].find(([, [element]]) => element?.key === key);
}

function leadsOn(name: string | undefined, sets: ReadonlyMap<string, SetState>): boolean {
  return CLASS_MAPS.every((map) => entryOf(name, sets.get(map)) !== undefined);
}

function keepEntry(map: string, name: string, target: Target, actual: TableState): void {
  const set = target.sets.get(map);
  const entry = entryOf(name, actual.sets.get(map));
  if (!set || !entry) return;
  target.sets.set(map, { ...set, entries: new Map([...set.entries, entry]) });
  const verdict = entry[1][0]?.verdict;
  const kept = new Set(verdict && 'chain' in verdict ? [verdict.chain] : []);
  for (const one of kept) {
    const chain = actual.chains.get(one);
    const verdicts = actual.sets.get(one);
    if (chain && !target.chains.has(one)) target.chains.set(one, chain);
    if (verdicts && !target.sets.has(one)) target.sets.set(one, verdicts);
    for (const more of chain?.content?.references ?? verdicts?.references ?? []) kept.add(more);
  }
}

function fallBack<T>(
  target: Map<string, T>,
  actual: ReadonlyMap<string, T>,
  needs: (one: T) => { readonly references?: ReadonlySet<string> } | undefined,
  isThere: (name: string) => boolean,
): boolean {
  let moved = false;
  for (const [name, one] of target) {
    const before = actual.get(name);
    const references = [...(needs(one)?.references ?? [])];
    if (one === before || references.every(isThere)) continue;
    if (before) target.set(name, before);
    else target.delete(name);
    moved = true;
  }
  return moved;
}

function keepRefused<T>(
  desired: ReadonlyMap<string, T>,
  actual: ReadonlyMap<string, T>,
  refused: ReadonlySet<string>,
): Map<string, T> {
  const kept = new Map(desired);
  for (const name of refused) {
    const before = actual.get(name);
    if (before !== undefined) kept.set(name, before);
    else kept.delete(name);
  }
  return kept;
}

/** Entries that lead to a chain that is not there are left out: their interface is then unknown. */
function reachableVerdicts(
  set: SetState,
  actual: SetState | undefined,
  chains: ReadonlyMap<string, ChainState>,
): SetState {
  const leads = ([element]: readonly SetElement[]) =>
    element?.verdict !== undefined &&
    (!('chain' in element.verdict) || chains.has(element.verdict.chain));
  const entries = new Map([...set.entries].filter(([, elements]) => leads(elements)));
  const held = new Set([...entries.values()].map(([element]) => element?.key));
  const wanted = new Set([...set.entries.values()].map(([element]) => element?.key));
  for (const [text, elements] of actual?.entries ?? []) {
    const key = elements[0]?.key;
    if (wanted.has(key) && !held.has(key) && leads(elements)) entries.set(text, elements);
  }
  return { ...set, entries };
}

/**
 * The steps of one transaction. What is referred to comes before what refers to it: sets, chains,
 * rules, dispatch; removals come after all that, in the reverse order.
 */
export function planSteps(table: string, target: TableState, actual: TableState): Step[] {
  const chains = target.chains === actual.chains ? [] : [...target.chains];
  const changed = chains.filter(([name, chain]) => {
    const before = actual.chains.get(name);
    return chain.content && before?.signature !== chain.signature;
  });
  const created = chains.filter(([name]) => !actual.chains.has(name));
  const gone =
    target.chains === actual.chains
      ? []
      : [...actual.chains.keys()].filter((name) => !target.chains.has(name));
  const sets = [...differences(actual.sets, target.sets)];
  const wanted = sets.flatMap(({ key, after }): [string, SetState][] =>
    after ? [[key, after]] : [],
  );
  const verdicts = wanted.filter(([, set]) => set.type.verdicts);
  const plain = wanted.filter(([, set]) => !set.type.verdicts);
  return [
    ...wanted.flatMap(([name, set]) => createSet(table, name, set, actual)),
    ...plain.flatMap(([name, set]) => changeEntries(table, name, set, actual.sets.get(name))),
    ...created.flatMap(([name, chain]) => createChain(table, name, chain)),
    ...changed.flatMap(([name, chain]) => fillChain(table, name, chain, actual)),
    ...verdicts.flatMap(([name, set]) => changeEntries(table, name, set, actual.sets.get(name))),
    ...gone.map((chain) => step(chain, { kind: 'flush-chain', table, chain })),
    ...sets
      .filter(({ after }) => !after)
      .map(({ key: set }) => step(set, { kind: 'delete-set', table, set })),
    ...gone.map((chain) => step(chain, { kind: 'delete-chain', table, chain })),
  ];
}

function step(object: string, operation: NftOperation): Step {
  return { object, operation };
}

function createSet(table: string, name: string, set: SetState, actual: TableState): Step[] {
  if (actual.sets.has(name)) return [];
  return [step(name, { kind: 'add-set', table, set: name, type: set.type })];
}

/** Removals first: a range that changes may overlap what it was. */
function changeEntries(table: string, name: string, set: SetState, before?: SetState): Step[] {
  const old = before?.entries ?? new Map<string, readonly SetElement[]>();
  const removed: SetElement[] = [];
  const added: SetElement[] = [];
  // The text says all of an entry: one that is there before and after is the same.
  for (const change of differences(old, set.entries)) {
    if (!change.after) removed.push(...(change.before ?? []));
    else if (!change.before) added.push(...change.after);
  }
  const change = (kind: 'add-elements' | 'delete-elements', elements: readonly SetElement[]) =>
    elements.length > 0 ? [step(name, { kind, table, set: name, elements })] : [];
  return [...change('delete-elements', removed), ...change('add-elements', added)];
}

function createChain(table: string, name: string, chain: ChainState): Step[] {
  const { base, comment } = chain.content ?? {};
  const extras = { ...(base && { base }), ...(comment !== undefined && { comment }) };
  return [step(name, { kind: 'add-chain', table, chain: name, ...extras })];
}

function fillChain(table: string, name: string, chain: ChainState, actual: TableState): Step[] {
  const { rules = [], ruleComments = [] } = chain.content ?? {};
  const before = actual.chains.get(name);
  const flush: Step[] =
    before && before.signature !== NO_RULES
      ? [step(name, { kind: 'flush-chain', table, chain: name })]
      : [];
  return [
    ...flush,
    ...rules.map((expressions, index) => {
      const comment = ruleComments[index] ?? '';
      return step(name, { kind: 'add-rule', table, chain: name, expressions, comment });
    }),
  ];
}

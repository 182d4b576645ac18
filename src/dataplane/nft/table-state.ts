// What an nftables table should hold, or holds, in a form in which the two can be compared.
import { differences, FAMILIES, PersistentMap } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import {
  type BaseChain,
  type Expression,
  type TableSnapshot,
  baseSignature,
  setSignature,
} from '#linux';
import type { Chain } from '../rules/chain.ts';
import { ipSetName, type SetKind, shortHash, WORKLOADS_MAP } from '../rules/names.ts';
import type { Ruleset } from '../rules/ruleset.ts';
import { renderChain } from './render.ts';
import type { IpSetStates } from './ip-set-states.ts';
import {
  type SetState,
  classesState,
  classMapState,
  dispatchState,
  entriesOf,
  verdictMapState,
  workloadsState,
} from './set-state.ts';

/** What it takes to write a chain. */
export interface ChainContent {
  readonly base?: BaseChain;
  readonly comment?: string;
  readonly rules: readonly (readonly Expression[])[];
  /** Of each rule; by these a later process recognises the chain. */
  readonly ruleComments: readonly string[];
  /** Names of the chains and sets it refers to. */
  readonly references: ReadonlySet<string>;
}

/** `content` is absent for a chain that was read from the kernel. */
export interface ChainState {
  readonly base: string;
  /** Equal for equal rules; the comments of all of them. */
  readonly signature: string;
  readonly content?: ChainContent;
}

export interface TableState {
  readonly chains: ReadonlyMap<string, ChainState>;
  readonly sets: ReadonlyMap<string, SetState>;
}

export const EMPTY_TABLE: TableState = { chains: new Map(), sets: new Map() };

const COMMENT_PREFIX = 'tortie';

/** What the kernel should hold for a ruleset. */
export interface DesiredTable {
  readonly ruleset: Ruleset;
  readonly state: TableState & { readonly sets: PersistentMap<SetState> };
  /** Names of the chains and sets that the chains refer to. */
  readonly referred: ReadonlySet<string>;
}

/** Its chains, and the sets that they refer to. `before` is of the former ruleset. */
export function desiredTable(
  ruleset: Ruleset,
  ipSets: IpSetStates,
  before: DesiredTable | undefined,
): DesiredTable {
  const { chains, dispatch, classes, maps } = ruleset;
  const isSame =
    before?.ruleset.chains === chains &&
    before.ruleset.dispatch === dispatch &&
    before.ruleset.classes === classes &&
    before.ruleset.maps === maps;
  if (!before || !isSame) return newTable(ruleset, ipSets, before);
  const { referred, state } = before;
  let { sets } = state;
  if (ruleset.workloads !== before.ruleset.workloads) {
    sets = sets.with(WORKLOADS_MAP, workloadsOf(ruleset, before));
  }
  for (const change of differences(before.ruleset.classMaps, ruleset.classMaps)) {
    const { before: former, after } = change;
    if (after) sets = sets.with(after.name, classMapState(after, former));
  }
  for (const change of differences(before.ruleset.ipSets, ruleset.ipSets)) {
    const names = [change.before, change.after].flatMap((set) => setNames(set, referred));
    for (const { name } of names) sets = sets.without(name);
    for (const { name, kind, family } of setNames(change.after, referred)) {
      if (!change.after) continue;
      sets = sets.with(name, ipSets.stateOf(change.after, kind, family, change.before));
    }
  }
  return { ruleset, referred, state: { chains: state.chains, sets } };
}

function workloadsOf(ruleset: Ruleset, before: DesiredTable | undefined): SetState {
  const state = before?.state.sets.get(WORKLOADS_MAP);
  return workloadsState(ruleset, state && before && { ...before.ruleset, state });
}

/** The parts of an IP set that are referred to. */
function setNames(set: IpSet | undefined, referred: ReadonlySet<string>) {
  if (!set) return [];
  const kinds: readonly SetKind[] = set.type === 'net' ? ['net', 'address'] : ['ip-port'];
  const parts = kinds.flatMap((kind) =>
    FAMILIES.map((family) => ({ kind, family, name: ipSetName(set.id, kind, family) })),
  );
  return parts.filter(({ name }) => referred.has(name));
}

function newTable(
  ruleset: Ruleset,
  ipSets: IpSetStates,
  before: DesiredTable | undefined,
): DesiredTable {
  const chains = new Map<string, ChainState>();
  const referred = new Set<string>();
  for (const chain of ruleset.chains.values()) {
    const state = desiredChain(chain);
    chains.set(chain.name, state);
    for (const name of state.content?.references ?? []) referred.add(name);
  }
  const sets = new Map<string, SetState>();
  for (const [name, map] of ruleset.dispatch) sets.set(name, dispatchState(map));
  for (const [name, map] of ruleset.classes)
    sets.set(name, classesState(map, ruleset.classNumbers));
  sets.set(WORKLOADS_MAP, workloadsOf(ruleset, before));
  for (const [name, map] of ruleset.maps) sets.set(name, verdictMapState(map));
  for (const [name, map] of ruleset.classMaps) {
    sets.set(name, classMapState(map, before?.ruleset.classMaps.get(name)));
  }
  for (const set of ruleset.ipSets.values()) {
    const former = before?.ruleset.ipSets.get(set.id);
    for (const { name, kind, family } of setNames(set, referred)) {
      sets.set(name, ipSets.stateOf(set, kind, family, former));
    }
  }
  return { ruleset, referred, state: { chains, sets: PersistentMap.from(sets) } };
}

/** Chains are values; those that stay are the same objects. */
const knownChains = new WeakMap<Chain, ChainState>();

function desiredChain(chain: Chain): ChainState {
  const known = knownChains.get(chain);
  if (known) return known;
  const state = renderedState(chain);
  knownChains.set(chain, state);
  return state;
}

function renderedState(chain: Chain): ChainState {
  const { base, rules } = renderChain(chain);
  const hash = shortHash(JSON.stringify(rules));
  const ruleComments = rules.map((_, index) => `${COMMENT_PREFIX}:${hash}:${index}`);
  const content = {
    ...(base && { base }),
    ...(chain.comment !== undefined && { comment: chain.comment }),
    rules,
    ruleComments,
    references: referencesOf(rules),
  };
  return { base: baseSignature(base), signature: rulesSignature(ruleComments), content };
}

/** Equal for rules with equal comments in equal order; a rule without one is nobody's of ours. */
function rulesSignature(comments: readonly (string | undefined)[]): string {
  return JSON.stringify(comments);
}

/** The signature of a chain without rules. */
export const NO_RULES = rulesSignature([]);

function referencesOf(rules: readonly (readonly Expression[])[]): Set<string> {
  const names = new Set<string>();
  for (const expression of rules.flat()) {
    if (expression.kind === 'lookup' && typeof expression.set === 'string') {
      names.add(expression.set);
    }
    if (expression.kind === 'verdict' && 'chain' in expression.verdict) {
      names.add(expression.verdict.chain);
    }
  }
  return names;
}

/**
 * The kernel's table as a state to compare with `desired`. Undefined when something of it cannot be
 * changed in place: then the table must be made anew.
 */
export function actualTable(snapshot: TableSnapshot, desired: TableState): TableState | undefined {
  const chains = new Map<string, ChainState>();
  for (const [name, chain] of snapshot.chains) {
    const wanted = desired.chains.get(name);
    if (wanted && wanted.base !== chain.base) return undefined;
    const signature = rulesSignature(chain.rules.map((rule) => rule.comment));
    chains.set(name, { base: chain.base, signature });
  }
  const sets = new Map<string, SetState>();
  for (const [name, set] of snapshot.sets) {
    const wanted = desired.sets.get(name);
    if (wanted && setSignature(wanted.type) !== set.signature) return undefined;
    const type = wanted?.type ?? { key: [] };
    sets.set(name, { type, entries: entriesOf(type, set.elements) });
  }
  return { chains, sets };
}

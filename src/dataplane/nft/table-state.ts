// What an nftables table should hold, or holds, in a form in which the two can be compared.
import { FAMILIES, type Family } from '#lib';
import {
  type BaseChain,
  type Expression,
  type SetElement,
  type SetType,
  type TableSnapshot,
  baseSignature,
  setSignature,
} from '#linux';
import type { IpSet } from '#calc/dataplane-update';
import type { Chain } from '../rules/chain.ts';
import { ipSetName, shortHash } from '../rules/names.ts';
import type { Ruleset } from '../rules/ruleset.ts';
import { addressBytes, interfaceHex, parseIpPort } from './bytes.ts';
import { intervalElements, netIntervals } from './intervals.ts';
import { renderChain } from './render.ts';

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

/** Entries by a text that says all of them; an entry is one element, or the two of a range. */
export interface SetState {
  readonly type: SetType;
  readonly entries: ReadonlyMap<string, readonly SetElement[]>;
}

export interface TableState {
  readonly chains: ReadonlyMap<string, ChainState>;
  readonly sets: ReadonlyMap<string, SetState>;
}

export const EMPTY_TABLE: TableState = { chains: new Map(), sets: new Map() };

const COMMENT_PREFIX = 'tortie';

/** What the kernel should hold for a ruleset: its chains, and the sets that they refer to. */
export function desiredTable(ruleset: Ruleset): TableState {
  const chains = new Map<string, ChainState>();
  const referred = new Set<string>();
  for (const chain of ruleset.chains.values()) {
    const state = desiredChain(chain);
    chains.set(chain.name, state);
    for (const name of state.content?.references ?? []) referred.add(name);
  }
  const sets = new Map<string, SetState>();
  for (const [name, map] of ruleset.dispatch) sets.set(name, dispatchState(map));
  for (const set of ruleset.ipSets.values()) {
    for (const family of FAMILIES) {
      const name = ipSetName(set.id, set.type, family);
      if (referred.has(name)) sets.set(name, ipSetState(set, family));
    }
  }
  return { chains, sets };
}

function desiredChain(chain: Chain): ChainState {
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
  return { base: baseSignature(base), signature: ruleComments.join(' '), content };
}

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

function dispatchState(map: ReadonlyMap<string, string>): SetState {
  const entries = new Map<string, SetElement[]>();
  for (const [interfaceName, chain] of map) {
    const element: SetElement = {
      key: interfaceHex(interfaceName),
      verdict: { kind: 'jump', chain },
    };
    entries.set(entryText([element]), [element]);
  }
  return { type: { key: ['ifname'], verdicts: true }, entries };
}

/** Members that are not of the set's form are left out; calc never makes them. */
function ipSetState(set: IpSet, family: Family): SetState {
  const field = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  const entries = new Map<string, readonly SetElement[]>();
  if (set.type === 'net') {
    for (const interval of netIntervals(set.members, family)) {
      const elements = intervalElements(interval, addressBytes(family));
      entries.set(entryText(elements), elements);
    }
    return { type: { key: [field], interval: true }, entries };
  }
  for (const member of set.members) {
    const parsed = parseIpPort(member);
    if (parsed?.family !== family) continue;
    const elements = [{ key: parsed.key }];
    entries.set(entryText(elements), elements);
  }
  return { type: { key: [field, 'inet_proto', 'inet_service'] }, entries };
}

function entryText(elements: readonly SetElement[]): string {
  return elements
    .map(({ key, verdict }) => {
      if (!verdict) return key;
      return `${key} ${verdict.kind} ${'chain' in verdict ? verdict.chain : ''}`;
    })
    .join('-');
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
    const signature = chain.rules.map((rule) => rule.comment ?? '?').join(' ');
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

function entriesOf(
  type: SetType,
  elements: readonly SetElement[],
): Map<string, readonly SetElement[]> {
  const groups = type.interval ? pairIntervals(elements) : elements.map((element) => [element]);
  return new Map(groups.map((group) => [entryText(group), group]));
}

/** Puts each start together with the end that follows it; an end without a start says nothing. */
function pairIntervals(elements: readonly SetElement[]): SetElement[][] {
  const rank = (element: SetElement) => `${element.key}${element.intervalEnd ? 0 : 1}`;
  const sorted = elements
    .map((element) => ({ element, rank: rank(element) }))
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1));
  const pairs: SetElement[][] = [];
  let open: SetElement[] | undefined;
  for (const { element } of sorted) {
    if (!element.intervalEnd) {
      open = [element];
      pairs.push(open);
    } else if (open) {
      open.push(element);
      open = undefined;
    }
  }
  return pairs;
}

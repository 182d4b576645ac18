// Makes the kernel's nftables table equal to a ruleset: reads it once, then writes the difference.
import { NftError, type NftOperation, type TableSnapshot } from '#linux';
import type { ApplyError, Ruleset } from '../rules/ruleset.ts';
import { planSteps, reachable } from './plan.ts';
import { IpSetStates } from './set-state.ts';
import { EMPTY_TABLE, type TableState, actualTable, desiredTable } from './table-state.ts';

/** What the driver needs of nftables. */
export interface NftablesKernel {
  readTable(name: string): TableSnapshot | undefined;
  commit(operations: readonly NftOperation[]): void;
  readonly writes: number;
}

/** What the kernel is believed to hold. */
interface Belief {
  readonly exists: boolean;
  readonly dormant: boolean;
  /** Undefined: the table is there, and cannot become what we want but by making it anew. */
  readonly state: TableState | undefined;
}

/** The owner of one table. Each apply is one transaction: all of it, or all but what was refused. */
export class NftTable {
  readonly #kernel: NftablesKernel;
  readonly #name: string;
  readonly #ipSets = new IpSetStates();
  #belief: Belief | undefined;
  #desired: { readonly ruleset: Ruleset; readonly state: TableState } | undefined;
  /** Chains and sets that the kernel refused at the last apply; undefined: it refused the whole. */
  #refused: ReadonlySet<string> | undefined;

  constructor(kernel: NftablesKernel, name: string) {
    this.#kernel = kernel;
    this.#name = name;
  }

  /** Forgets what the kernel is believed to hold; the next apply reads it. */
  resync(): void {
    this.#belief = undefined;
  }

  /** Returns what the kernel refused, and what was left as it was because of that. */
  apply(ruleset: Ruleset): ApplyError[] {
    const desired = this.#desiredOf(ruleset);
    const isFresh = this.#belief === undefined;
    const refusals = new Map<string, string>();
    // The first refusal may only mean that somebody else changed the table: look again, once.
    let mayReread = !isFresh;
    for (;;) {
      const belief = (this.#belief ??= this.#read(desired));
      const failure = this.#attempt(desired, belief, new Set(refusals.keys()));
      if (failure === undefined) {
        this.#refused = new Set(refusals.keys());
        return this.#report(desired, refusals);
      }
      if (mayReread) {
        mayReread = false;
        this.#belief = undefined;
        continue;
      }
      if (failure.object === undefined || refusals.has(failure.object)) {
        this.#belief = undefined;
        this.#refused = undefined;
        return [{ what: `nftables table inet ${this.#name}`, message: failure.message }];
      }
      refusals.set(failure.object, failure.message);
    }
  }

  /** Whether the last apply left a chain, and all that it refers to, in the kernel as desired. */
  holds(chain: string): boolean {
    const desired = this.#desired?.state;
    const held = this.#belief?.state?.chains;
    const refused = this.#refused;
    if (!desired || !held || !refused) return false;
    const seen = new Set([chain]);
    for (const name of seen) {
      if (refused.has(name)) return false;
      const set = desired.sets.get(name);
      for (const reference of set?.references ?? []) seen.add(reference);
      if (set) continue;
      const wanted = desired.chains.get(name);
      if (!wanted || held.get(name)?.signature !== wanted.signature) return false;
      for (const reference of wanted.content?.references ?? []) seen.add(reference);
    }
    return true;
  }

  #desiredOf(ruleset: Ruleset): TableState {
    if (this.#desired?.ruleset !== ruleset) {
      this.#desired = { ruleset, state: desiredTable(ruleset, this.#ipSets) };
    }
    return this.#desired.state;
  }

  #read(desired: TableState): Belief {
    const snapshot = this.#kernel.readTable(this.#name);
    if (!snapshot) return { exists: false, dormant: false, state: EMPTY_TABLE };
    const state = actualTable(snapshot, desired);
    return { exists: true, dormant: snapshot.dormant, state };
  }

  /** One transaction; what it failed on, if it did. */
  #attempt(
    desired: TableState,
    belief: Belief,
    refused: ReadonlySet<string>,
  ): { object: string | undefined; message: string } | undefined {
    const table = this.#name;
    const actual = belief.state ?? EMPTY_TABLE;
    const target = reachable(desired, actual, refused);
    const steps = planSteps(table, target, actual);
    const operations: NftOperation[] = [];
    if (!belief.state) operations.push({ kind: 'delete-table', table });
    if (!belief.exists || belief.dormant || !belief.state) {
      operations.push({ kind: 'add-table', table });
    }
    const before = operations.length;
    for (const { operation } of steps) operations.push(operation);
    try {
      this.#kernel.commit(operations);
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      const index = error.operationIndex;
      const object = index === undefined ? undefined : steps[index - before]?.object;
      return { object, message: error.message };
    }
    this.#belief = { exists: true, dormant: false, state: target };
    return undefined;
  }

  #report(desired: TableState, refusals: ReadonlyMap<string, string>): ApplyError[] {
    const errors = [...refusals].map(([what, message]) => ({
      what: describeChain(desired, what),
      message,
    }));
    if (refusals.size === 0) return errors;
    const held = this.#belief?.state?.chains;
    for (const [name, chain] of desired.chains) {
      if (refusals.has(name) || held?.get(name)?.signature === chain.signature) continue;
      const message = `left as it was: it needs ${[...refusals.keys()].join(', ')}`;
      errors.push({ what: describeChain(desired, name), message });
    }
    return errors;
  }
}

function describeChain(desired: TableState, name: string): string {
  const comment = desired.chains.get(name)?.content?.comment;
  return comment === undefined ? name : `${comment} (chain ${name})`;
}

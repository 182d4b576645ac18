// Makes the kernel's nftables table equal to a ruleset: reads it once, then writes the difference.
import { NftError, type NftOperation, SystemError, type TableSnapshot } from '#linux';
import type { ApplyError, Ruleset } from '../rules/ruleset.ts';
import { drift } from './drift.ts';
import { planSteps, reachable } from './plan.ts';
import { WORKLOADS_MAP } from '../rules/names.ts';
import { IpSetStates } from './ip-set-states.ts';
import { classText, placeText } from './set-state.ts';
import { sizeOf, type TableCalls, type TableSize } from './table-counts.ts';
import {
  type DesiredTable,
  EMPTY_TABLE,
  type TableState,
  actualTable,
  desiredTable,
} from './table-state.ts';

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

/** Why a transaction was refused, and the objects that it was refused for, each with why; none: the whole. */
interface Failure {
  readonly objects: ReadonlyMap<string, string>;
  readonly message: string;
}

/** The kernel names all that it refuses of a transaction; what it then refuses besides is one layer of references. */
const ATTEMPTS_MAX = 24;

/** Why the kernel refused an object, and the object as it was desired. */
interface Refusal {
  readonly message: string;
  readonly content: unknown;
}

/** The owner of one table. Each apply is one transaction: all of it, or all but what was refused. */
export class NftTable {
  readonly #kernel: NftablesKernel;
  readonly #name: string;
  readonly #ipSets = new IpSetStates();
  #belief: Belief | undefined;
  #desired: DesiredTable | undefined;
  /** What it was believed to hold before that was looked up anew. */
  #expected: TableState | undefined;
  /**
   * Chains and sets that the kernel refused at the last apply, with its reasons and as they were desired;
   * undefined: it refused the whole.
   */
  #refused: ReadonlyMap<string, Refusal> | undefined;
  #repaired: readonly string[] = [];
  #calls: TableCalls = { transactions: 0, refused: 0, reads: 0, failedReads: 0 };

  constructor(kernel: NftablesKernel, name: string) {
    this.#kernel = kernel;
    this.#name = name;
  }

  /** Forgets what the kernel is believed to hold, and what it refused; the next apply reads and tries all. */
  resync(): void {
    this.#forget();
    this.#refused = new Map();
  }

  /** What the kernel held when it was last read or written. */
  get size(): TableSize {
    return sizeOf(this.#belief?.state ?? this.#expected ?? EMPTY_TABLE);
  }

  get calls(): TableCalls {
    return this.#calls;
  }

  /** What the last apply found changed by somebody else, and undid. */
  get repaired(): readonly string[] {
    return this.#repaired;
  }

  /** Whether the last apply could change nothing at all. */
  get isStuck(): boolean {
    return this.#refused === undefined && this.#desired !== undefined;
  }

  /** Returns what the kernel refused, and what was left as it was because of that. */
  apply(ruleset: Ruleset): ApplyError[] {
    const desired = this.#desiredOf(ruleset);
    const isFresh = this.#belief === undefined;
    const refusals = this.#stillRefused(desired);
    this.#repaired = [];
    // The first refusal may only mean that somebody else changed the table: look again, once.
    let mayReread = !isFresh;
    for (let attempts = 0; ; attempts++) {
      const failure = this.#tryOnce(desired, refusals);
      if (failure === undefined) {
        this.#refused = refusals;
        return this.#report(desired, refusals);
      }
      if (mayReread) {
        mayReread = false;
        this.#forget();
        continue;
      }
      const { objects, message } = failure;
      const news = [...objects].filter(([object]) => !refusals.has(object));
      if (news.length === 0 || attempts >= ATTEMPTS_MAX) {
        this.#forget();
        this.#refused = undefined;
        return [{ what: `nftables table inet ${this.#name}`, message }];
      }
      for (const [object, why] of news) {
        refusals.set(object, { message: why, content: contentOf(desired, object) });
      }
    }
  }

  /** What cannot even be read, or sent, is refused as a whole. */
  #tryOnce(desired: TableState, refusals: ReadonlyMap<string, Refusal>): Failure | undefined {
    try {
      return this.#attempt(desired, this.#believed(desired), new Set(refusals.keys()));
    } catch (error) {
      if (!(error instanceof SystemError || error instanceof NftError)) throw error;
      return { objects: new Map(), message: error.message };
    }
  }

  /** Whether the last apply left the way from a workload's interface to its chain in the kernel as desired. */
  dispatches(interfaceName: string): boolean {
    const desired = this.#desired;
    const held = this.#belief?.state;
    const name = desired?.ruleset.workloads.get(interfaceName);
    if (!desired || !held || !this.#refused || name === undefined) return false;
    if (held === desired.state) return true;
    const { classNumbers } = desired.ruleset;
    const place = placeText(interfaceName, name, classNumbers);
    const maps = [...desired.ruleset.classes].map(([map, chains]) => ({
      map,
      text: classText(name, chains.get(name) ?? '', classNumbers),
    }));
    return [{ map: WORKLOADS_MAP, text: place }, ...maps].every(
      ({ map, text }) => held.sets.get(map)?.entries.has(text) ?? false,
    );
  }

  /** Whether the last apply left a chain, and all that it refers to, in the kernel as desired. */
  holds(chain: string): boolean {
    const desired = this.#desired?.state;
    const held = this.#belief?.state?.chains;
    const refused = this.#refused;
    if (!desired || !held || !refused) return false;
    if (this.#belief?.state === desired) return desired.chains.has(chain);
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
      this.#desired = desiredTable(ruleset, this.#ipSets, this.#desired);
    }
    return this.#desired.state;
  }

  /** What was refused is not tried again while it is wanted as it was: only a resync does that. */
  #stillRefused(desired: TableState): Map<string, Refusal> {
    const refused = [...(this.#refused ?? [])].filter(
      ([object, { content }]) => contentOf(desired, object) === content,
    );
    return new Map(refused);
  }

  #forget(): void {
    this.#expected = this.#belief?.state ?? this.#expected;
    this.#belief = undefined;
  }

  #believed(desired: TableState): Belief {
    if (this.#belief) return this.#belief;
    const belief = this.#read(desired);
    const found = belief.dormant ? undefined : belief.state;
    const changed = this.#expected ? drift(this.#expected, found) : [];
    this.#repaired = changed.map((name) =>
      name === undefined ? `nftables table inet ${this.#name}` : describeChain(desired, name),
    );
    this.#expected = undefined;
    this.#belief = belief;
    return belief;
  }

  #read(desired: TableState): Belief {
    this.#count('reads');
    const snapshot = this.#readKernel();
    if (!snapshot) return { exists: false, dormant: false, state: EMPTY_TABLE };
    const state = actualTable(snapshot, desired);
    return { exists: true, dormant: snapshot.dormant, state };
  }

  #readKernel(): TableSnapshot | undefined {
    try {
      return this.#kernel.readTable(this.#name);
    } catch (error) {
      this.#count('failedReads');
      throw error;
    }
  }

  #count(what: keyof TableCalls): void {
    this.#calls = { ...this.#calls, [what]: this.#calls[what] + 1 };
  }

  /** One transaction; what it failed on, if it did. */
  #attempt(desired: TableState, belief: Belief, refused: ReadonlySet<string>): Failure | undefined {
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
    if (operations.length > 0) this.#count('transactions');
    try {
      this.#kernel.commit(operations);
    } catch (error) {
      this.#count('refused');
      if (!(error instanceof NftError)) throw error;
      const { message, operationIndex, others } = error;
      const failed = new Map<string, string>();
      const first = operationIndex === undefined ? [] : [{ operationIndex, message }];
      for (const one of [...first, ...others].toReversed()) {
        const object = steps[one.operationIndex - before]?.object;
        if (object !== undefined) failed.set(object, one.message);
      }
      return { objects: independent(failed, target), message };
    }
    this.#belief = { exists: true, dormant: false, state: target };
    return undefined;
  }

  #report(desired: TableState, refusals: ReadonlyMap<string, Refusal>): ApplyError[] {
    const errors = [...refusals].map(([what, { message }]) => ({
      what: describeChain(desired, what),
      message,
    }));
    if (refusals.size === 0) return errors;
    const held = this.#belief?.state?.chains;
    for (const [name, chain] of desired.chains) {
      if (refusals.has(name) || held?.get(name)?.signature === chain.signature) continue;
      const message = `left as it was: it needs ${someOf([...refusals.keys()])}`;
      errors.push({ what: describeChain(desired, name), message });
    }
    return errors;
  }
}

function someOf(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : '';
  return `${names.slice(0, 5).join(', ')}${more}`;
}

/** Without those that refer to another that failed: that they failed too says nothing of themselves. */
function independent(
  failed: ReadonlyMap<string, string>,
  { chains, sets }: TableState,
): ReadonlyMap<string, string> {
  const own = [...failed].filter(([object]) => {
    const references = chains.get(object)?.content?.references ?? sets.get(object)?.references;
    return ![...(references ?? [])].some((name) => name !== object && failed.has(name));
  });
  return own.length > 0 ? new Map(own) : failed;
}

/** Equal for equal wishes; undefined when the object is to go. */
function contentOf({ chains, sets }: TableState, object: string): unknown {
  return chains.get(object)?.signature ?? sets.get(object);
}

function describeChain(desired: TableState, name: string): string {
  const comment = desired.chains.get(name)?.content?.comment;
  return comment === undefined ? name : `${comment} (chain ${name})`;
}

// The blocks that a plan works on: changed step by step, with a way back to any earlier step.
import type { IPAMBlock } from '#api';
import { type Family, type Prefix, parsePrefix } from '#lib';
import { affinityText, type AffinityOwner } from './affinity.ts';
import {
  addressesOf,
  blockName,
  blockPrefix,
  freeRested,
  newBlock,
  nextSequence,
} from './block.ts';
import type { Settings } from './settings.ts';

/** What the blocks are and when it is. */
export interface Ground {
  readonly blocks: readonly IPAMBlock[];
  readonly owner: AffinityOwner;
  readonly settings: Settings;
  readonly nowMs: number;
}

/** An own block, or one that somebody else owns or nobody. */
export interface Place {
  readonly name: string;
  readonly block: IPAMBlock;
  readonly prefix: Prefix;
}

export class WorkingBlocks {
  readonly #ground: Ground;
  /** As the store has them, those marked as deleted too. */
  readonly stored: ReadonlyMap<string, IPAMBlock>;
  /** As they should become, without those marked as deleted. */
  readonly #blocks: Map<string, IPAMBlock>;
  readonly #journal: [name: string, previous: IPAMBlock | undefined][] = [];

  constructor(ground: Ground) {
    this.#ground = ground;
    this.stored = new Map(ground.blocks.map((block) => [block.metadata.name, block]));
    this.#blocks = new Map(this.stored);
    for (const [name, { spec }] of this.stored) if (spec.deleted) this.#blocks.delete(name);
  }

  get blocks(): ReadonlyMap<string, IPAMBlock> {
    return this.#blocks;
  }

  /** What the store would hold after the plan: marked ones that nobody replaced stay as they are. */
  planned(): ReadonlyMap<string, IPAMBlock> {
    const left = [...this.stored].filter(
      ([name, { spec }]) => spec.deleted && !this.#blocks.has(name),
    );
    return left.length === 0 ? this.#blocks : new Map([...this.#blocks, ...left]);
  }

  put(name: string, block: IPAMBlock): void {
    this.#journal.push([name, this.#blocks.get(name)]);
    this.#blocks.set(name, block);
  }

  remove(name: string): void {
    this.#journal.push([name, this.#blocks.get(name)]);
    this.#blocks.delete(name);
  }

  /** To be given to `restore`. */
  mark(): number {
    return this.#journal.length;
  }

  restore(mark: number): void {
    for (const [name, previous] of this.#journal.splice(mark).reverse()) {
      if (previous) this.#blocks.set(name, previous);
      else this.#blocks.delete(name);
    }
  }

  get #affinity(): string {
    return affinityText(this.#ground.owner);
  }

  isOwn(block: IPAMBlock): boolean {
    return block.spec.affinity === this.#affinity;
  }

  /** Blocks that can be read. */
  *places(): Generator<Place> {
    for (const [name, block] of this.#blocks) {
      const prefix = blockPrefix(block);
      if (prefix) yield { name, block, prefix };
    }
  }

  ownPlaces(family: Family): Place[] {
    return [...this.places()].filter(
      ({ block, prefix }) => prefix.family === family && this.isOwn(block),
    );
  }

  /** Prefixes that no new block may overlap; a block that cannot be read still holds its ground. */
  takenPrefixes(): Prefix[] {
    return [...this.#blocks.values()].flatMap((block) => parsePrefix(block.spec.cidr) ?? []);
  }

  /** The first address of the family that the handle holds. */
  held(handle: string, family: Family): (Place & { readonly address: string }) | undefined {
    for (const { name, block, prefix } of this.places()) {
      if (prefix.family !== family) continue;
      const [address] = addressesOf(block, handle);
      if (address !== undefined) return { address, name, block, prefix };
    }
    return undefined;
  }

  /** The block after what has rested for long enough in it was freed. */
  warmed({ block }: Place): IPAMBlock {
    return freeRested(block, this.#ground.nowMs, this.#ground.settings.restMs);
  }

  /** An own block of the prefix, in the place of a marked or an empty one if there is one. */
  fresh(prefix: Prefix): IPAMBlock {
    const { nowMs } = this.#ground;
    const old = this.stored.get(blockName(prefix));
    // Microseconds: a block made again is ahead of its predecessor, and exact in a double.
    const first = Math.max(nowMs * 1000, nextSequence(old?.spec.sequenceNumber ?? 0));
    const claimTime = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
    const made = newBlock(prefix, this.#affinity, first, claimTime);
    return old ? { ...made, metadata: old.metadata } : made;
  }
}

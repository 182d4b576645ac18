// Cuts the parties into blocks that one judge cannot tell apart as peers.
import type { AtomTable } from './set-atoms.ts';
import type { PartyClass } from './party-classes.ts';
import type { Judge } from './programs.ts';

/** Block of each class, by the class's index. */
export interface PeerBlocks {
  readonly ofClass: Uint16Array | Int32Array;
}

/** The blocks of a judge before and after a change together. */
export class PeerPartitions {
  readonly #classes: readonly PartyClass[];
  readonly #atoms: AtomTable;
  /** Indexes of the classes with a mark before or after. */
  readonly #having: Readonly<Record<'before' | 'after', number[][]>> = { before: [], after: [] };
  readonly #start: { readonly ofClass: Int32Array; readonly count: number };
  readonly #known = new Map<string, PeerBlocks>();

  constructor(classes: readonly PartyClass[], atoms: AtomTable) {
    this.#classes = classes;
    this.#atoms = atoms;
    for (const which of ['before', 'after'] as const) {
      for (const { index, [which]: standing } of classes) {
        for (const mark of standing.marks) (this.#having[which][mark] ??= []).push(index);
      }
    }
    this.#start = this.#byKind();
  }

  #byKind(): { ofClass: Int32Array; count: number } {
    const blocks = new Map<string, number>();
    const ofClass = new Int32Array(this.#classes.length);
    for (const { index, family, kind, linkScoped } of this.#classes) {
      const key = `${family} ${kind} ${linkScoped}`;
      const block = blocks.get(key) ?? blocks.size;
      blocks.set(key, block);
      ofClass[index] = block;
    }
    return { ofClass, count: blocks.size };
  }

  blocks(before: Judge, after: Judge): PeerBlocks {
    const key = `${before.identity} ${after.identity}`;
    const known = this.#known.get(key);
    if (known) return known;
    const ofClass = this.#start.ofClass.slice();
    let { count } = this.#start;
    for (const [which, { peerAtoms }] of [
      ['before', before],
      ['after', after],
    ] as const) {
      for (const atom of peerAtoms) {
        for (const mark of this.#atoms.marksOf(atom)) {
          count = split(ofClass, count, this.#having[which][mark] ?? []);
        }
      }
    }
    const blocks = renumbered(ofClass, count);
    this.#known.set(key, blocks);
    return blocks;
  }
}

/** The same blocks, numbered from 0 without gaps. */
function renumbered(ofClass: Int32Array, count: number): PeerBlocks {
  const numbers = new Int32Array(count).fill(-1);
  const fits = ofClass.length <= 2 ** 16;
  const dense = fits ? new Uint16Array(ofClass.length) : new Int32Array(ofClass.length);
  let next = 0;
  for (let index = 0; index < ofClass.length; index++) {
    const block = ofClass[index] ?? 0;
    if (numbers[block] === -1) numbers[block] = next++;
    dense[index] = numbers[block] ?? 0;
  }
  return { ofClass: dense };
}

/** Moves the given classes out of their blocks into new ones; returns the number of blocks. */
function split(ofClass: Int32Array, count: number, members: readonly number[]): number {
  const moved = new Map<number, number>();
  let next = count;
  for (const index of members) {
    const block = ofClass[index] ?? 0;
    let target = moved.get(block);
    if (target === undefined) {
      target = next++;
      moved.set(block, target);
    }
    ofClass[index] = target;
  }
  return next;
}

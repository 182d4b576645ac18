// The sets that rules refer to, one identity for both worlds, and the marks that addresses bear of them.
import type { Prefix } from '#lib';
import { formatPrefix } from '#lib';
import type { EntitySelection } from '../scoped-selector.ts';

/** What a rule's condition on an address refers to. Who is in it differs from world to world. */
export type Atom =
  | { readonly kind: 'selected'; readonly selection: EntitySelection }
  | {
      readonly kind: 'namedPort';
      readonly name: string;
      readonly protocol: number;
      readonly selection: EntitySelection;
    }
  | { readonly kind: 'serviceAddresses'; readonly service: string }
  | { readonly kind: 'servicePorts'; readonly service: string }
  | { readonly kind: 'nets'; readonly prefixes: readonly Prefix[] };

/**
 * What an address bears of an atom: that it is in the set, or a port by which it is. Plain marks have protocol and
 * port −1.
 */
export interface Mark {
  readonly atom: number;
  readonly protocol: number;
  readonly port: number;
}

/** Numbers texts in the order in which they are first met. */
export class Identities {
  readonly #known = new Map<string, number>();

  of(key: string): number {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const identity = this.#known.size;
    this.#known.set(key, identity);
    return identity;
  }
}

/** Every atom and mark of the two worlds, by number. */
export class AtomTable {
  readonly #atomIdentities = new Identities();
  readonly #atoms: Atom[] = [];
  readonly #markIdentities = new Identities();
  readonly #marks: Mark[] = [];
  readonly #marksOfAtom: number[][] = [];

  add(atom: Atom): number {
    const identity = this.#atomIdentities.of(atomKey(atom));
    this.#atoms[identity] ??= atom;
    return identity;
  }

  atom(identity: number): Atom {
    return at(this.#atoms, identity);
  }

  mark(atom: number, protocol = -1, port = -1): number {
    const identity = this.#markIdentities.of(`${atom} ${protocol} ${port}`);
    if (this.#marks[identity] === undefined) {
      this.#marks[identity] = { atom, protocol, port };
      const list = (this.#marksOfAtom[atom] ??= []);
      list.push(identity);
    }
    return identity;
  }

  markOf(identity: number): Mark {
    return at(this.#marks, identity);
  }

  /** Every mark of the atom that any address bears. */
  marksOf(atom: number): readonly number[] {
    return this.#marksOfAtom[atom] ?? [];
  }
}

/** The item at an index that this module handed out. */
export function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) throw new RangeError(`Cannot find item ${index} of ${list.length}`);
  return item;
}

function atomKey(atom: Atom): string {
  switch (atom.kind) {
    case 'selected':
      return `selected ${selectionKey(atom.selection)}`;
    case 'namedPort':
      return `port ${atom.protocol} ${atom.name} ${selectionKey(atom.selection)}`;
    case 'serviceAddresses':
    case 'servicePorts':
      return `${atom.kind} ${atom.service}`;
    case 'nets':
      return `nets ${[...new Set(atom.prefixes.map(formatPrefix))].sort().join(' ')}`;
  }
}

function selectionKey({ positive, negative }: EntitySelection): string {
  const texts = positive.map(({ selector }) => selector.text);
  return `${[...new Set(texts)].sort().join(' and ')} but ${negative?.selector.text ?? ''}`;
}

// Who bears which marks in one world: labelled objects by selection, addresses by networks and services.
import { type Address, hostPrefix, type Prefix } from '#lib';
import type { Atom, AtomTable } from './set-atoms.ts';
import { at } from './set-atoms.ts';
import type { MarkSets } from './mark-sets.ts';
import type { SymbolicWorld } from './symbolic-world.ts';
import { addressKey } from '../world-objects.ts';

/** A network whose addresses bear a set of marks. */
export interface MarkedNetwork {
  readonly prefix: Prefix;
  readonly marks: number;
}

export interface Memberships {
  /** Of networks: rules' own, those of network sets, and the addresses of services. */
  readonly networks: readonly MarkedNetwork[];
  /** The set of marks that an address has by the endpoints that have it. */
  readonly ofEndpoints: (address: Address) => number;
}

/** Finds every member of the given atoms. */
export function findMemberships(
  world: SymbolicWorld,
  used: Iterable<number>,
  tables: { readonly atoms: AtomTable; readonly sets: MarkSets },
): Memberships {
  const finder = new MemberFinder(world, tables.atoms);
  for (const atom of used) finder.find(atom, tables.atoms.atom(atom));
  const { sets } = tables;
  const ofObjects = world.objects.map((_, index) => sets.of(finder.ofObjects[index] ?? []));
  const networks = finder.networks.map(({ prefix, mark }) => ({ prefix, marks: sets.of([mark]) }));
  const byAddress = new Map<string, number>();
  for (const [index, { addresses, nets }] of world.objects.entries()) {
    const marks = at(ofObjects, index);
    if (marks === 0) continue;
    for (const address of addresses) {
      const key = addressKey(address);
      byAddress.set(key, sets.union(byAddress.get(key) ?? 0, marks));
    }
    for (const prefix of nets) networks.push({ prefix, marks });
  }
  return { networks, ofEndpoints: (address) => byAddress.get(addressKey(address)) ?? 0 };
}

class MemberFinder {
  readonly #world: SymbolicWorld;
  readonly #atoms: AtomTable;
  readonly #withPort = new Map<string, number[]>();
  readonly ofObjects: number[][] = [];
  readonly networks: { readonly prefix: Prefix; readonly mark: number }[] = [];

  constructor(world: SymbolicWorld, atoms: AtomTable) {
    this.#world = world;
    this.#atoms = atoms;
    for (const [index, { object }] of world.objects.entries()) {
      for (const name of new Set(object.ports.map((port) => port.name))) {
        const list = this.#withPort.get(name);
        if (list) list.push(index);
        else this.#withPort.set(name, [index]);
      }
    }
  }

  find(identity: number, atom: Atom): void {
    const { index, book } = this.#world;
    switch (atom.kind) {
      case 'selected':
        for (const object of index.selected(atom.selection)) this.#markObject(object, identity);
        return;
      case 'namedPort':
        this.#findPorts(identity, atom);
        return;
      case 'serviceAddresses':
        for (const address of book.addressesOf(atom.service)) {
          this.networks.push({ prefix: hostPrefix(address), mark: this.#atoms.mark(identity) });
        }
        return;
      case 'servicePorts':
        for (const { address, protocol, port } of book.portsOf(atom.service)) {
          const mark = this.#atoms.mark(identity, protocol, port);
          this.networks.push({ prefix: hostPrefix(address), mark });
        }
        return;
      case 'nets':
        for (const prefix of atom.prefixes) {
          this.networks.push({ prefix, mark: this.#atoms.mark(identity) });
        }
    }
  }

  /** Without positive conditions a named port is that of anybody, whatever is excluded. */
  #findPorts(identity: number, atom: Extract<Atom, { kind: 'namedPort' }>): void {
    const { name, protocol, selection } = atom;
    const having = this.#withPort.get(name) ?? [];
    const selected =
      selection.positive.length === 0
        ? having
        : [...new Set(having).intersection(new Set(this.#world.index.selected(selection)))];
    for (const index of selected) {
      for (const port of at(this.#world.objects, index).object.ports) {
        if (port.name !== name || port.protocol !== protocol) continue;
        this.#markObject(index, identity, protocol, port.port);
      }
    }
  }

  #markObject(index: number, atom: number, protocol?: number, port?: number): void {
    const list = (this.ofObjects[index] ??= []);
    list.push(this.#atoms.mark(atom, protocol, port));
  }
}

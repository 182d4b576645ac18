// An address book that answers with the identity of a set in place of its members.
import type { Address } from '#lib';
import type { EndpointSlice } from '#api';
import type { AddressSet, PortSet } from '../rule-match.ts';
import type { EntitySelection } from '../scoped-selector.ts';
import { AddressBook, sliceEndpoints } from '../world-objects.ts';
import type { Atom, AtomTable } from './set-atoms.ts';

/** Stands where a compiled rule has a set. It says which set; asking it for members has no meaning. */
export class AtomReference implements AddressSet, PortSet {
  readonly text: string;
  readonly atom: number;

  constructor(text: string, atom: number) {
    this.text = text;
    this.atom = atom;
  }

  has(): never {
    throw new TypeError(`Cannot ask for a member of ${this.text}: it is only named here`);
  }
}

/** The endpoints of a service, from all its slices. */
export interface ServiceMembers {
  readonly address: Address;
  readonly protocol: number;
  readonly port: number;
}

/** What rules are compiled against in order to be compared. It remembers what services have. */
export class SymbolicBook extends AddressBook {
  readonly #atoms: AtomTable;
  readonly #addresses = new Map<string, Address[]>();
  readonly #ports = new Map<string, ServiceMembers[]>();

  constructor(atoms: AtomTable) {
    super();
    this.#atoms = atoms;
  }

  override addSlice(service: string, slice: EndpointSlice): void {
    const { addresses, ports } = sliceEndpoints(slice);
    this.#addresses.set(service, [...(this.#addresses.get(service) ?? []), ...addresses]);
    const members = addresses.flatMap((address) => ports.map((port) => ({ address, ...port })));
    this.#ports.set(service, [...(this.#ports.get(service) ?? []), ...members]);
  }

  addressesOf(service: string): readonly Address[] {
    return this.#addresses.get(service) ?? [];
  }

  portsOf(service: string): readonly ServiceMembers[] {
    return this.#ports.get(service) ?? [];
  }

  override selected(selection: EntitySelection): AddressSet {
    return this.#reference({ kind: 'selected', selection });
  }

  override namedPort(name: string, protocol: number, selection: EntitySelection): PortSet {
    return this.#reference({ kind: 'namedPort', name, protocol, selection });
  }

  override serviceAddresses(namespace: string | undefined, name: string): AddressSet {
    return this.#reference({ kind: 'serviceAddresses', service: serviceKey(namespace, name) });
  }

  override servicePorts(namespace: string | undefined, name: string): PortSet {
    return this.#reference({ kind: 'servicePorts', service: serviceKey(namespace, name) });
  }

  #reference(atom: Atom): AtomReference {
    return new AtomReference(atom.kind, this.#atoms.add(atom));
  }
}

/** A service without namespace has no endpoints, and no key that any slice has. */
function serviceKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

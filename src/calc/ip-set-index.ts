// The members of IP sets: which objects a selector matches, and what each gives to the set.
import type { Labels, Selector } from '#selector';
import type { IpSet } from './dataplane-update.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import type { ServiceIndex } from './service-index.ts';

/** Anything that selectors match: a workload endpoint, a host endpoint or a network set. */
export interface LabelledObject {
  /** Its own labels and those that its profiles lend it. */
  readonly labels: Labels;
  /** Masked prefixes. */
  readonly members: readonly string[];
  /** Named ports with every address: `address,protocol:port`. */
  readonly portMembers: readonly PortMember[];
}

export interface PortMember {
  readonly name: string;
  readonly protocol: string;
  readonly member: string;
}

/** Holds one version of the objects; a set is computed once for each version. */
export class IpSetIndex {
  readonly #objects: readonly LabelledObject[];
  readonly #services: ServiceIndex;
  readonly #sets = new Map<string, IpSet>();

  constructor(objects: readonly LabelledObject[], services: ServiceIndex) {
    this.#objects = objects;
    this.#services = services;
  }

  ipSet(definition: IpSetDefinition): IpSet {
    const { id } = definition;
    const known = this.#sets.get(id);
    if (known) return known;
    const set: IpSet = {
      id,
      type: isPortSet(definition) ? 'ip-port' : 'net',
      members: this.#members(definition),
    };
    this.#sets.set(id, set);
    return set;
  }

  #members(definition: IpSetDefinition): Set<string> {
    if (definition.kind === 'service') {
      return this.#services.members(definition.service, definition.withPorts);
    }
    const members = new Set<string>();
    for (const object of this.#matching(definition.selector)) {
      if (definition.kind === 'selector') for (const member of object.members) members.add(member);
      else addPorts(members, object, definition);
    }
    return members;
  }

  #matching(selector: Selector): LabelledObject[] {
    return this.#objects.filter((object) => selector.evaluate(object.labels));
  }
}

function isPortSet(definition: IpSetDefinition): boolean {
  return (
    definition.kind === 'named-port' || (definition.kind === 'service' && definition.withPorts)
  );
}

function addPorts(
  members: Set<string>,
  object: LabelledObject,
  wanted: { readonly protocol: string; readonly port: string },
): void {
  for (const { name, protocol, member } of object.portMembers) {
    if (name === wanted.port && protocol === wanted.protocol) members.add(member);
  }
}

/** Whether two sets are the same to the dataplane. */
export function ipSetsEqual(a: IpSet, b: IpSet): boolean {
  return (
    a.id === b.id &&
    a.type === b.type &&
    a.members.size === b.members.size &&
    a.members.isSubsetOf(b.members)
  );
}

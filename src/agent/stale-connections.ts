// Forgets the connections of workloads that have gone, so that the next owner of an address inherits none.
import type { DataplaneState } from '#calc/dataplane-update';
import type { ConntrackEntry } from '#linux';

/** What is needed of connection tracking. */
export interface ConnectionTable {
  dump(): ConntrackEntry[];
  delete(entry: ConntrackEntry): boolean;
}

/**
 * Established connections pass before policy: those of an address that left this host would let old peers
 * talk to whoever has it next. Called after each apply, when the old owner's chains and routes are gone.
 */
export class StaleConnections {
  readonly #connections: ConnectionTable;
  #owners: ReadonlyMap<string, string> = new Map();

  constructor(connections: ConnectionTable) {
    this.#connections = connections;
  }

  /** Returns how many connections were forgotten. Costs a dump when an address has lost its owner. */
  onApplied(state: DataplaneState): number {
    const owners = ownersOf(state);
    const gone = new Set<string>();
    for (const [address, owner] of this.#owners) {
      if (owners.get(address) !== owner) gone.add(address);
    }
    this.#owners = owners;
    if (gone.size === 0) return 0;
    let forgotten = 0;
    for (const entry of this.#connections.dump()) {
      const { original, reply } = entry;
      const ends = [original.source, original.destination, reply.source, reply.destination];
      if (ends.some((end) => gone.has(end)) && this.#connections.delete(entry)) forgotten++;
    }
    return forgotten;
  }
}

/** Endpoint and interface by address; another interface is another owner. */
function ownersOf(state: DataplaneState): Map<string, string> {
  const owners = new Map<string, string>();
  for (const { id, interfaceName, addresses } of state.endpoints.values()) {
    for (const prefix of addresses)
      owners.set(prefix.split('/')[0] ?? prefix, `${id} ${interfaceName}`);
  }
  return owners;
}

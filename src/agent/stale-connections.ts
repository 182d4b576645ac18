// Forgets the connections of workloads that have gone, so that the next owner of an address inherits none.
import type { DataplaneState } from '#calc/dataplane-update';
import { differences } from '#lib';
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
  #endpoints: DataplaneState['endpoints'] = new Map();

  constructor(connections: ConnectionTable) {
    this.#connections = connections;
  }

  /** Returns how many connections were forgotten. Costs a dump when an address has lost its owner. */
  onApplied({ endpoints }: Pick<DataplaneState, 'endpoints'>): number {
    const gone = new Set<string>();
    for (const { before, after } of differences(this.#endpoints, endpoints)) {
      // Another interface is another owner.
      const kept = after?.interfaceName === before?.interfaceName ? after?.addresses : [];
      for (const prefix of before?.addresses ?? []) {
        if (!kept?.includes(prefix)) gone.add(prefix.split('/')[0] ?? prefix);
      }
    }
    this.#endpoints = endpoints;
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

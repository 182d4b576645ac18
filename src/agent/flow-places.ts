// The network namespaces of this node's workloads, found by their addresses, and the processes in them.
import { closeSync } from 'node:fs';
import {
  type DiagProtocol,
  currentNamespace,
  LinkedNamespaces,
  namespaceInode,
  openNamespace,
  processesByNamespace,
  type ProcessInfo,
  processInfo,
  RouteSocket,
  SocketDiag,
  socketsOfProcess,
} from '#linux';
import { indexSockets, type SocketIndex } from './flow-socket-index.ts';

export interface SocketPlacesOptions {
  readonly isLocal: (address: string) => boolean;
  readonly namespace?: number;
  readonly now?: () => number;
}

/** One network namespace. */
interface Place {
  readonly fd: number;
  readonly diag: SocketDiag;
  readonly addresses: readonly string[];
  readonly processes: Map<number, ProcessInfo | undefined>;
  pids: readonly number[];
  /** When its processes' descriptors may be read again. */
  scanAt: number;
}

/** How often to look for namespaces that are new, more seldom while there are none, and for new sockets. */
const SEARCH_MS = { least: 1_000, most: 30_000 } as const;
const SCAN_MS = 500;
const NEW_PLACES_MAX = 256;
const PIDS_MAX = 256;
const DESCRIPTORS_MAX = 1_024;
const PROCESSES_MAX = 8_192;

export class SocketPlaces {
  readonly #options: SocketPlacesOptions;
  readonly #now: () => number;
  /** By inode number of the namespace. */
  readonly #places = new Map<number, Place>();
  #byAddress: ReadonlyMap<string, Place> = new Map();
  #searchAt = 0;
  #searchMs: number = SEARCH_MS.least;

  constructor(options: SocketPlacesOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** The sockets of the namespaces that have these addresses, by address and protocol. */
  look(
    addresses: ReadonlySet<string>,
    protocols: ReadonlySet<DiagProtocol>,
  ): Map<string, Map<DiagProtocol, SocketIndex>> {
    const isMissing = [...addresses].some((address) => !this.#byAddress.has(address));
    if (isMissing && this.#now() >= this.#searchAt) this.#search();
    const byPlace = new Map<Place, Map<DiagProtocol, SocketIndex>>();
    const found = new Map<string, Map<DiagProtocol, SocketIndex>>();
    for (const address of addresses) {
      const place = this.#byAddress.get(address);
      if (!place) continue;
      let sockets = byPlace.get(place);
      if (!sockets) {
        sockets = this.#socketsOf(place, protocols);
        byPlace.set(place, sockets);
      }
      found.set(address, sockets);
    }
    return found;
  }

  /** Who holds a socket of the namespace that has the address. */
  processOf(address: string, inode: number): ProcessInfo | undefined {
    const place = this.#byAddress.get(address);
    if (!place) return undefined;
    if (!place.processes.has(inode) && this.#now() >= place.scanAt) this.#scan(place);
    return place.processes.get(inode);
  }

  close(): void {
    for (const place of this.#places.values()) closePlace(place);
    this.#places.clear();
    this.#byAddress = new Map();
  }

  #socketsOf(place: Place, protocols: ReadonlySet<DiagProtocol>): Map<DiagProtocol, SocketIndex> {
    const sockets = new Map<DiagProtocol, SocketIndex>();
    for (const protocol of protocols) {
      const list = attempt(() => place.diag.sockets(protocol));
      if (list) sockets.set(protocol, indexSockets(list));
    }
    return sockets;
  }

  /** Finds namespaces by the processes in them; those that have gone are left. */
  #search(): void {
    const found = processesByNamespace();
    const { namespace } = this.#options;
    const ownInode = inodeOf(namespace);
    const linked = LinkedNamespaces.open(namespace === undefined ? {} : { namespace });
    for (const [inode, place] of this.#places) {
      place.pids = found.get(inode) ?? [];
      if (place.pids.length > 0) continue;
      closePlace(place);
      this.#places.delete(inode);
    }
    let [tried, news] = [0, 0];
    for (const [inode, pids] of found) {
      if (this.#places.has(inode) || tried >= NEW_PLACES_MAX) continue;
      tried++;
      const place = attempt(() => this.#open(pids, inode === ownInode ? 'own' : linked));
      if (!place) continue;
      this.#places.set(inode, place);
      news++;
    }
    linked.close();
    this.#searchMs = news > 0 ? SEARCH_MS.least : Math.min(this.#searchMs * 2, SEARCH_MS.most);
    this.#searchAt = this.#now() + this.#searchMs;
    const byAddress = new Map<string, Place>();
    for (const place of this.#places.values()) {
      for (const address of place.addresses) byAddress.set(address, place);
    }
    this.#byAddress = byAddress;
  }

  /** Undefined where no address is a workload's of this node, or the node's own. */
  #open(pids: readonly number[], linked: LinkedNamespaces | 'own'): Place | undefined {
    const fd = openNamespace(`/proc/${pids[0]}/ns/net`);
    let diag: SocketDiag | undefined;
    try {
      // Other machines of the same lab, or another lab, may have the same addresses.
      if (linked !== 'own' && !linked.has(fd)) return undefined;
      const addresses = addressesIn(fd);
      if (linked === 'own' || addresses.some((address) => this.#options.isLocal(address))) {
        diag = SocketDiag.open({ namespace: fd });
        return { fd, diag, addresses, pids, processes: new Map(), scanAt: 0 };
      }
      return undefined;
    } finally {
      if (!diag) closeSync(fd);
    }
  }

  #scan(place: Place): void {
    place.scanAt = this.#now() + SCAN_MS;
    if (place.processes.size > PROCESSES_MAX) place.processes.clear();
    for (const pid of place.pids.slice(0, PIDS_MAX)) {
      const inodes = socketsOfProcess(pid, DESCRIPTORS_MAX);
      const news = inodes.filter((inode) => !place.processes.has(inode));
      const info = news.length > 0 ? processInfo(pid) : undefined;
      if (info) for (const inode of news) place.processes.set(inode, info);
    }
  }
}

function inodeOf(namespace: number | undefined): number {
  if (namespace !== undefined) return namespaceInode(namespace);
  const fd = currentNamespace();
  try {
    return namespaceInode(fd);
  } finally {
    closeSync(fd);
  }
}

function addressesIn(fd: number): string[] {
  const route = RouteSocket.open({ namespace: fd });
  try {
    return route
      .addresses()
      .map(({ prefix }) => prefix.split('/')[0] ?? prefix)
      .filter((address) => !address.startsWith('127.') && address !== '::1');
  } finally {
    route.close();
  }
}

function closePlace({ fd, diag }: Place): void {
  diag.close();
  closeSync(fd);
}

/** A namespace may go at any moment. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

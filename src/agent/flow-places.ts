// The network namespaces of this node's workloads, found by their addresses, and the processes in them.
import { closeSync } from 'node:fs';
import {
  type DiagProtocol,
  currentNamespace,
  DestroyedSockets,
  type DiagSocket,
  LinkedNamespaces,
  namespaceInode,
  NamespaceProcesses,
  openNamespace,
  type ProcessInfo,
  processInfo,
  RouteSocket,
  SocketDiag,
  type SocketEnds,
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
  /** By inode number of a socket. */
  readonly processes: Map<number, ProcessInfo>;
  /** The newest first. */
  pids: readonly number[];
  /** When sockets of nobody known may be looked for again. */
  scanAt: number;
  /** Opened when somebody asks for it. */
  destroyed?: DestroyedSockets | undefined;
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
  readonly #processes = new NamespaceProcesses();
  #byAddress: ReadonlyMap<string, Place> = new Map();
  #searchAt = 0;
  #searchMs: number = SEARCH_MS.least;

  constructor(options: SocketPlacesOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** Looks for the namespaces that have these addresses, now and then while some are missing. */
  prepare(addresses: ReadonlySet<string>): void {
    if (this.#now() < this.#searchAt) return;
    for (const address of addresses) if (!this.#byAddress.has(address)) return this.#search();
  }

  /** Addresses are new: their namespaces are looked for soon. */
  searchSoon(): void {
    this.#searchMs = SEARCH_MS.least;
    this.#searchAt = 0;
  }

  /** Reads which processes are new. To be called before new sockets are looked for. */
  refresh(): void {
    const found = this.#processes.refresh();
    for (const [inode, place] of this.#places) {
      place.pids = found.get(inode) ?? [];
      place.scanAt = 0;
    }
  }

  /** The connected TCP socket of these ends. */
  connected(ends: SocketEnds): DiagSocket | undefined {
    const place = this.#byAddress.get(ends.local);
    return place && attempt(() => place.diag.connected(ends));
  }

  /** TCP sockets of all namespaces that came to their end since the last call. */
  destroyed(): DiagSocket[] {
    return [...this.#places.values()].flatMap((place) => {
      place.destroyed ??= attempt(() => DestroyedSockets.open({ namespace: place.fd }));
      return place.destroyed?.read() ?? [];
    });
  }

  /** What nobody reads any more would fill the kernel's memory. */
  forgetDestroyed(): void {
    for (const place of this.#places.values()) {
      place.destroyed?.close();
      place.destroyed = undefined;
    }
  }

  /** The sockets of the namespaces that have these addresses, by address and protocol. */
  look(
    addresses: ReadonlySet<string>,
    protocols: ReadonlySet<DiagProtocol>,
  ): Map<string, Map<DiagProtocol, SocketIndex>> {
    this.prepare(addresses);
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
    return place.processes.get(inode) ?? this.#scan(place, inode);
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
    const found = this.#processes.refresh();
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

  #scan(place: Place, inode: number): ProcessInfo | undefined {
    if (this.#now() < place.scanAt) return undefined;
    if (place.processes.size > PROCESSES_MAX) place.processes.clear();
    for (const pid of place.pids.slice(0, PIDS_MAX)) {
      const inodes = socketsOfProcess(pid, DESCRIPTORS_MAX);
      const news = inodes.filter((one) => !place.processes.has(one));
      const info = news.length > 0 ? processInfo(pid) : undefined;
      if (!info) continue;
      for (const one of news) place.processes.set(one, info);
      if (news.includes(inode)) return info;
    }
    place.scanAt = this.#now() + SCAN_MS;
    return undefined;
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

function closePlace({ fd, diag, destroyed }: Place): void {
  diag.close();
  destroyed?.close();
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

// One node of which every packet is known: they are made one by one, and those that pass are seen and go no further.
import { execFileSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataplaneState } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import {
  createNamespace,
  deleteNamespace,
  LogReader,
  NftablesSocket,
  openNamespace,
  RouteSocket,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { type CraftedPacket, HostSocket, idOf, MAX_ID, WireSocket } from './crafted-packets.ts';

/** A packet, and where it enters: a workload's interface, `eth0`, or null for the host itself. */
export interface Injected extends Omit<CraftedPacket, 'id'> {
  readonly from: string | null;
}

const GROUP = 77;
/** Of the flow log: towards an endpoint, and from it. */
const FLOW_GROUPS = [1, 2];
/** After every chain of the dataplane: what comes here has passed. */
const observer = (verdict: 'drop' | 'accept') => `table inet observe {
  chain i { type filter hook input priority 1000; log group ${GROUP} snaplen 64; ${verdict}; }
  chain f { type filter hook forward priority 1000; log group ${GROUP} snaplen 64; ${verdict}; }
  chain o { type filter hook output priority 1000; log group ${GROUP} snaplen 64; ${verdict}; }
}`;
const BATCH = 4_000;
/** The kernel hands each packet over at once. */
const QUIET_MS = 40;

/** What became of a packet. */
export interface Fate {
  readonly passed: boolean;
  /** Prefixes with which decisions about it were logged, in no order. */
  readonly prefixes: readonly string[];
}

interface Space {
  readonly path: string;
  readonly fd: number;
}

let count = 0;

export class PacketNode {
  readonly #spaces: Space[] = [];
  readonly #wires = new Map<string, WireSocket>();
  readonly #node: Space;
  readonly #far: Space;
  readonly #host: HostSocket;
  readonly #log: LogReader;
  readonly #flows: readonly LogReader[];
  readonly #heard = new Map<string, number>();
  readonly routes: RouteSocket;
  readonly dataplane: Dataplane;

  /**
   * `addresses`: those of `eth0`, with their lengths; everything else is beyond it. What passes goes no further, and
   * leaves no connection, but with `letsGo`.
   */
  constructor(addresses: readonly string[], letsGo?: 'letsGo') {
    this.#node = this.#make();
    this.#far = this.#make();
    const { fd } = this.#node;
    this.routes = RouteSocket.open({ namespace: fd });
    this.routes.setUp('lo');
    for (const name of ['all', 'default']) {
      writeSysctlInNamespace(fd, `net/ipv4/conf/${name}/rp_filter`, 0);
      writeSysctlInNamespace(fd, `net/ipv4/conf/${name}/accept_local`, 1);
    }
    writeSysctlInNamespace(fd, 'net/ipv6/conf/default/accept_dad', 0);
    this.addInterface('eth0');
    for (const prefix of addresses) this.routes.addAddress('eth0', prefix, { noDad: true });
    for (const destination of ['0.0.0.0/0', '::/0']) this.#route(destination, 'eth0');
    this.run('nft', observer(letsGo ? 'accept' : 'drop'));
    writeSysctlInNamespace(fd, 'net/netfilter/nf_conntrack_checksum', 0);
    this.#host = new HostSocket(fd);
    const listen = (group: number) =>
      LogReader.open({ group, namespace: fd, queueThreshold: 1, bufferBytes: 64 << 20 });
    this.#log = listen(GROUP);
    this.#flows = FLOW_GROUPS.map(listen);
    const nftables = NftablesSocket.open({ namespace: fd });
    const sysctls = sysctlsOfNamespace(fd);
    const routes = RouteSocket.open({ namespace: fd });
    this.dataplane = new Dataplane({ nftables, routes, sysctls });
  }

  /** Another interface with addresses, and what is reached through it. */
  addWay(name: string, addresses: readonly string[], destinations: readonly string[]): void {
    this.addInterface(name);
    for (const prefix of addresses) this.routes.addAddress(name, prefix, { noDad: true });
    for (const destination of destinations) this.#route(destination, name);
  }

  #route(destination: string, name: string): void {
    const family = destination.includes(':') ? 6 : 4;
    const way = { interface: name, table: 254, protocol: 4, type: 'unicast' } as const;
    this.routes.replaceRoute({ family, destination, ...way });
  }

  /** An interface at whose far end packets can be put on the wire. */
  addInterface(name: string): void {
    const index = this.#wires.size + 1;
    const far = `far${index}`;
    this.routes.createVeth({ name, peerName: far, peerNamespace: this.#far.fd });
    this.routes.setUp(name);
    const there = RouteSocket.open({ namespace: this.#far.fd });
    there.setUp(far);
    const link = there.link(far);
    there.close();
    const mac = this.routes.link(name)?.mac;
    if (!link || mac === undefined) throw new Error(`cannot find interface ${name}`);
    this.#wires.set(name, new WireSocket(this.#far.fd, link.index, mac));
  }

  /** Runs a program in the node's namespace, with a text as its input (`nft` reads its commands there). */
  run(program: string, input: string): string {
    const words = program === 'nft' ? ['nft', '-f', '-'] : program.split(' ');
    return execFileSync('nsenter', [`--net=${this.#node.path}`, ...words], {
      input,
      encoding: 'utf8',
      stdio: 'pipe',
    });
  }

  /** Makes the state be enforced, with no connection known. Returns the errors. */
  enforce(state: DataplaneState): string[] {
    const { errors, pending } = this.dataplane.apply(state);
    this.run('conntrack -F', '');
    return [...errors.map(({ what, message }) => `${what}: ${message}`), ...pending];
  }

  /** Which of the packets pass. */
  async passing(packets: readonly Injected[]): Promise<boolean[]> {
    return (await this.fates(packets)).map(({ passed }) => passed);
  }

  /** What becomes of each of the packets. */
  async fates(packets: readonly Injected[]): Promise<Fate[]> {
    const fates: Fate[] = [];
    for (let start = 0; start < packets.length; start += Math.min(BATCH, MAX_ID)) {
      fates.push(...(await this.#batch(packets.slice(start, start + BATCH))));
    }
    return fates;
  }

  /** How often each prefix was logged so far, of whatever packet: interfaces send some by themselves. */
  heard(): ReadonlyMap<string, number> {
    this.#decisions();
    return new Map(this.#heard);
  }

  #decisions() {
    const read = this.#flows.flatMap((reader) => reader.read());
    for (const { prefix } of read) this.#heard.set(prefix, (this.#heard.get(prefix) ?? 0) + 1);
    return read;
  }

  async #batch(packets: readonly Injected[]): Promise<Fate[]> {
    this.#log.read();
    this.#decisions();
    for (const [index, { from, ...packet }] of packets.entries()) {
      const crafted = { ...packet, id: index + 1 };
      if (from === null) this.#host.send(crafted);
      else this.#wire(from).send(crafted);
    }
    const seen = new Set<number>();
    const prefixes = new Map<number, string[]>();
    for (let quiet = false; !quiet; ) {
      await sleep(QUIET_MS);
      const read = this.#log.read();
      for (const { payload } of read) seen.add(idOf(payload));
      const decisions = this.#decisions();
      for (const { payload, prefix } of decisions) {
        const id = idOf(payload);
        prefixes.set(id, [...(prefixes.get(id) ?? []), prefix]);
      }
      quiet = read.length === 0 && decisions.length === 0;
    }
    for (const { lost } of [this.#log, ...this.#flows]) {
      if (lost > 0) throw new Error(`${lost} packets went unseen`);
    }
    return packets.map((_, index) => ({
      passed: seen.has(index + 1),
      prefixes: prefixes.get(index + 1) ?? [],
    }));
  }

  #wire(name: string): WireSocket {
    const wire = this.#wires.get(name);
    if (!wire) throw new Error(`there is no interface ${name}`);
    return wire;
  }

  #make(): Space {
    const path = `/run/netns/tortie-p-${process.pid}-${++count}`;
    createNamespace(path);
    const space = { path, fd: openNamespace(path) };
    this.#spaces.push(space);
    return space;
  }

  close(): void {
    this.dataplane.close();
    this.routes.close();
    for (const reader of [this.#log, ...this.#flows]) reader.close();
    this.#host.close();
    for (const wire of this.#wires.values()) wire.close();
    for (const { path, fd } of this.#spaces) {
      closeSync(fd);
      deleteNamespace(path);
    }
  }
}

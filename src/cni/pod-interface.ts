// A pod's interface in the kernel: made, compared with what it should be, and removed.
import { closeSync, existsSync } from 'node:fs';
import { type Family, parsePrefix } from '#lib';
import {
  ROUTE_PROTOCOL,
  ROUTE_TABLE,
  RouteSocket,
  currentNamespace,
  openNamespace,
  ensureSysctlsInNamespace,
} from '#linux';
import { CniError } from './cni-error.ts';
import { DOOMED_GROUP, LinkRemover } from './link-remover.ts';
import { CNI_CODE } from './protocol.ts';

/** One end in the node's namespace, the other in the pod's. */
export interface PodInterface {
  /** `cali` and 11 hex digits. */
  readonly hostName: string;
  /** CNI_NETNS: path of the pod's namespace. */
  readonly netns: string;
  /** CNI_IFNAME: the name inside the pod. */
  readonly ifname: string;
  /** Host prefixes: `10.65.0.1/32`, `fd00::1/128`. */
  readonly addresses: readonly string[];
  /** The pod's end; the kernel chooses where absent. */
  readonly mac?: string | undefined;
}

/** What the attachment logic needs of the kernel. */
export interface InterfaceDriver {
  /** Makes the interface, in place of one of that name, all or nothing. */
  attach(desired: PodInterface): AttachedInterface;
  /** What is there; undefined unless the host's end leads to this interface of this namespace. */
  find(place: Pick<PodInterface, 'hostName' | 'netns' | 'ifname'>): AttachedInterface | undefined;
  /** Whether the host's end is there, wherever it leads. */
  exists(hostName: string): boolean;
  /** Each way in which the kernel is not as desired, in words; empty: all is well. */
  differences(desired: PodInterface): string[];
  /** Removes both ends; false when there was none. Others may be asked for meanwhile, and go with it. */
  detach(hostName: string): Promise<boolean>;
}

export interface AttachedInterface {
  readonly mac: string;
  readonly mtu: number;
}

/** MAC address of every host end; the pods' next hop is a fixed neighbour with it. */
export const HOST_MAC = 'ee:ee:ee:ee:ee:ee';

/** The pods' next hop: nobody's address in IPv4; in IPv6 the link-local one that HOST_MAC makes. */
export const NEXT_HOP: Readonly<Record<Family, string>> = {
  4: '169.254.1.1',
  6: 'fe80::ecee:eeff:feee:eeee',
};

export const DEFAULT_ROUTE: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

const FALLBACK_MTU = 1500;
const MTU_KEPT_MS = 5_000;

/** Settings of the host's end (spec 06; proxying answers the pod for every address at once). */
const HOST_SYSCTLS: Readonly<Record<Family, readonly (readonly [string, string])[]>> = {
  4: [
    ['net/ipv4/conf/IF/rp_filter', '1'],
    ['net/ipv4/conf/IF/proxy_arp', '1'],
    ['net/ipv4/conf/IF/forwarding', '1'],
    ['net/ipv4/neigh/IF/proxy_delay', '0'],
    ['net/ipv4/ip_forward', '1'],
  ],
  6: [
    ['net/ipv6/conf/IF/disable_ipv6', '0'],
    ['net/ipv6/conf/IF/addr_gen_mode', '1'],
    ['net/ipv6/conf/IF/accept_ra', '0'],
    ['net/ipv6/conf/IF/proxy_ndp', '1'],
    ['net/ipv6/conf/IF/forwarding', '1'],
    ['net/ipv6/neigh/IF/proxy_delay', '0'],
    ['net/ipv6/conf/all/forwarding', '1'],
  ],
};

const POD_SYSCTLS: Readonly<Record<Family, readonly (readonly [string, string])[]>> = {
  4: [],
  6: [
    ['net/ipv6/conf/IF/disable_ipv6', '0'],
    ['net/ipv6/conf/IF/accept_ra', '0'],
  ],
};

export interface VethDriverOptions {
  /** Of the interface of a pod that comes now; absent: the smallest of the node's own interfaces. */
  readonly mtu?: (() => number) | undefined;
  /** Descriptor of the node's namespace; absent: the one this thread is in. */
  readonly namespace?: number | undefined;
}

/** Pods' interfaces as veth pairs. The node's namespace is that of the thread that makes it. */
export class VethDriver implements InterfaceDriver {
  readonly #namespace: number;
  readonly #host: RouteSocket;
  readonly #remover: LinkRemover;
  readonly #mtu: (() => number) | undefined;
  #podMtu: { readonly value: number; readonly at: number } | undefined;

  constructor(options: VethDriverOptions = {}) {
    this.#namespace = options.namespace ?? currentNamespace();
    this.#host = RouteSocket.open({ namespace: this.#namespace });
    this.#remover = new LinkRemover(this.#namespace);
    this.#mtu = options.mtu;
  }

  attach(desired: PodInterface): AttachedInterface {
    return inNamespace(desired.netns, (pod, descriptor) => {
      this.#host.deleteLink(desired.hostName);
      if (pod.link(desired.ifname)) {
        const text = `interface ${desired.ifname} is in "${desired.netns}" already and is not ours`;
        throw new CniError(CNI_CODE.kernelRefused, text);
      }
      this.#host.createVeth({
        name: desired.hostName,
        peerName: desired.ifname,
        peerNamespace: descriptor,
        mac: HOST_MAC,
        mtu: this.#mtuNow(),
        ...(desired.mac === undefined ? {} : { peerMac: desired.mac }),
      });
      try {
        this.#configure(pod, descriptor, desired);
        return present(pod, desired.ifname);
      } catch (error) {
        this.#host.deleteLink(desired.hostName);
        throw error;
      }
    });
  }

  find(place: Pick<PodInterface, 'hostName' | 'netns' | 'ifname'>): AttachedInterface | undefined {
    const host = this.#host.link(place.hostName);
    // What a removal that was killed had begun with is as good as gone: it must not be used again.
    if (!host || host.group === DOOMED_GROUP || !existsSync(place.netns)) return undefined;
    return inNamespace(place.netns, (pod) => {
      const link = pod.link(place.ifname);
      const isPair = link !== undefined && link.peer === host.index && host.peer === link.index;
      return isPair ? present(pod, place.ifname) : undefined;
    });
  }

  exists(hostName: string): boolean {
    return this.#host.link(hostName) !== undefined;
  }

  differences(desired: PodInterface): string[] {
    const { hostName, ifname, netns } = desired;
    if (!this.find(desired)) return [`${hostName} does not lead to ${ifname} in "${netns}"`];
    const found = [...this.#hostDifferences(desired)];
    return inNamespace(netns, (pod) => [...found, ...podDifferences(pod, desired)]);
  }

  /** The kernel takes 13 to 41 ms for one, or for many that go at once. */
  detach(hostName: string): Promise<boolean> {
    return this.#remover.remove(hostName);
  }

  close(): void {
    this.#host.close();
    void this.#remover.close();
  }

  /** The pod's end first; the host's end comes up last, and what is unknown there is dropped. */
  #configure(pod: RouteSocket, descriptor: number, desired: PodInterface): void {
    const { hostName, ifname, addresses } = desired;
    const families = familiesOf(addresses);
    writeSysctls(
      descriptor,
      families.flatMap((family) => POD_SYSCTLS[family]),
      ifname,
    );
    writeSysctls(
      this.#namespace,
      families.flatMap((family) => HOST_SYSCTLS[family]),
      hostName,
    );
    if (pod.link('lo')?.up === false) pod.setUp('lo');
    pod.setUp(ifname);
    this.#host.setUp(hostName);
    if (families.includes(6)) {
      this.#host.addAddress(hostName, `${NEXT_HOP[6]}/64`, { scope: 'link', noDad: true });
    }
    for (const address of addresses) pod.addAddress(ifname, address, { noDad: true });
    const mac = present(pod, ifname).mac;
    for (const address of addresses) {
      // Neither side has to ask: the first packet goes through at once.
      this.#host.replaceNeighbour({ link: hostName, address: hostPart(address), mac });
    }
    for (const family of families) {
      pod.replaceNeighbour({ link: ifname, address: NEXT_HOP[family], mac: HOST_MAC });
      pod.replaceRoute({
        family,
        destination: DEFAULT_ROUTE[family],
        gateway: NEXT_HOP[family],
        interface: ifname,
        onLink: true,
        table: ROUTE_TABLE.MAIN,
        protocol: ROUTE_PROTOCOL.BOOT,
        type: 'unicast',
      });
    }
  }

  /** Of many pods that come at once the first looks. */
  #mtuNow(): number {
    const at = performance.now();
    if (!this.#podMtu || at - this.#podMtu.at > MTU_KEPT_MS) {
      this.#podMtu = { value: this.#mtu?.() ?? this.#leastMtu(), at };
    }
    return this.#podMtu.value;
  }

  #leastMtu(): number {
    const own = this.#host.links().filter(({ name, up }) => up && name !== 'lo' && !isPodEnd(name));
    return own.reduce((least, { mtu }) => Math.min(least, mtu), FALLBACK_MTU);
  }

  *#hostDifferences(desired: PodInterface): Generator<string> {
    const { hostName, addresses } = desired;
    const link = this.#host.link(hostName);
    if (!link?.up) yield `${hostName} is not up`;
    if (link?.mac !== HOST_MAC) yield `${hostName} has MAC ${link?.mac ?? 'none'}, not ${HOST_MAC}`;
    const routes = this.#host.routes({ table: ROUTE_TABLE.MAIN });
    for (const address of addresses) {
      const route = routes.find(({ destination }) => destination === address);
      if (!route) yield `the node has no route to ${address}`;
      else if (route.interface !== hostName) {
        yield `the node's route to ${address} leads to ${route.interface ?? route.type}, not ${hostName}`;
      }
    }
  }
}

function* podDifferences(pod: RouteSocket, desired: PodInterface): Generator<string> {
  const { ifname, addresses } = desired;
  if (!pod.link(ifname)?.up) yield `${ifname} is not up`;
  const own = pod.addresses().filter((address) => address.interface === ifname);
  for (const address of addresses) {
    if (!own.some(({ prefix }) => prefix === address)) yield `${ifname} lacks ${address}`;
  }
  const routes = pod.routes({ table: ROUTE_TABLE.MAIN });
  for (const family of familiesOf(addresses)) {
    const isThere = routes.some(
      (route) =>
        route.family === family &&
        route.destination === DEFAULT_ROUTE[family] &&
        route.gateway === NEXT_HOP[family] &&
        route.interface === ifname,
    );
    if (!isThere) yield `the pod has no default route via ${NEXT_HOP[family]} on ${ifname}`;
  }
}

function familiesOf(addresses: readonly string[]): Family[] {
  const families = addresses.map((address) => parsePrefix(address)?.family);
  return ([4, 6] as const).filter((family) => families.includes(family));
}

function hostPart(prefix: string): string {
  return prefix.split('/')[0] ?? prefix;
}

function isPodEnd(name: string): boolean {
  return name.startsWith('cali');
}

function present(pod: RouteSocket, ifname: string): AttachedInterface {
  const link = pod.link(ifname);
  if (link?.mac === undefined) {
    throw new CniError(CNI_CODE.kernelRefused, `interface ${ifname} vanished from the pod`);
  }
  return { mac: link.mac, mtu: link.mtu };
}

/** Runs the work with a socket in the namespace; a path that is no namespace is a CniError. */
function inNamespace<T>(path: string, work: (pod: RouteSocket, descriptor: number) => T): T {
  let descriptor: number;
  try {
    descriptor = openNamespace(path);
  } catch (cause) {
    const text = `cannot open network namespace "${path}"`;
    throw new CniError(CNI_CODE.unknownContainer, text, { cause });
  }
  try {
    const pod = RouteSocket.open({ namespace: descriptor });
    try {
      return work(pod, descriptor);
    } finally {
      pod.close();
    }
  } finally {
    closeSync(descriptor);
  }
}

function writeSysctls(
  descriptor: number,
  settings: readonly (readonly [path: string, value: string])[],
  ifname: string,
): void {
  ensureSysctlsInNamespace(
    descriptor,
    settings.map(([path, value]) => [path.replace('/IF/', `/${ifname}/`), value]),
  );
}

// Pods' interfaces in the kernel as veth pairs: made, compared with what they should be, and removed.
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { type Family, parsePrefix } from '#lib';
import {
  NetlinkError,
  ROUTE_PROTOCOL,
  ROUTE_TABLE,
  type Route,
  RouteSocket,
  openNamespace,
  ensureSysctlsInNamespace,
} from '#linux';
import { CniError } from './cni-error.ts';
import { DOOMED_GROUP, LinkRemover } from './link-remover.ts';
import {
  type AttachedInterface,
  DEFAULT_ROUTE,
  type EnsuredInterface,
  HOST_MAC,
  type InterfacePlace,
  NEXT_HOP,
  type PodInterface,
  type Removal,
} from './pod-interface.ts';
import { CNI_CODE } from './protocol.ts';

const FALLBACK_MTU = 1500;
const MTU_KEPT_MS = 5_000;

/**
 * Settings of the ends (spec 06), and what must hold of the node as a whole: those that rtnetlink does not know. Which
 * hold already is read without any lock.
 */
const HOST_SYSCTLS: Readonly<Record<Family, readonly (readonly [string, string])[]>> = {
  4: [['net/ipv4/ip_forward', '1']],
  6: [
    ['net/ipv6/conf/IF/disable_ipv6', '0'],
    ['net/ipv6/conf/IF/accept_ra', '0'],
    ['net/ipv6/conf/IF/proxy_ndp', '1'],
    ['net/ipv6/conf/IF/forwarding', '1'],
    ['net/ipv6/conf/all/forwarding', '1'],
  ],
};

/** The rest of them, for whichever families: proxying answers the pod for every address at once. */
const HOST_SETTINGS = {
  4: { ipv4: { rp_filter: 1, proxy_arp: 1, forwarding: 1 } },
  6: { addressGeneration: 'none' },
} as const;

const POD_SYSCTLS: Readonly<Record<Family, readonly (readonly [string, string])[]>> = {
  4: [],
  6: [
    ['net/ipv6/conf/IF/disable_ipv6', '0'],
    ['net/ipv6/conf/IF/accept_ra', '0'],
  ],
};

/** The pairs of one node. What it does waits for the kernel, except for removals. */
export class VethPairs {
  readonly #namespace: number;
  readonly #host: RouteSocket;
  readonly #remover: LinkRemover;
  #ownMtu: { readonly value: number; readonly at: number } | undefined;

  /** `namespace`: a descriptor, which stays the caller's. */
  constructor(namespace: number) {
    this.#namespace = namespace;
    this.#host = RouteSocket.open({ namespace });
    this.#remover = new LinkRemover(namespace);
  }

  /** See `InterfaceDriver`; `mtu` absent: the smallest of the node's own interfaces. */
  ensure(desired: PodInterface, mtu = this.#leastMtu()): EnsuredInterface {
    const { hostName, ifname, netns } = desired;
    return inNamespace(netns, (pod, descriptor) => {
      try {
        // Nearly always there is none: whoever looked first would wait for the kernel once more.
        return { ...this.#make(pod, descriptor, desired, mtu), stood: false };
      } catch (error) {
        if (!(error instanceof NetlinkError && error.code === 'EEXIST')) throw error;
      }
      const found = this.#find(pod, desired);
      if (found && this.#allDifferences(pod, desired).length === 0)
        return { ...found, stood: true };
      this.#host.deleteLink(hostName);
      if (pod.link(ifname)) {
        const text = `interface ${ifname} is in "${netns}" already and is not ours`;
        throw new CniError(CNI_CODE.kernelRefused, text);
      }
      return { ...this.#make(pod, descriptor, desired, mtu), stood: found !== undefined };
    });
  }

  differences(desired: PodInterface): string[] {
    const { hostName, ifname, netns } = desired;
    const found = unlessGone(netns, (pod) =>
      this.#find(pod, desired) ? this.#allDifferences(pod, desired) : undefined,
    );
    return found ?? [`${hostName} does not lead to ${ifname} in "${netns}"`];
  }

  async remove(place: InterfacePlace, isOwn: boolean): Promise<Removal> {
    if (!isOwn) {
      if (!this.#host.link(place.hostName)) return 'absent';
      if (!unlessGone(place.netns, (pod) => this.#find(pod, place))) return 'kept';
    }
    return (await this.#remover.remove(place.hostName)) ? 'removed' : 'absent';
  }

  /** Ends when nothing is being removed any more. */
  async close(): Promise<void> {
    await this.#remover.close();
    this.#host.close();
  }

  #make(
    pod: RouteSocket,
    descriptor: number,
    desired: PodInterface,
    mtu: number,
  ): AttachedInterface {
    const { hostName, ifname, mac = randomMac() } = desired;
    this.#host.createVeth({
      name: hostName,
      peerName: ifname,
      peerNamespace: descriptor,
      mac: HOST_MAC,
      peerMac: mac,
      mtu,
    });
    try {
      this.#configure(pod, descriptor, { ...desired, mac });
      return { mac, mtu };
    } catch (error) {
      this.#host.deleteLink(hostName);
      throw error;
    }
  }

  /** One message to each side; the default route comes last. What the dataplane does not know yet, it drops. */
  #configure(
    pod: RouteSocket,
    descriptor: number,
    desired: PodInterface & { readonly mac: string },
  ): void {
    const { hostName, ifname, addresses, mac } = desired;
    const families = familiesOf(addresses);
    const ofPod = families.flatMap((family) => POD_SYSCTLS[family]);
    writeSysctls(descriptor, ofPod, ifname);
    const ofHost = families.flatMap((family) => HOST_SYSCTLS[family]);
    writeSysctls(this.#namespace, ofHost, hostName);
    this.#host.together(() => {
      for (const family of families) {
        this.#host.setSettings(hostName, HOST_SETTINGS[family]);
        this.#host.setProxyDelay(hostName, family, 0);
      }
      this.#host.setUp(hostName);
      if (families.includes(6)) {
        this.#host.addAddress(hostName, `${NEXT_HOP[6]}/64`, { scope: 'link', noDad: true });
      }
      for (const address of addresses) {
        // Neither side has to ask: the first packet goes through at once.
        this.#host.replaceNeighbour({ link: hostName, address: hostPart(address), mac });
      }
    });
    pod.together(() => {
      pod.setUp('lo');
      pod.setUp(ifname);
      for (const address of addresses) {
        pod.addAddress(ifname, address, { noDad: true });
        if (parsePrefix(address)?.family === 6) pod.replaceRoute(ownRoute(address, ifname));
      }
      for (const family of families) {
        pod.replaceNeighbour({ link: ifname, address: NEXT_HOP[family], mac: HOST_MAC });
      }
      for (const family of families) {
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
    });
    // The host's end was up before the pod's: the kernel sends nothing by it until it has noted that both are, which
    // it does later, or for whoever asks (since Linux 6.8).
    this.#host.link(hostName);
  }

  /** What is there; undefined unless the host's end leads to this interface of the pod. */
  #find(
    pod: RouteSocket,
    { hostName, ifname }: Pick<InterfacePlace, 'hostName' | 'ifname'>,
  ): AttachedInterface | undefined {
    const host = this.#host.link(hostName);
    // What a removal that was killed had begun with is as good as gone: it must not be used again.
    if (!host || host.group === DOOMED_GROUP) return undefined;
    const link = pod.link(ifname);
    if (link?.mac === undefined || link.peer !== host.index || host.peer !== link.index) {
      return undefined;
    }
    return { mac: link.mac, mtu: link.mtu };
  }

  #leastMtu(): number {
    const at = performance.now();
    if (!this.#ownMtu || at - this.#ownMtu.at > MTU_KEPT_MS) {
      const links = this.#host.links();
      const own = links.filter(({ name, up }) => up && name !== 'lo' && !isPodEnd(name));
      const value = own.reduce((least, { mtu }) => Math.min(least, mtu), FALLBACK_MTU);
      this.#ownMtu = { value, at };
    }
    return this.#ownMtu.value;
  }

  #allDifferences(pod: RouteSocket, desired: PodInterface): string[] {
    return [...this.#hostDifferences(desired), ...podDifferences(pod, desired)];
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

/**
 * By which the pod receives what is for its IPv6 address. The kernel makes one too, but later, when its lock is free:
 * until then whatever comes is lost (net/ipv6/addrconf.c: even without DAD the route is a matter of its work queue).
 */
function ownRoute(destination: string, ifname: string): Route {
  return {
    family: 6,
    destination,
    interface: ifname,
    table: ROUTE_TABLE.LOCAL,
    protocol: ROUTE_PROTOCOL.BOOT,
    type: 'local',
  };
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

/** Runs the work with a socket in the namespace; a path that is no namespace is a CniError. */
function inNamespace<T>(path: string, work: (pod: RouteSocket, descriptor: number) => T): T {
  let descriptor: number | undefined;
  let pod: RouteSocket | undefined;
  try {
    try {
      descriptor = openNamespace(path);
      pod = RouteSocket.open({ namespace: descriptor });
    } catch (cause) {
      const text = `cannot open network namespace "${path}"`;
      throw new CniError(CNI_CODE.unknownContainer, text, { cause });
    }
    return work(pod, descriptor);
  } finally {
    pod?.close();
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** As `inNamespace`; undefined when there is no such namespace: nothing leads there. */
function unlessGone<T>(path: string, work: (pod: RouteSocket) => T): T | undefined {
  try {
    return inNamespace(path, work);
  } catch (error) {
    if (error instanceof CniError && error.code === CNI_CODE.unknownContainer) return undefined;
    throw error;
  }
}

/** Of those that nobody has for good: unicast, given by the machine's own administration. */
function randomMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfe) | 0x02;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
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

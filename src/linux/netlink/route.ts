// rtnetlink (man 7 rtnetlink): interfaces, addresses, routes and neighbours of one namespace.

import { FAMILIES, type Family } from '#lib';
import { ERRNO } from '../libc.ts';
import {
  ADDRESS_MESSAGE,
  type AddressOptions,
  type LinkAddress,
  NEIGHBOUR_MESSAGE,
  type Neighbour,
  addressBody,
  addressQuery,
  neighbourBody,
  neighbourQuery,
  parseLinkAddress,
  parseNeighbour,
} from './address-message.ts';
import { AttributeWriter } from './attribute.ts';
import { setTransmitChecksum, transmitChecksum } from './link-features.ts';
import {
  IFF_UP,
  LINK_ATTRIBUTE,
  LINK_MESSAGE,
  type Link,
  type VethOptions,
  checkLinkName,
  linkByName,
  linkHeader,
  linkIndex,
  linkName,
  linkQuery,
  macBytes,
  newLink,
  newVeth,
  parseLink,
} from './link-message.ts';
import {
  type LinkSettings,
  SET_NEIGHBOUR_TABLE,
  proxyDelayBody,
  writeLinkSettings,
} from './link-settings.ts';
import { MESSAGE_FLAG, NetlinkError, type NetlinkRequest } from './message.ts';
import { RouteDecoder } from './route-decoder.ts';
import { parseProxy, type Proxy, proxyBody, proxyQuery } from './proxy-message.ts';
import {
  ROUTE_MESSAGE,
  type Route,
  deleteRouteBody,
  newRoute,
  routeQuery,
} from './route-message.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from './socket.ts';
import {
  type ForwardingEntry,
  type VxlanOptions,
  forwardingBody,
  forwardingQuery,
  newVxlan,
  parseForwarding,
} from './vxlan-message.ts';

const CREATE = MESSAGE_FLAG.CREATE | MESSAGE_FLAG.EXCL;
const REPLACE = MESSAGE_FLAG.CREATE | MESSAGE_FLAG.REPLACE;

/**
 * The network configuration of one namespace. All methods are synchronous and throw NetlinkError
 * (`code` such as ENODEV, EEXIST) when the kernel refuses, RangeError when a value cannot be.
 * Deleting a link waits 13-41 ms in the kernel.
 */
export class RouteSocket {
  readonly #socket: NetlinkSocket;
  readonly #decoder: RouteDecoder;
  #writes = 0;
  /** What is to be sent together; absent while each request is sent by itself. */
  #gathered: NetlinkRequest[] | undefined;

  private constructor(socket: NetlinkSocket) {
    this.#socket = socket;
    this.#decoder = new RouteDecoder((index) => linkName(socket.fd, index));
  }

  /** Opens it for a namespace (descriptor), or for the one this thread is in. */
  static open(options: { namespace?: number } = {}): RouteSocket {
    const settings = { ...options, strictDumps: true };
    return new RouteSocket(NetlinkSocket.open(NETLINK_PROTOCOL.ROUTE, settings));
  }

  /** See `NetlinkSocket.port`. */
  get port(): number {
    return this.#socket.port;
  }

  /** How many requests that change the kernel were sent. */
  get writes(): number {
    return this.#writes;
  }

  /**
   * Sends what `work` changes in one message: the kernel carries it out in its order, and goes on behind what it
   * refuses; of that the first is thrown. Interfaces that `work` names must be there when it names them.
   */
  together(work: () => void): void {
    const gathered: NetlinkRequest[] = [];
    this.#gathered = gathered;
    try {
      work();
    } finally {
      this.#gathered = undefined;
    }
    this.#socket.batch(gathered);
  }

  links(): Link[] {
    const messages = this.#socket.dump({
      type: LINK_MESSAGE.GET,
      body: linkQuery(),
      action: 'cannot list interfaces',
    });
    return present(messages.map(({ body }) => parseLink(body)));
  }

  /** The interface of this name, if there is one. */
  link(name: string): Link | undefined {
    const action = `cannot read interface ${name}`;
    try {
      const request = { type: LINK_MESSAGE.GET, body: linkQuery(name), action };
      return present(this.#socket.request(request).map(({ body }) => parseLink(body)))[0];
    } catch (error) {
      if (isRefusal(error, 'ENODEV')) return undefined;
      throw error;
    }
  }

  createVeth(options: VethOptions): void {
    const action = `cannot create veth ${options.name} with peer ${options.peerName}`;
    this.#write(LINK_MESSAGE.NEW, newVeth(options), action, CREATE);
  }

  createVxlan(options: VxlanOptions): void {
    const action = `cannot create VXLAN interface ${options.name} over ${options.parent}`;
    const body = newVxlan(options, this.#index(options.parent, action));
    this.#write(LINK_MESSAGE.NEW, body, action, CREATE);
  }

  /** A device that wraps IPv4 packets into others, each to the gateway of its route (RFC 2003). */
  createIpip(name: string): void {
    const action = `cannot create IPIP interface ${name}`;
    this.#write(LINK_MESSAGE.NEW, newLink(name, 'ipip'), action, CREATE);
  }

  createBridge(name: string): void {
    this.#write(LINK_MESSAGE.NEW, newLink(name, 'bridge'), `cannot create bridge ${name}`, CREATE);
  }

  /** Puts an interface into a bridge. */
  setMaster(name: string, master: string): void {
    const action = `cannot put interface ${name} into ${master}`;
    const index = this.#index(master, action);
    this.#setLink(linkByName(name).u32(LINK_ATTRIBUTE.MASTER, index), action);
  }

  /**
   * Sets what sysctls would, without the CPU time that they take while others change interfaces, and without entries
   * below `/proc/sys` that the kernel would have to remove with the interface.
   */
  setSettings(name: string, settings: LinkSettings): void {
    const writer = writeLinkSettings(linkByName(name), settings);
    this.#setLink(writer, `cannot set ${JSON.stringify(settings)} of interface ${name}`);
  }

  /** How long it waits before it answers for addresses of others: `net/ipv[46]/neigh/<interface>/proxy_delay`. */
  setProxyDelay(name: string, family: Family, ms: number): void {
    const action = `cannot set the delay of IPv${family} proxying of interface ${name} to ${ms} ms`;
    const body = proxyDelayBody(family, this.#index(name, action), ms);
    this.#write(SET_NEIGHBOUR_TABLE, body, action);
  }

  setUp(name: string): void {
    const writer = linkByName(name, linkHeader(0, IFF_UP, IFF_UP));
    this.#setLink(writer, `cannot set interface ${name} up`);
  }

  setDown(name: string): void {
    const writer = linkByName(name, linkHeader(0, 0, IFF_UP));
    this.#setLink(writer, `cannot set interface ${name} down`);
  }

  setMac(name: string, mac: string): void {
    const writer = linkByName(name).bytes(LINK_ATTRIBUTE.ADDRESS, macBytes(mac));
    this.#setLink(writer, `cannot set the MAC address of interface ${name} to ${mac}`);
  }

  setMtu(name: string, mtu: number): void {
    const writer = linkByName(name).u32(LINK_ATTRIBUTE.MTU, mtu);
    this.#setLink(writer, `cannot set the MTU of interface ${name} to ${mtu}`);
  }

  /** Whether the interface finishes checksums of what it sends; undefined where there is none of this name. */
  checksumOffload(name: string): boolean | undefined {
    return transmitChecksum(this.#socket.fd, name);
  }

  /** Throws SystemError where the kernel does not let it. */
  setChecksumOffload(name: string, on: boolean): void {
    this.#writes++;
    setTransmitChecksum(this.#socket.fd, name, on);
  }

  rename(name: string, newName: string): void {
    const action = `cannot rename interface ${name} to ${newName}`;
    const writer = new AttributeWriter(linkHeader(this.#index(name, action)));
    this.#setLink(writer.string(LINK_ATTRIBUTE.IFNAME, checkLinkName(newName)), action);
  }

  /** Moves an interface into the namespace of a descriptor, where it arrives down. */
  moveToNamespace(name: string, namespace: number): void {
    const writer = linkByName(name).u32(LINK_ATTRIBUTE.NET_NS_FD, namespace);
    this.#setLink(writer, `cannot move interface ${name} to another namespace`);
  }

  /** Deletes an interface, and with it its veth peer; false when there was none. */
  deleteLink(name: string): boolean {
    const body = linkByName(name).finish();
    return this.#delete(LINK_MESSAGE.DELETE, body, `cannot delete interface ${name}`);
  }

  /**
   * As `deleteLink` for many, but the kernel waits once for all of them, and this thread goes on meanwhile; nothing
   * else may be asked of this object until then. They are put into the group of interfaces `group`, and that is deleted
   * with whatever else is in it. False for those that were not there.
   */
  async deleteLinksInBackground(names: readonly string[], group: number): Promise<boolean[]> {
    const marks = names.map((name) => ({
      type: LINK_MESSAGE.SET,
      body: linkByName(name).u32(LINK_ATTRIBUTE.GROUP, group).finish(),
      action: `cannot delete interface ${name}`,
    }));
    const action = `cannot delete ${names.length} interfaces`;
    const body = new AttributeWriter(linkHeader()).u32(LINK_ATTRIBUTE.GROUP, group).finish();
    const requests = [...marks, { type: LINK_MESSAGE.DELETE, body, action }];
    this.#writes += requests.length;
    const refusals = await this.#socket.requestsInBackground(requests);
    const wereThere = refusals.slice(0, -1).map((refusal) => refusal === undefined);
    const hard = refusals.find((refusal) => refusal && !isRefusal(refusal, 'ENODEV'));
    if (hard) throw hard;
    // What was put into the group and is not there any more was deleted by somebody else.
    return wereThere;
  }

  addresses(): LinkAddress[] {
    const nameOf = this.#nameOf();
    const messages = this.#socket.dump({
      type: ADDRESS_MESSAGE.GET,
      body: addressQuery(),
      action: 'cannot list addresses',
    });
    return present(messages.map(({ body }) => parseLinkAddress(body, nameOf)));
  }

  /** Puts `10.0.0.1/24` on an interface; one that is there already is no error. */
  addAddress(name: string, prefix: string, options: AddressOptions = {}): void {
    const action = `cannot add address ${prefix} to interface ${name}`;
    const body = addressBody(this.#index(name, action), prefix, options);
    this.#write(ADDRESS_MESSAGE.NEW, body, action, REPLACE);
  }

  /** False when the interface or the address was not there. */
  deleteAddress(name: string, prefix: string): boolean {
    const index = linkIndex(this.#socket.fd, name);
    if (index === undefined) return false;
    const action = `cannot delete address ${prefix} from interface ${name}`;
    return this.#delete(ADDRESS_MESSAGE.DELETE, addressBody(index, prefix), action);
  }

  /** Routes of both families; of one table, one protocol or some protocols where given. */
  routes(filter: { table?: number; protocol?: number | readonly number[] } = {}): Route[] {
    const wanted: readonly (number | undefined)[] =
      filter.protocol === undefined ? [undefined] : [filter.protocol].flat();
    const messages = wanted.flatMap((one) =>
      FAMILIES.flatMap((family) => this.#dumpRoutes(routeQuery(family, filter.table, one))),
    );
    return this.#decoder
      .decode(messages)
      .filter(
        ({ table, protocol }) =>
          table === (filter.table ?? table) &&
          (filter.protocol === undefined || wanted.includes(protocol)),
      );
  }

  /** Adds a route, or puts it in the place of the one with its destination, table and metric. */
  replaceRoute(route: Route): void {
    const action = `cannot set route ${routeText(route)}`;
    const body = newRoute(route, (name) => this.#index(name, action));
    this.#write(ROUTE_MESSAGE.NEW, body, action, REPLACE);
  }

  /** False when there was no such route. */
  deleteRoute(route: Route): boolean {
    const action = `cannot delete route ${routeText(route)}`;
    try {
      const body = deleteRouteBody(route, (name) => this.#index(name, action));
      return this.#delete(ROUTE_MESSAGE.DELETE, body, action);
    } catch (error) {
      if (isRefusal(error, 'ENODEV')) return false;
      throw error;
    }
  }

  neighbours(): Neighbour[] {
    const nameOf = this.#nameOf();
    const messages = this.#socket.dump({
      type: NEIGHBOUR_MESSAGE.GET,
      body: neighbourQuery(),
      action: 'cannot list neighbours',
    });
    return present(messages.map(({ body }) => parseNeighbour(body, nameOf)));
  }

  /** Sets a permanent neighbour; `link` is the name of the interface. */
  replaceNeighbour(neighbour: { link: string; address: string; mac: string }): void {
    const { link, address, mac } = neighbour;
    const action = `cannot set neighbour ${address} on interface ${link} to ${mac}`;
    const body = neighbourBody(this.#index(link, action), address, mac);
    this.#write(NEIGHBOUR_MESSAGE.NEW, body, action, REPLACE);
  }

  /** False when the interface or the neighbour was not there. */
  deleteNeighbour(neighbour: { link: string; address: string }): boolean {
    const { link: name, address } = neighbour;
    const index = linkIndex(this.#socket.fd, name);
    if (index === undefined) return false;
    const action = `cannot delete neighbour ${address} from interface ${name}`;
    return this.#delete(NEIGHBOUR_MESSAGE.DELETE, neighbourBody(index, address), action);
  }

  /** Addresses that interfaces answer for though others have them. */
  proxies(): Proxy[] {
    const nameOf = this.#nameOf();
    const action = 'cannot list proxied neighbours';
    const messages = this.#socket.dump({ type: NEIGHBOUR_MESSAGE.GET, body: proxyQuery(), action });
    return present(messages.map(({ body }) => parseProxy(body, nameOf)));
  }

  /** Has the interface answer for an address from now on. */
  addProxy({ interface: name, address, protocol }: Omit<Proxy, 'family'>): void {
    const action = `cannot answer for ${address} at interface ${name}`;
    const body = proxyBody(this.#index(name, action), address, protocol);
    this.#write(NEIGHBOUR_MESSAGE.NEW, body, action, REPLACE);
  }

  /** False when the interface or the entry was not there. */
  deleteProxy({ interface: name, address, protocol }: Omit<Proxy, 'family'>): boolean {
    const index = linkIndex(this.#socket.fd, name);
    if (index === undefined) return false;
    const action = `cannot cease to answer for ${address} at interface ${name}`;
    return this.#delete(NEIGHBOUR_MESSAGE.DELETE, proxyBody(index, address, protocol), action);
  }

  /** Where a VXLAN interface sends frames; none when there is no such interface. */
  forwardingEntries(link: string): ForwardingEntry[] {
    const index = linkIndex(this.#socket.fd, link);
    if (index === undefined) return [];
    const messages = this.#socket.dump({
      type: NEIGHBOUR_MESSAGE.GET,
      body: forwardingQuery(index),
      action: `cannot list the forwarding entries of ${link}`,
    });
    return present(messages.map(({ body }) => parseForwarding(body, index)));
  }

  /** Sets where frames for a MAC address go. */
  replaceForwardingEntry(link: string, entry: ForwardingEntry): void {
    const action = `cannot send ${entry.mac} of interface ${link} to ${entry.destination}`;
    const body = forwardingBody(this.#index(link, action), entry);
    this.#write(NEIGHBOUR_MESSAGE.NEW, body, action, REPLACE);
  }

  /** False when the interface or the entry was not there. */
  deleteForwardingEntry(link: string, entry: ForwardingEntry): boolean {
    const index = linkIndex(this.#socket.fd, link);
    if (index === undefined) return false;
    const action = `cannot forget where ${entry.mac} of interface ${link} goes`;
    return this.#delete(NEIGHBOUR_MESSAGE.DELETE, forwardingBody(index, entry), action);
  }

  close(): void {
    this.#socket.close();
  }

  #write(type: number, body: Uint8Array, action: string, flags = 0): void {
    this.#writes++;
    const request = { type, flags, body, action };
    if (this.#gathered) this.#gathered.push(request);
    else this.#socket.request(request);
  }

  #setLink(writer: AttributeWriter, action: string): void {
    this.#write(LINK_MESSAGE.SET, writer.finish(), action);
  }

  #delete(type: number, body: Uint8Array, action: string): boolean {
    try {
      this.#write(type, body, action);
      return true;
    } catch (error) {
      if (isRefusal(error, 'ENODEV', 'ESRCH', 'ENOENT', 'EADDRNOTAVAIL')) return false;
      throw error;
    }
  }

  /** A table that was never used does not exist for the kernel: no routes. */
  #dumpRoutes(body: Uint8Array): Uint8Array[] {
    try {
      const request = { type: ROUTE_MESSAGE.GET, body, action: 'cannot list routes' };
      return this.#socket.dump(request).map((message) => message.body);
    } catch (error) {
      if (isRefusal(error, 'ENOENT')) return [];
      throw error;
    }
  }

  #index(name: string, action: string): number {
    const index = linkIndex(this.#socket.fd, name);
    if (index !== undefined) return index;
    throw new NetlinkError(action, ERRNO.ENODEV, { detail: `there is no interface ${name}` });
  }

  #nameOf(): (index: number) => string {
    const names = new Map(this.links().map(({ index, name }) => [index, name]));
    return (index) => names.get(index) ?? `#${index}`;
  }
}

function present<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}

function isRefusal(error: unknown, ...codes: string[]): boolean {
  return error instanceof NetlinkError && codes.includes(error.code);
}

function routeText(route: Route): string {
  const via = route.gateway === undefined ? '' : ` via ${route.gateway}`;
  const out = route.interface === undefined ? '' : ` on ${route.interface}`;
  return `${route.type} ${route.destination}${via}${out} in table ${route.table}`;
}

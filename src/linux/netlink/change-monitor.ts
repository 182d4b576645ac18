// Hears of what others change in the kernel: routes, addresses, links, and one nftables table.
import { type AttributeMap, parseAttributes } from './attribute.ts';
import { ADDRESS_MESSAGE, NEIGHBOUR_MESSAGE } from './address-message.ts';
import { LINK_MESSAGE, linkName, parseLink } from './link-message.ts';
import type { NetlinkMessage } from './message.ts';
import { ROUTE_MESSAGE, ROUTE_PROTOCOL, ROUTE_TABLE } from './route-message.ts';
import { NETLINK_PROTOCOL, NetlinkSocket } from './socket.ts';

export interface ChangeMonitorOptions {
  readonly namespace?: number;
  /** Name of the table of family inet. */
  readonly table: string;
  /** Of routes: those of this protocol count, and those of the main table to interfaces whose names begin so. */
  readonly protocol: number;
  readonly routesTo: () => readonly string[];
  /** Names of interfaces that count, with their neighbours and forwarding entries. */
  readonly links: ReadonlySet<string>;
  /** Ports of the sockets whose changes are our own; see `NetlinkSocket.port`. */
  readonly own: { readonly routes: number; readonly nftables: number };
}

/** What somebody else has changed. */
export interface KernelChanges {
  readonly routes: boolean;
  readonly addresses: boolean;
  readonly links: boolean;
  /** Of all interfaces together, such as whether the host forwards; changes of our own too, which have no name. */
  readonly settings: boolean;
  readonly table: boolean;
}

/** What `read` saw, our own changes among it. */
export interface InterfaceMessages {
  readonly links: number;
  readonly addresses: number;
}

/** Groups of linux/rtnetlink.h, and of linux/netfilter/nfnetlink.h. */
const ROUTE_GROUPS = [1, 3, 5, 9, 7, 11, 24, 25] as const;
const NFTABLES_GROUP = 7;
const NFTABLES_SUBSYSTEM = 10;
const NEW_GENERATION = 15;
const TABLE_NAME = 1;
const NETFILTER_HEADER = 4;
/** struct rtmsg of linux/rtnetlink.h, and RTA_OIF. */
const ROUTE_TABLE_BYTE = 4;
const ROUTE_PROTOCOL_BYTE = 5;
const ROUTE_HEADER = 12;
const ROUTE_INTERFACE = 4;
/** RTM_NEWNETCONF of linux/rtnetlink.h; NETCONFA_IFINDEX of linux/netconf.h, which is -1 for all interfaces. */
const CONFIGURATION_MESSAGE = 80;
const CONFIGURATION_HEADER = 4;
const CONFIGURATION_INTERFACE = 1;
const ALL_INTERFACES = 0xffff_ffff;
/** struct ndmsg of linux/neighbour.h: the interface's index. */
const NEIGHBOUR_INDEX = 4;

/**
 * Two sockets of notifications, which name the socket that made each change. Lost notifications count as changes
 * of everything.
 */
export class ChangeMonitor {
  readonly #options: ChangeMonitorOptions;
  readonly #route: NetlinkSocket;
  readonly #nftables: NetlinkSocket;
  #lost = 0;
  #seen: InterfaceMessages = { links: 0, addresses: 0 };

  private constructor(options: ChangeMonitorOptions) {
    const place = options.namespace === undefined ? {} : { namespace: options.namespace };
    this.#options = options;
    this.#route = NetlinkSocket.open(NETLINK_PROTOCOL.ROUTE, { ...place, groups: ROUTE_GROUPS });
    this.#nftables = NetlinkSocket.open(NETLINK_PROTOCOL.NETFILTER, {
      ...place,
      groups: [NFTABLES_GROUP],
    });
  }

  /** Throws SystemError. Needs CAP_NET_ADMIN. */
  static open(options: ChangeMonitorOptions): ChangeMonitor {
    return new ChangeMonitor(options);
  }

  /** Become readable when there is something to read. */
  get descriptors(): readonly number[] {
    return [this.#route.fd, this.#nftables.fd];
  }

  /** Messages about interfaces that the last `read` has read. */
  get seen(): InterfaceMessages {
    return this.#seen;
  }

  /** What others have changed since the last call; does not wait. */
  read(): KernelChanges {
    const messages = this.#route.receive();
    const isLink = ({ type }: NetlinkMessage): boolean =>
      type === LINK_MESSAGE.NEW || type === LINK_MESSAGE.DELETE;
    this.#seen = {
      links: messages.filter(isLink).length,
      addresses: messages.filter(isAddress).length,
    };
    const seen = (holds: (message: NetlinkMessage) => boolean) =>
      messages.some((message) => message.port !== this.#options.own.routes && holds(message));
    const table = this.#readTable();
    const lost = this.#route.overruns + this.#nftables.overruns;
    const hasLost = lost !== this.#lost;
    this.#lost = lost;
    return {
      routes: hasLost || seen((message) => this.#isRoute(message)),
      addresses: hasLost || seen(isAddress),
      links: hasLost || seen((message) => this.#isLink(message) || this.#isNeighbour(message)),
      settings: hasLost || seen(isOfAllInterfaces),
      table: hasLost || table,
    };
  }

  close(): void {
    this.#route.close();
    this.#nftables.close();
  }

  #isRoute({ type, body }: NetlinkMessage): boolean {
    const isRoute = type === ROUTE_MESSAGE.NEW || type === ROUTE_MESSAGE.DELETE;
    if (!isRoute) return false;
    return body[ROUTE_PROTOCOL_BYTE] === this.#options.protocol || this.#isToNamed(body);
  }

  #isToNamed(body: Uint8Array): boolean {
    const isOfKernel = body[ROUTE_PROTOCOL_BYTE] === ROUTE_PROTOCOL.KERNEL;
    if (isOfKernel || body[ROUTE_TABLE_BYTE] !== ROUTE_TABLE.MAIN) return false;
    const index = parseAttributes(body.subarray(ROUTE_HEADER)).u32(ROUTE_INTERFACE);
    const name = index === undefined ? undefined : linkName(this.#route.fd, index);
    return name !== undefined && this.#options.routesTo().some((it) => name.startsWith(it));
  }

  #isLink({ type, body }: NetlinkMessage): boolean {
    if (type !== LINK_MESSAGE.NEW && type !== LINK_MESSAGE.DELETE) return false;
    return this.#options.links.has(parseLink(body)?.name ?? '');
  }

  #isNeighbour({ type, body }: NetlinkMessage): boolean {
    if (type !== NEIGHBOUR_MESSAGE.NEW && type !== NEIGHBOUR_MESSAGE.DELETE) return false;
    if (body.length < NEIGHBOUR_INDEX + 4) return false;
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    const name = linkName(this.#route.fd, view.getInt32(NEIGHBOUR_INDEX, true));
    return name !== undefined && this.#options.links.has(name);
  }

  /** Each kind of change names its table first. */
  #readTable(): boolean {
    let changed = false;
    for (const { type, body, port } of this.#nftables.receive()) {
      if (type >> 8 !== NFTABLES_SUBSYSTEM || port === this.#options.own.nftables) continue;
      const attributes: AttributeMap = parseAttributes(body.subarray(NETFILTER_HEADER));
      if ((type & 0xff) === NEW_GENERATION) continue;
      changed ||= attributes.string(TABLE_NAME) === this.#options.table;
    }
    return changed;
  }
}

function isOfAllInterfaces({ type, body }: NetlinkMessage): boolean {
  if (type !== CONFIGURATION_MESSAGE || body.length < CONFIGURATION_HEADER) return false;
  const attributes = parseAttributes(body.subarray(CONFIGURATION_HEADER));
  return attributes.u32(CONFIGURATION_INTERFACE) === ALL_INTERFACES;
}

function isAddress({ type }: NetlinkMessage): boolean {
  return type === ADDRESS_MESSAGE.NEW || type === ADDRESS_MESSAGE.DELETE;
}

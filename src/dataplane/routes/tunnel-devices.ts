// Makes the host's VXLAN devices equal to the desired tunnels: device, address, neighbours, where frames go.
import { FAMILIES, type Family, familyBits } from '#lib';
import {
  type ForwardingEntry,
  type Link,
  type LinkAddress,
  type Neighbour,
  SystemError,
  type VxlanOptions,
} from '#linux';
import type { HostSettings, VxlanTunnel } from '#calc/dataplane-update';
import { TUNNEL_DEVICE } from '../rules/names.ts';
import type { ApplyError } from '../rules/ruleset.ts';
import { tunnelMtu } from './mtu.ts';

/** What the driver needs of rtnetlink. */
export interface TunnelKernel {
  link(name: string): Link | undefined;
  links(): Link[];
  createVxlan(options: VxlanOptions): void;
  deleteLink(name: string): boolean;
  setMac(name: string, mac: string): void;
  setMtu(name: string, mtu: number): void;
  checksumOffload(name: string): boolean | undefined;
  setChecksumOffload(name: string, on: boolean): void;
  setUp(name: string): void;
  addresses(): LinkAddress[];
  addAddress(name: string, prefix: string, options?: { readonly noDad?: boolean }): void;
  deleteAddress(name: string, prefix: string): boolean;
  neighbours(): Neighbour[];
  replaceNeighbour(neighbour: { link: string; address: string; mac: string }): void;
  deleteNeighbour(neighbour: { link: string; address: string }): boolean;
  forwardingEntries(link: string): ForwardingEntry[];
  replaceForwardingEntry(link: string, entry: ForwardingEntry): void;
  deleteForwardingEntry(link: string, entry: ForwardingEntry): boolean;
}

export interface TunnelReport {
  readonly errors: readonly ApplyError[];
  /** What somebody else had changed since the last apply. */
  readonly repaired: readonly string[];
}

/** What was made last, to tell a repair from a change, and to see at a glance that it is still there. */
interface Made {
  readonly tunnel: VxlanTunnel;
  readonly settings: HostSettings;
  readonly index: number | undefined;
}

/** Owns the devices of the names in TUNNEL_DEVICE, and touches no other. */
export class TunnelDevices {
  readonly #kernel: TunnelKernel;
  readonly #made = new Map<Family, Made>();
  /** What the kernel refused, and of what; undefined: it was to go. */
  readonly #refused = new Map<
    Family,
    { readonly of: VxlanTunnel | undefined; error: ApplyError }
  >();
  /** Families of which nothing of ours is there. */
  readonly #absent = new Set<Family>();
  #resync = true;

  constructor(kernel: TunnelKernel) {
    this.#kernel = kernel;
  }

  /**
   * The next apply looks at every part of the devices, not only whether they are there, and tries again what was
   * refused.
   */
  resync(): void {
    this.#resync = true;
    this.#refused.clear();
  }

  apply(tunnels: readonly VxlanTunnel[], settings: HostSettings): TunnelReport {
    const errors: ApplyError[] = [];
    const repaired: string[] = [];
    for (const family of FAMILIES) {
      const tunnel = tunnels.find((it) => it.family === family);
      const refused = this.#refused.get(family);
      if (refused && refused.of === tunnel) {
        errors.push(refused.error);
        continue;
      }
      this.#refused.delete(family);
      try {
        if (tunnel) repaired.push(...this.#ensure(family, tunnel, settings));
        else this.#remove(family);
      } catch (error) {
        if (!(error instanceof SystemError || error instanceof RangeError)) throw error;
        const told = { what: `tunnel ${TUNNEL_DEVICE[family]}`, message: error.message };
        errors.push(told);
        this.#refused.set(family, { of: tunnel, error: told });
        this.#made.delete(family);
      }
    }
    this.#resync = false;
    return { errors, repaired };
  }

  #remove(family: Family): void {
    this.#made.delete(family);
    if (this.#absent.has(family) && !this.#resync) return;
    const name = TUNNEL_DEVICE[family];
    if (this.#kernel.link(name)?.kind === 'vxlan') this.#kernel.deleteLink(name);
    this.#absent.add(family);
  }

  #ensure(family: Family, tunnel: VxlanTunnel, settings: HostSettings): readonly string[] {
    this.#absent.delete(family);
    const name = TUNNEL_DEVICE[family];
    const made = this.#made.get(family);
    const same = made?.tunnel === tunnel && made.settings === settings;
    const link = this.#kernel.link(name);
    if (same && !this.#resync && link?.up && link.index === made.index) return [];
    const changes = this.#make(name, tunnel, settings);
    const index = changes.length === 0 ? link?.index : this.#kernel.link(name)?.index;
    this.#made.set(family, { tunnel, settings, index });
    return same ? changes : [];
  }

  /** Makes what is missing or different; says what that was. */
  #make(name: string, tunnel: VxlanTunnel, settings: HostSettings): string[] {
    const links = this.#kernel.links();
    const addresses = this.#kernel.addresses();
    const parent = parentOf(tunnel, links, addresses);
    const mtu = tunnelMtu(tunnel, links, settings);
    const { mac, vni, port, underlay: local } = tunnel;
    const changes: string[] = [];
    const change = (what: string, make: () => unknown) => {
      make();
      changes.push(`interface ${name}: ${what}`);
    };
    let link = links.find((it) => it.name === name);
    if (link && !fits(link, tunnel, parent)) {
      change('it was another device', () => this.#kernel.deleteLink(name));
      link = undefined;
    }
    if (!link) {
      const options = { name, vni, port, local, parent: parent.name, mac, mtu };
      change('it was not there', () => this.#kernel.createVxlan(options));
    } else {
      if (link.mac !== mac) change('its MAC address', () => this.#kernel.setMac(name, mac));
      if (link.mtu !== mtu) change('its MTU', () => this.#kernel.setMtu(name, mtu));
    }
    const { checksumOffload } = settings;
    if (this.#kernel.checksumOffload(name) !== checksumOffload) {
      const set = () => this.#kernel.setChecksumOffload(name, checksumOffload);
      change('its checksum offload', set);
    }
    if (!link?.up) change('it was down', () => this.#kernel.setUp(name));
    this.#makeAddress(name, tunnel, addresses, change);
    this.#makeNeighbours(name, tunnel, change);
    this.#makeForwarding(name, tunnel, change);
    return changes;
  }

  #makeAddress(
    name: string,
    { family, address }: VxlanTunnel,
    addresses: readonly LinkAddress[],
    change: Change,
  ): void {
    const wanted = `${address}/${familyBits(family)}`;
    const own = addresses.filter((it) => it.interface === name && it.scope !== 'link');
    for (const { prefix } of own.filter((it) => it.prefix !== wanted)) {
      change(`address ${prefix}`, () => this.#kernel.deleteAddress(name, prefix));
    }
    if (own.some(({ prefix }) => prefix === wanted)) return;
    change(`address ${wanted}`, () => this.#kernel.addAddress(name, wanted, { noDad: true }));
  }

  #makeNeighbours(name: string, { peers }: VxlanTunnel, change: Change): void {
    const wanted = new Map(peers.map(({ address, mac }) => [address, mac]));
    const own = this.#kernel.neighbours().filter((it) => it.interface === name && it.permanent);
    for (const { address } of own.filter((it) => !wanted.has(it.address))) {
      const neighbour = { link: name, address };
      change(`neighbour ${address}`, () => this.#kernel.deleteNeighbour(neighbour));
    }
    const held = new Map(own.map(({ address, mac }) => [address, mac]));
    for (const [address, mac] of wanted) {
      if (held.get(address) === mac) continue;
      const neighbour = { link: name, address, mac };
      change(`neighbour ${address}`, () => this.#kernel.replaceNeighbour(neighbour));
    }
  }

  #makeForwarding(name: string, { peers }: VxlanTunnel, change: Change): void {
    const wanted = new Map(peers.map(({ mac, underlay }) => [mac, underlay]));
    const own = this.#kernel.forwardingEntries(name);
    for (const entry of own.filter(({ mac }) => !wanted.has(mac))) {
      change(`way to ${entry.mac}`, () => this.#kernel.deleteForwardingEntry(name, entry));
    }
    const held = new Map(own.map(({ mac, destination }) => [mac, destination]));
    for (const [mac, destination] of wanted) {
      if (held.get(mac) === destination) continue;
      const entry = { mac, destination };
      change(`way to ${mac}`, () => this.#kernel.replaceForwardingEntry(name, entry));
    }
  }
}

type Change = (what: string, make: () => unknown) => void;

function parentOf(
  { underlay }: VxlanTunnel,
  links: readonly Link[],
  addresses: readonly LinkAddress[],
): Link {
  const name = addresses.find(({ prefix }) => prefix.split('/')[0] === underlay)?.interface;
  const parent = links.find((link) => link.name === name);
  if (parent) return parent;
  throw new RangeError(`no interface of this host has ${underlay}, which its Node names`);
}

/** Whether the device is ours as far as it cannot be changed in place. */
function fits({ kind, vxlan }: Link, tunnel: VxlanTunnel, parent: Link): boolean {
  return (
    kind === 'vxlan' &&
    vxlan?.vni === tunnel.vni &&
    vxlan.port === tunnel.port &&
    vxlan.local === tunnel.underlay &&
    vxlan.parent === parent.index &&
    !vxlan.learning
  );
}

// Has the host's interfaces answer for addresses in their subnets (spec 04: localSubnetL2Reachability).
import {
  DeltaTracker,
  formatAddress,
  type Family,
  parseAddress,
  parsePrefix,
  prefixContains,
} from '#lib';
import { type Link, type LinkAddress, type Proxy, ROUTE_PROTOCOL, SystemError } from '#linux';
import type { DataplaneState } from '#calc/dataplane-update';
import { IPIP_DEVICE, TUNNEL_DEVICE } from '../rules/names.ts';
import type { ApplyError } from '../rules/ruleset.ts';

/** What the driver needs of the kernel. */
export interface ProxyKernel {
  links(): Link[];
  addresses(): LinkAddress[];
  proxies(): Proxy[];
  addProxy(proxy: Omit<Proxy, 'family'>): void;
  deleteProxy(proxy: Omit<Proxy, 'family'>): boolean;
}

/** Writes a setting below `/proc/sys`. */
export interface ProxySysctls {
  read(path: string): string;
  write(path: string, value: string): void;
}

/** An address at an interface that answers for it. */
export interface Answered {
  readonly address: string;
  readonly interface: string;
  readonly mac: string;
  readonly index: number;
}

const OWN_DEVICES: readonly string[] = [...Object.values(TUNNEL_DEVICE), IPIP_DEVICE, 'lo'];

/** Entries of protocol 80 are ours, and no others. */
export class ProxiedNeighbours {
  readonly #kernel: ProxyKernel;
  readonly #sysctls: ProxySysctls;
  readonly #tracker = new DeltaTracker<string, Proxy>((a, b) => a.protocol === b.protocol);
  #answered: readonly Answered[] = [];
  #applied: DataplaneState['proxied'] | undefined;
  #resync = true;

  constructor(kernel: ProxyKernel, sysctls: ProxySysctls) {
    this.#kernel = kernel;
    this.#sysctls = sysctls;
  }

  /** The next apply looks at the host's interfaces and entries. */
  resync(): void {
    this.#resync = true;
  }

  /** What interfaces answer for now. */
  get answered(): readonly Answered[] {
    return this.#answered;
  }

  /** `begun`: what is answered for since this apply. */
  apply(state: Pick<DataplaneState, 'proxied' | 'settings'>): {
    readonly errors: readonly ApplyError[];
    readonly begun: readonly Answered[];
  } {
    const { proxied } = state;
    // A host that never answered for anybody has nothing to be looked at.
    if (!this.#resync && this.#applied === proxied) return { errors: [], begun: [] };
    this.#resync = false;
    this.#applied = proxied;
    const errors: ApplyError[] = [];
    try {
      const own = this.#kernel
        .proxies()
        .filter(({ protocol }) => protocol === ROUTE_PROTOCOL.TORTIE);
      this.#tracker.replaceActual(own.map((one) => [keyOf(one), one] as const));
      const wanted = proxied.length === 0 ? [] : this.#wanted(state);
      this.#tracker.replaceDesired(wanted.map((one) => [keyOf(one), proxyOf(one)] as const));
      const before = new Set(this.#answered.map(keyOf));
      this.#change(errors);
      this.#answered = wanted.filter((one) => this.#tracker.actual.has(keyOf(one)));
      return { errors, begun: this.#answered.filter((one) => !before.has(keyOf(one))) };
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      errors.push({ what: 'proxied neighbours', message: error.message });
      return { errors, begun: [] };
    }
  }

  #change(errors: ApplyError[]): void {
    const attempt = (what: string, change: () => void): void => {
      try {
        change();
      } catch (error) {
        if (!(error instanceof SystemError || (error instanceof Error && 'code' in error)))
          throw error;
        errors.push({ what, message: error.message });
      }
    };
    for (const [key, proxy] of this.#tracker.pendingDeletes()) {
      attempt(`proxied ${proxy.address}`, () => {
        this.#kernel.deleteProxy(proxy);
        this.#tracker.deleteActual(key);
      });
    }
    for (const [key, proxy] of this.#tracker.pendingUpdates()) {
      attempt(`proxied ${proxy.address}`, () => {
        if (proxy.family === 6) this.#allow(proxy.interface);
        this.#kernel.addProxy(proxy);
        this.#tracker.setActual(key, proxy);
      });
    }
  }

  /** IPv6 answers for others only where that is switched on. */
  #allow(name: string): void {
    const path = `net/ipv6/conf/${name}/proxy_ndp`;
    if (this.#sysctls.read(path).trim() !== '1') this.#sysctls.write(path, '1');
  }

  /** Each address at each of the host's interfaces that has it in its subnet. */
  #wanted({ proxied, settings }: Pick<DataplaneState, 'proxied' | 'settings'>): Answered[] {
    const { workloadPrefixes, excludedInterfaces } = settings;
    const excluded = excludedInterfaces.map((pattern) => new RegExp(pattern));
    const links = new Map(
      this.#kernel
        .links()
        .filter(({ name }) => !OWN_DEVICES.includes(name))
        .filter(({ name }) => !workloadPrefixes.some((prefix) => name.startsWith(prefix)))
        .filter(({ name }) => !excluded.some((pattern) => pattern.test(name)))
        .map((link) => [link.name, link]),
    );
    const subnets = this.#kernel.addresses().flatMap(({ interface: name, prefix, scope }) => {
      const link = links.get(name);
      const subnet = parsePrefix(prefix);
      if (!link?.up || link.mac === undefined || !subnet || scope === 'link') return [];
      return [{ link, mac: link.mac, subnet }];
    });
    const found = proxied.flatMap((text) => {
      const address = parseAddress(text);
      if (!address || (address.family === 6 && !settings.ipv6)) return [];
      const at = subnets.filter(({ subnet }) => prefixContains(subnet, address));
      return at.map(({ link, mac }) => ({
        address: formatAddress(address),
        interface: link.name,
        mac,
        index: link.index,
      }));
    });
    return [...new Map(found.map((one) => [keyOf(one), one])).values()];
  }
}

function keyOf(one: { readonly interface: string; readonly address: string }): string {
  return `${one.interface} ${one.address}`;
}

function proxyOf({ address, interface: name }: Answered): Proxy {
  const family: Family = parseAddress(address)?.family ?? 4;
  return { family, address, interface: name, protocol: ROUTE_PROTOCOL.TORTIE };
}

// Makes the host's IPIP device as it is desired: there, up, with its address and MTU.
import { type Link, type LinkAddress, SystemError } from '#linux';
import type { HostSettings, IpipTunnel } from '#calc/dataplane-update';
import { IPIP_DEVICE } from '../rules/names.ts';
import type { ApplyError } from '../rules/ruleset.ts';
import { ipipMtu } from './mtu.ts';

/** What the driver needs of rtnetlink. */
export interface IpipKernel {
  link(name: string): Link | undefined;
  links(): Link[];
  createIpip(name: string): void;
  setMtu(name: string, mtu: number): void;
  setUp(name: string): void;
  setDown(name: string): void;
  addresses(): LinkAddress[];
  addAddress(name: string, prefix: string): void;
  deleteAddress(name: string, prefix: string): boolean;
}

/** What was made last, and what was refused of it. */
interface Made {
  readonly tunnel: IpipTunnel;
  readonly settings: HostSettings;
  readonly error: ApplyError | undefined;
}

/**
 * The device has the name of the one that the kernel itself makes when it can wrap so, and that nobody can delete:
 * others may use it too. It is taken down by the process alone that has set it up.
 */
export class IpipDevice {
  readonly #kernel: IpipKernel;
  #made: Made | undefined;
  #resync = true;

  constructor(kernel: IpipKernel) {
    this.#kernel = kernel;
  }

  /** The next apply looks at the device, and tries again what was refused. */
  resync(): void {
    this.#resync = true;
  }

  apply(
    tunnel: IpipTunnel | null,
    settings: HostSettings,
  ): { readonly errors: readonly ApplyError[]; readonly repaired: readonly string[] } {
    const before = this.#made;
    const isSame = before?.tunnel === tunnel && before?.settings === settings;
    if (isSame && !this.#resync && (before?.error || this.#kernel.link(IPIP_DEVICE)?.up)) {
      return { errors: before?.error ? [before.error] : [], repaired: [] };
    }
    this.#resync = false;
    let error: ApplyError | undefined;
    let changes: readonly string[] = [];
    try {
      changes = tunnel ? this.#make(tunnel, settings) : this.#remove();
    } catch (caught) {
      if (!(caught instanceof SystemError || caught instanceof RangeError)) throw caught;
      error = { what: `tunnel ${IPIP_DEVICE}`, message: caught.message };
    }
    this.#made = tunnel ? { tunnel, settings, error } : undefined;
    return { errors: error ? [error] : [], repaired: isSame ? changes : [] };
  }

  #make({ address, mtu }: IpipTunnel, settings: HostSettings): string[] {
    const changes: string[] = [];
    const change = (what: string, make: () => unknown) => {
      make();
      changes.push(`interface ${IPIP_DEVICE}: ${what}`);
    };
    // The kernel makes it by itself when it learns to.
    if (!this.#kernel.link(IPIP_DEVICE)) this.#create();
    const link = this.#kernel.link(IPIP_DEVICE);
    const wantedMtu = mtu || ipipMtu(this.#kernel.links(), settings);
    if (link?.mtu !== wantedMtu) {
      change('its MTU', () => this.#kernel.setMtu(IPIP_DEVICE, wantedMtu));
    }
    const own = this.#kernel.addresses().filter((it) => it.interface === IPIP_DEVICE);
    const wanted = address === null ? undefined : `${address}/32`;
    for (const { prefix, scope } of own) {
      if (prefix === wanted || scope === 'link') continue;
      change(`address ${prefix}`, () => this.#kernel.deleteAddress(IPIP_DEVICE, prefix));
    }
    if (wanted !== undefined && !own.some(({ prefix }) => prefix === wanted)) {
      change(`address ${wanted}`, () => this.#kernel.addAddress(IPIP_DEVICE, wanted));
    }
    if (!link?.up) change('it was down', () => this.#kernel.setUp(IPIP_DEVICE));
    return changes;
  }

  #create(): void {
    try {
      this.#kernel.createIpip(IPIP_DEVICE);
    } catch (error) {
      // The request itself had the kernel learn, which made the device.
      if (!(error instanceof SystemError && this.#kernel.link(IPIP_DEVICE))) throw error;
    }
  }

  #remove(): string[] {
    if (!this.#made || !this.#kernel.link(IPIP_DEVICE)) return [];
    for (const { interface: name, prefix, scope } of this.#kernel.addresses()) {
      if (name === IPIP_DEVICE && scope !== 'link') this.#kernel.deleteAddress(name, prefix);
    }
    this.#kernel.setDown(IPIP_DEVICE);
    return [];
  }
}

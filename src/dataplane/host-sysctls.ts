// The kernel's settings without which a host forwards nothing for its workloads (spec 04: ipForwarding).
import { FAMILIES, type Family } from '#lib';
import { SystemError } from '#linux';
import type { DataplaneState } from '#calc/dataplane-update';
import type { ApplyError } from './rules/ruleset.ts';

/** What the driver needs of the kernel's settings; paths are below `/proc/sys`. */
export interface SysctlKernel {
  read(path: string): string;
  write(path: string, value: string): void;
}

const FORWARDING: Readonly<Record<Family, string>> = {
  4: 'net/ipv4/ip_forward',
  6: 'net/ipv6/conf/all/forwarding',
};
const ON = '1';

/** Sets what is to be set, and looks after it. What others need is never switched off. */
export class HostSysctls {
  readonly #kernel: SysctlKernel;
  #set = new Set<string>();
  /** By path, what the kernel refused. */
  readonly #refused = new Map<string, ApplyError>();
  #resync = true;
  #writes = 0;

  constructor(kernel: SysctlKernel) {
    this.#kernel = kernel;
  }

  /** Settings written since the start. */
  get writes(): number {
    return this.#writes;
  }

  /** The next apply looks whether the settings still hold, and tries again what was refused. */
  resync(): void {
    this.#resync = true;
    this.#refused.clear();
  }

  /** `repaired`: what somebody else had changed. */
  apply({ settings }: DataplaneState): { errors: ApplyError[]; repaired: string[] } {
    const errors: ApplyError[] = [];
    const repaired: string[] = [];
    const families = FAMILIES.filter((family) => family === 4 || settings.ipv6);
    const wanted = settings.ipForwarding ? families.map((family) => FORWARDING[family]) : [];
    const before = this.#set;
    this.#set = new Set();
    for (const path of wanted) {
      const refused = this.#refused.get(path);
      if (refused) {
        errors.push(refused);
        continue;
      }
      try {
        if (this.#resync || !before.has(path)) {
          if (this.#kernel.read(path).trim() !== ON) {
            this.#kernel.write(path, ON);
            this.#writes++;
            if (before.has(path)) repaired.push(`sysctl ${path}`);
          }
        }
        this.#set.add(path);
      } catch (error) {
        if (!isRefusal(error)) throw error;
        const message = `cannot set it to ${ON}: ${error.message}`;
        this.#refused.set(path, { what: `sysctl ${path}`, message });
        errors.push({ what: `sysctl ${path}`, message });
      }
    }
    this.#resync = false;
    return { errors, repaired };
  }
}

/** A kernel without IPv6 has no such file; a container may not write it. */
function isRefusal(error: unknown): error is Error {
  return error instanceof SystemError || (error instanceof Error && 'code' in error);
}

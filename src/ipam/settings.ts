// What IPAMConfiguration and IPReservation say, as the allocator reads them (spec 01 and 05).
import type { IPAMConfiguration, IPReservation } from '#api';
import { type Address, type Prefix, maskPrefix, parsePrefix, prefixContains } from '#lib';
import { overlaps } from './pools.ts';

export interface Settings {
  readonly strictAffinity: boolean;
  readonly autoAllocateBlocks: boolean;
  /** 0: Calico's own limit. */
  readonly maxBlocksPerHost: number;
  /** How long a released address rests; milliseconds. */
  readonly restMs: number;
}

/** Blocks a node may claim of each family where nothing says otherwise (spec 05). */
const DEFAULT_MAX_BLOCKS = 20;

/** What holds without a configuration. */
export const DEFAULT_SETTINGS: Settings = {
  strictAffinity: false,
  autoAllocateBlocks: true,
  maxBlocksPerHost: 0,
  restMs: 0,
};

export function settingsOf(configuration: IPAMConfiguration | undefined): Settings {
  if (!configuration) return DEFAULT_SETTINGS;
  const { spec } = configuration;
  return {
    strictAffinity: spec.strictAffinity ?? false,
    autoAllocateBlocks: spec.autoAllocateBlocks ?? true,
    maxBlocksPerHost: spec.maxBlocksPerHost ?? 0,
    restMs: (spec.ipCooldownSeconds ?? 0) * 1000,
  };
}

/** What is wrong with the settings together; the schema sees only one field at a time. */
export function settingsProblems(settings: Settings): string[] {
  const problems: string[] = [];
  if (!settings.strictAffinity && !settings.autoAllocateBlocks) {
    problems.push('autoAllocateBlocks may be false only with strictAffinity');
  }
  if (!settings.strictAffinity && settings.maxBlocksPerHost > 0) {
    problems.push('maxBlocksPerHost above 0 needs strictAffinity');
  }
  return problems;
}

/** The least of the cluster's limit and the request's; 20 where both are 0. */
export function maxBlocks(settings: Settings, requested = 0): number {
  const limits = [settings.maxBlocksPerHost, requested].filter((limit) => limit > 0);
  return limits.length === 0 ? DEFAULT_MAX_BLOCKS : Math.min(...limits);
}

/** Addresses that are never given automatically. */
export class Reservations {
  readonly #prefixes: readonly Prefix[];

  constructor(reservations: readonly IPReservation[]) {
    this.#prefixes = reservations
      .flatMap(({ spec }) => spec.reservedCIDRs ?? [])
      .flatMap((text) => parsePrefix(text) ?? [])
      .map(maskPrefix);
  }

  get isEmpty(): boolean {
    return this.#prefixes.length === 0;
  }

  has(address: Address): boolean {
    return this.#prefixes.some((prefix) => prefixContains(prefix, address));
  }

  /** Masked. A block that one of them covers whole would be of no use. */
  get prefixes(): readonly Prefix[] {
    return this.#prefixes;
  }

  /** How many addresses of the prefix are reserved, each counted once. */
  countIn(prefix: Prefix): bigint {
    const within = this.#prefixes.filter((each) => overlaps(each, prefix));
    const width = BigInt(prefix.family === 4 ? 32 : 128);
    const sizeOf = (each: Prefix): bigint => 1n << (width - BigInt(each.length));
    if (within.some((each) => each.length <= prefix.length)) return sizeOf(prefix);
    const outer = within.filter(
      (each, index) =>
        !within.some(
          (other, at) =>
            at !== index &&
            prefixContains(other, each) &&
            (other.length < each.length || (other.length === each.length && at < index)),
        ),
    );
    return outer.reduce((sum, each) => sum + sizeOf(each), 0n);
  }
}

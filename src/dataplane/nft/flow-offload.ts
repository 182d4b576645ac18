// Established connections on the kernel's short way: a flowtable in a table of its own, which policy does not need.
import {
  type BaseChain,
  type Expression,
  type Flowtable,
  type Link,
  NftError,
  type NftOperation,
  type SetType,
  SystemError,
  type TableSnapshot,
  baseSignature,
  setSignature,
} from '#linux';
import type { DataplaneState, HostEndpoint } from '#calc/dataplane-update';
import { PRIORITY } from '../rules/static-chains.ts';
import { shortHash } from '../rules/names.ts';
import type { ApplyError } from '../rules/ruleset.ts';
import { interfaceHex } from './bytes.ts';
import { renderRule } from './render.ts';

/** Of family inet, beside the one that has all policy: whatever becomes of it, policy holds. */
export const OFFLOAD_TABLE = 'tortie-offload';
const FLOWTABLE = 'established';
const DEVICES = 'members';
const CHAIN = 'forward';
/** Before all that others hang at the ingress of a device. */
const INGRESS_PRIORITY = -300;
/** A flowtable is read in one message, which holds about so many names. */
const DEVICES_MAX = 1000;
const SET: SetType = { key: ['ifname'] };
/** Behind all that may deny a packet. */
const BASE: BaseChain = {
  type: 'filter',
  hook: 'forward',
  priority: PRIORITY.LAST + 1,
  policy: 'accept',
};

/** What is needed of nftables. */
export interface FlowtableKernel {
  readTable(name: string): TableSnapshot | undefined;
  readFlowtables(table: string): ReadonlyMap<string, Flowtable>;
  commit(operations: readonly NftOperation[]): void;
}

export interface FlowOffloadReport {
  readonly errors: readonly ApplyError[];
  /** What somebody else had changed. */
  readonly repaired: readonly string[];
  /** What is not to be had; everything else is done. */
  readonly warnings: readonly string[];
}

type OffloadState = Pick<DataplaneState, 'endpoints' | 'hostEndpoints' | 'settings'>;

export interface FlowOffloadSize {
  /** Interfaces that take part. */
  readonly devices: number;
  /** Interfaces of workloads that are not there. */
  readonly missing: number;
}

const NONE: FlowOffloadSize = { devices: 0, missing: 0 };
const NOTHING: FlowOffloadReport = { errors: [], repaired: [], warnings: [] };

/** The owner of the table. What it holds is found again in the kernel; devices that go are forgotten there. */
export class FlowOffload {
  readonly #kernel: FlowtableKernel;
  readonly #links: () => readonly Link[];
  /** Whether the table is as it should be but for devices; undefined: to be looked up. */
  #state: 'made' | 'absent' | undefined;
  #wasMade = false;
  #size = NONE;
  /** Keys of the set's elements; undefined: to be looked up. */
  #named: ReadonlySet<string> | undefined;
  /** Why the kernel has none. */
  #refused: string | undefined;
  /** What went wrong; nothing is tried again before a resync. */
  #failed: ApplyError | undefined;

  constructor(kernel: FlowtableKernel, links: () => readonly Link[]) {
    this.#kernel = kernel;
    this.#links = links;
  }

  /** As of the last apply. */
  get size(): FlowOffloadSize {
    return this.#size;
  }

  /** The next apply reads the table back, and tries again what the kernel did not have. */
  resync(): void {
    this.#state = undefined;
    this.#named = undefined;
    this.#refused = undefined;
    this.#failed = undefined;
  }

  apply(state: OffloadState): FlowOffloadReport {
    this.#size = NONE;
    if (this.#failed) return { ...NOTHING, errors: [this.#failed] };
    try {
      return state.settings.flowOffload === null ? this.#remove() : this.#make(state);
    } catch (error) {
      if (!(error instanceof NftError || error instanceof SystemError)) throw error;
      this.resync();
      this.#failed = { what: 'flow offload', message: error.message };
      return { ...NOTHING, errors: [this.#failed] };
    }
  }

  #remove(): FlowOffloadReport {
    this.#refused = undefined;
    this.#wasMade = false;
    if (this.#state === 'absent') return NOTHING;
    if (this.#kernel.readTable(OFFLOAD_TABLE)) {
      this.#kernel.commit([{ kind: 'delete-table', table: OFFLOAD_TABLE }]);
    }
    this.#state = 'absent';
    return NOTHING;
  }

  #make(state: OffloadState): FlowOffloadReport {
    if (this.#refused !== undefined) return { ...NOTHING, warnings: [this.#refused] };
    const repaired: string[] = [];
    if (this.#state !== 'made' && !this.#isMade()) {
      if (this.#wasMade) repaired.push(`nftables table inet ${OFFLOAD_TABLE}`);
      this.#refused = this.#create();
      if (this.#refused !== undefined) return { ...NOTHING, warnings: [this.#refused] };
    }
    this.#state = 'made';
    this.#wasMade = true;
    try {
      return { ...NOTHING, repaired, warnings: this.#follow(state) };
    } catch (error) {
      if (!(error instanceof NftError)) throw error;
      // An interface may have gone meanwhile, or somebody has taken the table away: look again, once.
      this.#named = undefined;
      if (!this.#isMade()) {
        repaired.push(`nftables table inet ${OFFLOAD_TABLE}`);
        this.#refused = this.#create();
      }
      return { ...NOTHING, repaired, warnings: this.#follow(state) };
    }
  }

  /** Whether the table is there, all but the devices. */
  #isMade(): boolean {
    const table = this.#kernel.readTable(OFFLOAD_TABLE);
    if (!table || table.dormant) return false;
    const chain = table.chains.get(CHAIN);
    const comments = chain?.rules.map((rule) => rule.comment) ?? [];
    return (
      chain?.base === baseSignature(BASE) &&
      JSON.stringify(comments) === JSON.stringify([COMMENT]) &&
      table.sets.get(DEVICES)?.signature === setSignature(SET) &&
      this.#kernel.readFlowtables(OFFLOAD_TABLE).get(FLOWTABLE)?.priority === INGRESS_PRIORITY
    );
  }

  /** Makes it anew, without devices; why that is not possible. */
  #create(): string | undefined {
    const table = OFFLOAD_TABLE;
    const flowtable = { flowtable: FLOWTABLE, priority: INGRESS_PRIORITY, devices: [] };
    const operations: NftOperation[] = [
      ...(this.#kernel.readTable(table) ? [{ kind: 'delete-table', table } as const] : []),
      { kind: 'add-table', table },
      { kind: 'add-set', table, set: DEVICES, type: SET },
      { kind: 'add-flowtable', table, ...flowtable },
      { kind: 'add-chain', table, chain: CHAIN, base: BASE },
      { kind: 'add-rule', table, chain: CHAIN, expressions: RULE, comment: COMMENT },
    ];
    this.#named = undefined;
    try {
      this.#kernel.commit(operations);
      return undefined;
    } catch (error) {
      if (!(error instanceof NftError && LACKING.includes(error.code))) throw error;
      return (
        'nftablesFlowTableOffload has no effect: this kernel has no flowtables (CONFIG_NF_FLOW_TABLE, ' +
        'CONFIG_NFT_FLOW_OFFLOAD); established connections go the ordinary way'
      );
    }
  }

  /** Makes the devices those that are wanted and there; what to tell. */
  #follow(state: OffloadState): string[] {
    const table = OFFLOAD_TABLE;
    this.#named ??= new Set(
      (this.#kernel.readTable(table)?.sets.get(DEVICES)?.elements ?? []).map(({ key }) => key),
    );
    const namedKeys = this.#named;
    const { wanted, missing, warnings } = wantedDevices(state, this.#links());
    const held = this.#kernel.readFlowtables(table).get(FLOWTABLE)?.devices;
    if (!held) throw new NftError(`flowtable ${FLOWTABLE} is gone`, 'ENOENT', undefined, undefined);
    const keys = new Map([...wanted].map((name) => [interfaceHex(name), name]));
    const operations: NftOperation[] = [];
    const change = (kind: 'add-elements' | 'delete-elements', list: readonly string[]) => {
      const elements = list.map((key) => ({ key }));
      if (list.length > 0) operations.push({ kind, table, set: DEVICES, elements });
    };
    const devices = (kind: 'add-flowtable' | 'delete-devices', list: readonly string[]) => {
      const what = { flowtable: FLOWTABLE, priority: INGRESS_PRIORITY, devices: list };
      if (list.length > 0) operations.push({ kind, table, ...what });
    };
    // A connection is taken up only between devices that are there already.
    change(
      'delete-elements',
      [...namedKeys].filter((key) => !keys.has(key)),
    );
    devices(
      'delete-devices',
      held.filter((name) => !wanted.has(name)),
    );
    devices(
      'add-flowtable',
      [...wanted].filter((name) => !held.includes(name)),
    );
    change(
      'add-elements',
      [...keys.keys()].filter((key) => !namedKeys.has(key)),
    );
    this.#kernel.commit(operations);
    this.#named = new Set(keys.keys());
    this.#size = { devices: wanted.size, missing };
    return warnings;
  }
}

/** The errors of a kernel that does not know what a flowtable is. */
const LACKING: readonly string[] = ['ENOENT', 'EOPNOTSUPP'];

const between = (way: 'in' | 'out'): Expression[] => [
  { kind: 'meta', key: way === 'in' ? 'iifname' : 'oifname', register: 1 },
  { kind: 'lookup', set: DEVICES, register: 1 },
];
const RULE: readonly Expression[] = [
  ...renderRule({ matches: [{ match: 'connection', states: ['established'] }], actions: [] }),
  ...between('in'),
  ...between('out'),
  { kind: 'flow-offload', flowtable: FLOWTABLE },
];
const COMMENT = `tortie:${shortHash(JSON.stringify(RULE))}:0`;

/**
 * Interfaces of workloads, and the host's that the pattern names, as far as they are there. Not those on which
 * untracked policy judges each packet by itself.
 */
function wantedDevices(
  { endpoints, hostEndpoints, settings }: OffloadState,
  links: readonly Link[],
): { wanted: ReadonlySet<string>; missing: number; warnings: string[] } {
  const workloads = new Set([...endpoints.values()].map(({ interfaceName }) => interfaceName));
  const pattern = settings.flowOffload?.hostInterfacePattern ?? '';
  const matching = regularExpression(pattern);
  const untracked = [...hostEndpoints.values()].filter(hasUntracked);
  const judged = new Set(untracked.map(({ interfaceName }) => interfaceName));
  const isHosts = (name: string) =>
    name !== 'lo' &&
    !settings.workloadPrefixes.some((prefix) => name.startsWith(prefix)) &&
    !judged.has(name) &&
    // An endpoint that goes by its addresses may be on any of them.
    !judged.has(null) &&
    (matching?.test(name) ?? false);
  const names = links
    .map(({ name }) => name)
    .filter((name) => workloads.has(name) || (pattern !== '' && isHosts(name)));
  const wanted = new Set(names.toSorted().slice(0, DEVICES_MAX));
  const left = names.length - wanted.size;
  const warnings: string[] = [];
  if (!matching) {
    const text = JSON.stringify(pattern);
    warnings.push(`nftablesFlowTableDataIfacePattern ${text} is no regular expression: left out`);
  }
  if (left > 0) {
    warnings.push(`${left} interfaces are not offloaded: a flowtable has at most ${DEVICES_MAX}`);
  }
  const present = new Set(names);
  const missing = [...workloads].filter((name) => !present.has(name)).length;
  return { wanted, missing, warnings };
}

function regularExpression(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern);
  } catch {
    return undefined;
  }
}

function hasUntracked({ untracked }: HostEndpoint): boolean {
  return untracked.ingress.length + untracked.egress.length > 0;
}

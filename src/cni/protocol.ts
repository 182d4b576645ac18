// What the plugin and the agent say to each other: one JSON line each way, and the CNI error codes.

/** What the plugin asks the agent. VERSION needs no agent. */
export type AgentCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS';

export interface CniRequest {
  readonly command: AgentCommand;
  /** `name` of the network configuration. */
  readonly network: string;
  /** Empty for GC and STATUS. */
  readonly containerId: string;
  /** Path of the pod's network namespace; empty where the runtime gave none. */
  readonly netns: string;
  readonly ifname: string;
  /** CNI_ARGS. */
  readonly args: Readonly<Record<string, string>>;
  /** `ipam` and `feature_control` of the network configuration, as they stand there. */
  readonly ipam?: unknown;
  readonly features?: unknown;
  /** GC: the attachments that still exist. */
  readonly validAttachments: readonly { readonly containerID: string; readonly ifname: string }[];
}

/** A CNI result in the newest form; the plugin writes it in the version that was asked for. */
export interface CniResult {
  readonly interfaces: readonly {
    readonly name: string;
    readonly mac: string;
    readonly mtu: number;
    readonly sandbox?: string;
  }[];
  readonly ips: readonly {
    readonly address: string;
    readonly gateway: string;
    /** Index into `interfaces`. */
    readonly interface: number;
  }[];
  readonly routes: readonly { readonly dst: string; readonly gw: string }[];
}

export interface CniFault {
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export type CniReply = { readonly result: CniResult | null } | { readonly error: CniFault };

/** Codes of the CNI specification 1.1; from 100 on they are ours. */
export const CNI_CODE = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  /** Also tells the runtime that it need not call DEL. */
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodeFailure: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  /** STATUS: cannot serve ADD. */
  notAvailable: 50,
  addressShortage: 100,
  kernelRefused: 101,
  differs: 102,
  internal: 999,
} as const;

/** The longest request or reply, in bytes. */
export const MAX_LINE = 1024 * 1024;

// What the thread that reads the kernel and the agent's own say to each other. Plain data only.
import type { ConnectionReport, RuleHit } from '#flows';

export interface FlowThreadOptions {
  /** NFLOG groups of policy decisions. */
  readonly groups: readonly number[];
  /** Descriptor of the node's network namespace; absent is the thread's own. */
  readonly namespace?: number;
  readonly intervalMs?: number;
  readonly maxConnections?: number;
  /** Sizes of the sockets' receive buffers. */
  readonly logBufferBytes?: number;
  readonly conntrackBufferBytes?: number;
}

/** What to find out about the sockets of connections, beside what the kernel tells by itself. */
export interface SocketDetails {
  readonly process: boolean;
  readonly tcp: boolean;
}

/** Sums since the thread began. */
export interface FlowReadingState {
  readonly groups: readonly {
    readonly group: number;
    readonly received: number;
    /** Messages of the kernel that these came in. */
    readonly datagrams: number;
    readonly lost: number;
    /** Packets that rules decided about, and that are none of IP. */
    readonly unreadable: number;
  }[];
  /** Connections that are followed. */
  readonly connections: number;
  /** How often connection events were lost; a listing makes up for them. */
  readonly overruns: number;
  /** Connections whose beginning, and whose end, no event told. */
  readonly lateStarts: number;
  readonly unsaidEnds: number;
  /** Packets given up since there were too many connections, and logged ones that nobody could name. */
  readonly dropped: number;
  readonly unnamed: number;
  /** Older connections that the first listing showed, and their packets until then: told before, or never. */
  readonly older: { readonly connections: number; readonly packets: number };
}

export type ToFlowThread =
  | {
      readonly type: 'hits';
      readonly hits: readonly (readonly [prefix: string, hit: RuleHit | null])[];
    }
  | { readonly type: 'locals'; readonly addresses: readonly string[] }
  | { readonly type: 'details'; readonly details: SocketDetails }
  /** The last reports have been taken: more may come. */
  | { readonly type: 'taken' }
  | { readonly type: 'stop' };

export type FromFlowThread =
  | { readonly type: 'ask'; readonly prefixes: readonly string[] }
  | { readonly type: 'reports'; readonly reports: readonly ConnectionReport[] }
  | { readonly type: 'state'; readonly state: FlowReadingState }
  /** How many seconds it took to take connections in, each time since the last message. */
  | { readonly type: 'read'; readonly seconds: readonly number[] };

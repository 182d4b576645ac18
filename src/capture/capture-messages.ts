// What the agent and its capturing thread say to each other. Plain data only.
import type { PacketFilter } from './packet-filter.ts';
import type { RingLimits } from './ring-file.ts';

/** What is captured of one pod by one capture. */
export interface PodPlan {
  /** `namespace/name` of the capture. */
  readonly capture: string;
  readonly directory: string;
  /** Of its files. */
  readonly stem: string;
  readonly interfaceName: string;
  /** `namespace/name` of the pod. */
  readonly pod: string;
  readonly filters: readonly PacketFilter[];
  /** Denied packets, and no others. */
  readonly deniedOnly: boolean;
  readonly limits: RingLimits;
}

/** Of one capture on this node, since the thread began. */
export interface CaptureCount {
  readonly capture: string;
  readonly packets: number;
  readonly dropped: number;
  /** Pods of which packets are read by now. */
  readonly open: number;
  /** What is wrong now. */
  readonly errors: readonly string[];
}

export type ToCaptureThread =
  /** All that is to be captured from now on. */
  | { readonly type: 'plan'; readonly pods: readonly PodPlan[] }
  /** Files of a folder, and the folder where it is empty then. What is captured goes on in new files. */
  | { readonly type: 'remove'; readonly directory: string; readonly id: number }
  | { readonly type: 'stop' };

export type FromCaptureThread =
  | { readonly type: 'counts'; readonly counts: readonly CaptureCount[] }
  | { readonly type: 'removed'; readonly id: number; readonly error?: string };

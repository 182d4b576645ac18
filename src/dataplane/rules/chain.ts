// Chains and rules as frozen data: what every backend of the dataplane prints in its own language.
import type { Action } from './action.ts';
import type { Match } from './match.ts';

/** All matches must hold; then the actions are carried out in order. */
export interface Rule {
  readonly matches: readonly Match[];
  readonly actions: readonly Action[];
}

/** Where a packet enters the chains by itself. Lower priorities come first at one hook. */
export interface Hook {
  readonly point: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
  /** `nat` chains see the first packet of a connection only. Absent is `filter`. */
  readonly type?: 'filter' | 'nat';
}

/** A packet that reaches the end of a hooked chain passes on; of any other, returns to the caller. */
export interface Chain {
  readonly name: string;
  readonly hook?: Hook;
  /** What the chain stands for, for people who read the kernel's rules. */
  readonly comment?: string;
  readonly rules: readonly Rule[];
}

// What the thread that makes interfaces and the agent's own say to each other. Plain data only.
import type { EnsuredInterface, InterfacePlace, PodInterface, Removal } from './pod-interface.ts';

export interface InterfaceThreadOptions {
  /** Descriptor of the node's network namespace. */
  readonly namespace: number;
}

/** What can be asked: of each its argument and its result. */
export interface InterfaceCalls {
  readonly ensure: {
    readonly argument: {
      readonly desired: PodInterface;
      /** Absent: the smallest of the node's own interfaces. */
      readonly mtu?: number;
    };
    readonly result: EnsuredInterface;
  };
  readonly differences: {
    readonly argument: { readonly desired: PodInterface };
    readonly result: string[];
  };
  readonly remove: {
    readonly argument: { readonly place: InterfacePlace; readonly isOwn: boolean };
    readonly result: Removal;
  };
}

export type InterfaceCallName = keyof InterfaceCalls;

export type InterfaceCall = {
  readonly [Name in InterfaceCallName]: {
    readonly id: number;
    readonly name: Name;
    readonly argument: InterfaceCalls[Name]['argument'];
  };
}[InterfaceCallName];

export type ToInterfaceThread = InterfaceCall | { readonly name: 'close' };

/** Calls are begun in their order; a removal is answered later than what was asked behind it. */
export type FromInterfaceThread =
  | { readonly id: number; readonly result: InterfaceCalls[InterfaceCallName]['result'] }
  /** `code`: see `CNI_CODE`. */
  | { readonly id: number; readonly fault: { readonly code: number; readonly message: string } };

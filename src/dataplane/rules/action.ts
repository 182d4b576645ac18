// What a rule does with a packet that matches.
import type { InterfaceWay } from './match.ts';

/**
 * `accept` and `drop` end the hooked chain; an accepted packet still meets later hooks. `dispatch`
 * jumps to the chain that a map names for the packet's interface, and goes on when it names none.
 * `log-packet` tells the flow log, `log-kernel` the kernel's log; both go on.
 */
export type Action =
  | { readonly action: 'accept' }
  | { readonly action: 'drop' }
  | { readonly action: 'return' }
  | { readonly action: 'jump'; readonly chain: string }
  | { readonly action: 'dispatch'; readonly map: string; readonly way: InterfaceWay }
  | { readonly action: 'log-packet'; readonly group: number; readonly prefix: string }
  | { readonly action: 'log-kernel'; readonly prefix: string }
  | { readonly action: 'count' }
  | { readonly action: 'set-mark'; readonly bit: number }
  | { readonly action: 'clear-mark'; readonly bit: number };

export const ACCEPT: Action = { action: 'accept' };
export const DROP: Action = { action: 'drop' };
export const RETURN: Action = { action: 'return' };
export const COUNT: Action = { action: 'count' };

// What a rule does with a packet that matches.
import type { Family } from '#lib';
import type { LogRate, PortRange } from '#calc/dataplane-update';
import type { InterfaceWay, PacketEnd } from './match.ts';
import type { MapKey } from './verdict-map.ts';

/**
 * `accept` and `drop` end the hooked chain; an accepted packet still meets later hooks. `dispatch`
 * jumps to the chain that a map names for the packet's interface, and goes on when it names none;
 * `look-up` goes to the chain that a verdict map names, and does not come back.
 * `log-packet` tells the flow log, `log-kernel` the kernel's log; both go on. `limit` ends the rule for packets that
 * come faster.
 */
export type Action =
  | { readonly action: 'accept' }
  | { readonly action: 'drop' }
  | { readonly action: 'return' }
  | { readonly action: 'jump'; readonly chain: string }
  | { readonly action: 'goto'; readonly chain: string }
  | {
      readonly action: 'look-up';
      readonly map: string;
      readonly key: MapKey;
      /** The map from what `key` is to the classes that `map` is asked for; absent, it is asked for `key`. */
      readonly classes?: string;
      /** `map` is asked for class and destination port. */
      readonly atPort?: true;
    }
  | {
      readonly action: 'dispatch';
      readonly map: string;
      readonly way: InterfaceWay;
      /** The map from interfaces to the classes that `map` is asked for; absent, it is asked for interfaces. */
      readonly classes?: string;
    }
  | { readonly action: 'log-packet'; readonly group: number; readonly prefix: string }
  | { readonly action: 'log-kernel'; readonly prefix: string }
  | { readonly action: 'limit'; readonly rate: LogRate }
  | { readonly action: 'count' }
  | { readonly action: 'set-mark'; readonly bit: number }
  | { readonly action: 'clear-mark'; readonly bit: number }
  | { readonly action: 'notrack' }
  /** Drops, and tells the sender. */
  | { readonly action: 'reject' }
  | { readonly action: 'masquerade'; readonly ports?: PortRange }
  /** To one address, in chains of type nat. */
  | {
      readonly action: 'translate';
      readonly end: PacketEnd;
      readonly family: Family;
      readonly address: string;
      readonly ports?: PortRange;
    };

export const ACCEPT: Action = { action: 'accept' };
export const DROP: Action = { action: 'drop' };
export const RETURN: Action = { action: 'return' };
export const COUNT: Action = { action: 'count' };

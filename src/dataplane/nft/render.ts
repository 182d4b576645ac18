// Prints chains as nftables expressions.
import { type Family, parseAddress, parsePrefix } from '#lib';
import type { PortRange } from '#calc/dataplane-update';
import { type BaseChain, CT_STATE, type Expression, type SetContent } from '#linux';
import type { Action } from '../rules/action.ts';
import type { Chain, Rule } from '../rules/chain.ts';
import type { ConnectionState, InterfaceWay, Match, PacketEnd } from '../rules/match.ts';
import { ipSetName } from '../rules/names.ts';
import type { MapKey } from '../rules/verdict-map.ts';
import { addressBytes, hostHex, interfaceHex, networkHex, prefixHex, textHex } from './bytes.ts';
import { type Interval, netIntervals, portIntervals } from '../rules/intervals.ts';
import { intervalElements } from './intervals.ts';

/** Bytes of each packet that the flow log gets: IPv6 and TCP headers, with some room for extensions. */
const SNAPLEN = 128;
const KERNEL_LOG_LEVEL = 4;
/** RTN_LOCAL of linux/rtnetlink.h. */
const LOCAL_ADDRESS = 2;

/** All sixteen bytes; the registers of four bytes from 8 on are the same memory. */
const REGISTER = 1;
const FIELD_REGISTER = 8;
const CLASSED_REGISTER = 12;

/** Numbers of the families as nftables tells them. */
export const NFPROTO: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };
const ADDRESS_OFFSET: Readonly<Record<Family, Readonly<Record<PacketEnd, number>>>> = {
  4: { source: 12, destination: 16 },
  6: { source: 8, destination: 24 },
};
const PORT_OFFSET: Readonly<Record<PacketEnd, number>> = { source: 0, destination: 2 };
const INTERFACE_KEY = { in: 'iifname', out: 'oifname' } as const;

/** One rule of a chain, with what it refers to. */
export interface RenderedChain {
  readonly base?: BaseChain;
  readonly rules: readonly (readonly Expression[])[];
}

export function renderChain(chain: Chain): RenderedChain {
  const rules = chain.rules.map(renderRule);
  if (!chain.hook) return { rules };
  const { point, priority, type = 'filter' } = chain.hook;
  return { base: { type, hook: point, priority, policy: 'accept' }, rules };
}

export function renderRule(rule: Rule): Expression[] {
  return [...rule.matches.flatMap(renderMatch), ...rule.actions.flatMap(renderAction)];
}

function renderMatch(match: Match): Expression[] {
  switch (match.match) {
    case 'family':
      return [
        { kind: 'meta', key: 'nfproto', register: REGISTER },
        compare(networkHex(NFPROTO[match.family], 1)),
      ];
    case 'protocol':
      return [
        { kind: 'meta', key: 'l4proto', register: REGISTER },
        oneOf(match.protocols, 'inet_proto', match.negated),
      ];
    case 'nets':
      return [loadAddress(match.end, match.family), ...inNets(match)];
    case 'ip-set':
      return [
        loadAddress(match.end, match.family),
        lookup(
          ipSetName(match.set, match.exact ? 'address' : 'net', match.family),
          REGISTER,
          match.negated,
        ),
      ];
    case 'ports':
      return [loadPort(match.end), inPorts(portIntervals(match.ports), match.negated)];
    case 'ip-port-set':
      return ipPortLookup(match);
    case 'icmp':
      return icmp(match);
    case 'interface':
      return [loadInterface(match.way), compare(textHex(match.prefix), match.negated)];
    case 'interface-name':
      return [loadInterface(match.way), compare(interfaceHex(match.name), match.negated)];
    case 'connection':
      return [{ kind: 'ct', key: 'state', register: REGISTER }, ...anyBit(stateBits(match.states))];
    case 'mark':
      return [{ kind: 'meta', key: 'mark', register: REGISTER }, ...anyBit(match.bit)];
    case 'local':
      return [
        { kind: 'fib', question: `${match.end}-address-type`, register: REGISTER },
        compare(hostHex(LOCAL_ADDRESS), match.negated),
      ];
    case 'source-not-routed-back':
      return [
        { kind: 'fib', question: 'source-route-by-input-interface-present', register: REGISTER },
        compare(networkHex(0, 4)),
      ];
    default:
      return match satisfies never;
  }
}

const SECONDS = { second: 1, minute: 60, hour: 3_600, day: 86_400 } as const;

function renderAction(action: Action): Expression[] {
  switch (action.action) {
    case 'accept':
    case 'drop':
    case 'return':
      return [{ kind: 'verdict', verdict: { kind: action.action } }];
    case 'jump':
    case 'goto':
      return [{ kind: 'verdict', verdict: { kind: action.action, chain: action.chain } }];
    case 'look-up':
      return lookUp(action);
    case 'dispatch':
      return dispatch(action);
    case 'log-packet': {
      const { group, prefix } = action;
      return [{ kind: 'log', group, prefix, snaplen: SNAPLEN }];
    }
    case 'log-kernel':
      return [{ kind: 'log', level: KERNEL_LOG_LEVEL, prefix: action.prefix }];
    case 'limit': {
      const { packets, per, burst } = action.rate;
      return [{ kind: 'limit', packets, seconds: SECONDS[per], burst }];
    }
    case 'count':
      return [{ kind: 'counter' }];
    case 'set-mark':
      return changeMark(action.bit, action.bit);
    case 'clear-mark':
      return changeMark(action.bit, 0);
    case 'notrack':
      return [{ kind: 'notrack' }];
    case 'reject':
      return [{ kind: 'reject', answer: 'admin-prohibited' }];
    case 'masquerade':
      return [...loadPorts(action.ports), masquerade(action.ports)];
    case 'translate':
      return translate(action);
    default:
      return action satisfies never;
  }
}

function compare(value: string, negated = false): Expression {
  return { kind: 'cmp', operator: negated ? 'neq' : 'eq', register: REGISTER, value };
}

function lookup(set: string | SetContent, register: number, negated = false): Expression {
  return { kind: 'lookup', set, register, ...(negated && { negated }) };
}

/**
 * What is in CLASSED_REGISTER becomes its class, in the same register. The map's values begin with four bytes of
 * nothing, which go into the register before it: so nft, which cannot list a look-up of what a look-up has found,
 * takes the second one for a look-up of the same as the first.
 */
function toClass(classes: string): Expression {
  return { kind: 'lookup', set: classes, register: CLASSED_REGISTER, into: CLASSED_REGISTER - 1 };
}

function loadAddress(end: PacketEnd, family: Family, register = REGISTER): Expression {
  const offset = ADDRESS_OFFSET[family][end];
  return { kind: 'payload', base: 'network', offset, length: addressBytes(family), register };
}

function lookUp({ map, key, classes, atPort }: Action & { action: 'look-up' }): Expression[] {
  const register = classes === undefined ? FIELD_REGISTER : CLASSED_REGISTER;
  return [
    ...loadKey(key, register),
    ...(classes === undefined ? [] : [toClass(classes)]),
    ...(atPort ? [loadPort('destination', register + 1)] : []),
    { kind: 'lookup', set: map, register, verdict: true },
  ];
}

/** Fields side by side in registers of four bytes. */
function loadKey(key: MapKey, register: number): Expression[] {
  switch (key.by) {
    case 'service':
      return [
        { kind: 'meta', key: 'nfproto', register },
        { kind: 'meta', key: 'l4proto', register: register + 1 },
      ];
    case 'port':
      return [loadPort('destination', register)];
    case 'address':
      return [loadAddress(key.end, key.family, register)];
    case 'class':
    case 'class-port':
      return [];
    default:
      return key satisfies never;
  }
}

function loadPort(end: PacketEnd, register = REGISTER): Expression {
  return { kind: 'payload', base: 'transport', offset: PORT_OFFSET[end], length: 2, register };
}

function dispatch({ map, way, classes }: Action & { action: 'dispatch' }): Expression[] {
  const register = classes === undefined ? REGISTER : CLASSED_REGISTER;
  return [
    loadInterface(way, register),
    ...(classes === undefined ? [] : [toClass(classes)]),
    { kind: 'lookup', set: map, register, verdict: true },
  ];
}

function loadInterface(way: InterfaceWay, register = REGISTER): Expression {
  return { kind: 'meta', key: INTERFACE_KEY[way], register };
}

function oneOf(
  values: readonly number[],
  field: 'inet_proto' | 'icmp_type',
  negated?: boolean,
): Expression {
  const [first = 0] = values;
  if (values.length === 1) return compare(networkHex(first, 1), negated);
  const elements = values.map((value) => ({ key: networkHex(value, 1) }));
  return lookup({ type: { key: [field] }, elements }, REGISTER, negated);
}

function inNets(match: Match & { match: 'nets' }): Expression[] {
  const { family, nets, negated } = match;
  const [first] = nets;
  const only = nets.length === 1 && first !== undefined ? parsePrefix(first) : undefined;
  if (only) {
    const { first: value, mask } = prefixHex(only);
    if (/^f+$/.test(mask)) return [compare(value, negated)];
    const xor = networkHex(0, addressBytes(family));
    return [{ kind: 'bitwise', register: REGISTER, mask, xor }, compare(value, negated)];
  }
  const bytes = addressBytes(family);
  const elements = netIntervals(nets, family).flatMap((item) => intervalElements(item, bytes));
  const field = family === 4 ? 'ipv4_addr' : 'ipv6_addr';
  return [lookup({ type: { key: [field], interval: true }, elements }, REGISTER, negated)];
}

function inPorts(ports: readonly Interval[], negated?: boolean): Expression {
  const [first] = ports;
  if (ports.length === 1 && first) {
    const [from, to] = [networkHex(first[0], 2), networkHex(first[1], 2)];
    if (from === to) return compare(from, negated);
    return { kind: 'range', operator: negated ? 'neq' : 'eq', register: REGISTER, from, to };
  }
  const elements = ports.flatMap((interval) => intervalElements(interval, 2));
  return lookup({ type: { key: ['inet_service'], interval: true }, elements }, REGISTER, negated);
}

/** Address, protocol and port side by side in registers of four bytes. */
function ipPortLookup(match: Match & { match: 'ip-port-set' }): Expression[] {
  const { end, family, set, negated } = match;
  const protocolRegister = FIELD_REGISTER + addressBytes(family) / 4;
  return [
    loadAddress(end, family, FIELD_REGISTER),
    { kind: 'meta', key: 'l4proto', register: protocolRegister },
    loadPort(end, protocolRegister + 1),
    lookup(ipSetName(set, 'ip-port', family), FIELD_REGISTER, negated),
  ];
}

/** Type and code are the first two bytes of the header. */
function icmp(match: Match & { match: 'icmp' }): Expression[] {
  const { types, code, negated } = match;
  const length = code === undefined ? 1 : 2;
  const load: Expression = {
    kind: 'payload',
    base: 'transport',
    offset: 0,
    length,
    register: REGISTER,
  };
  if (code === undefined) return [load, oneOf(types, 'icmp_type', negated)];
  const [type = 0] = types;
  return [load, compare(networkHex(type, 1) + networkHex(code, 1), negated)];
}

function stateBits(states: readonly ConnectionState[]): number {
  return states.reduce((bits, state) => bits | CT_STATE[state], 0);
}

/** Goes on when the register, in host order, has one of the bits. */
function anyBit(bits: number): Expression[] {
  return [
    { kind: 'bitwise', register: REGISTER, mask: hostHex(bits), xor: hostHex(0) },
    { kind: 'cmp', operator: 'neq', register: REGISTER, value: hostHex(0) },
  ];
}

/** Sets the bits of `mask` to those of `value`; all others stay. */
function changeMark(mask: number, value: number): Expression[] {
  return [
    { kind: 'meta', key: 'mark', register: REGISTER },
    { kind: 'bitwise', register: REGISTER, mask: hostHex(~mask), xor: hostHex(value) },
    { kind: 'meta-set', key: 'mark', register: REGISTER },
  ];
}

/** Registers that an address in register 1 leaves free. */
const PORT_REGISTERS = { first: 12, last: 13 } as const;

function loadPorts(ports: PortRange | undefined): Expression[] {
  if (!ports) return [];
  const [first, last] = ports;
  return [
    { kind: 'value', register: PORT_REGISTERS.first, value: networkHex(first, 2) },
    { kind: 'value', register: PORT_REGISTERS.last, value: networkHex(last, 2) },
  ];
}

function masquerade(ports: PortRange | undefined): Expression {
  return { kind: 'masquerade', random: true, ...(ports && { ports: PORT_REGISTERS }) };
}

function translate(action: Action & { action: 'translate' }): Expression[] {
  const { end, family, ports } = action;
  const value = networkHex(parseAddress(action.address)?.bits ?? 0n, addressBytes(family));
  const nat: Expression = { kind: 'nat', end, family, address: REGISTER };
  return [
    { kind: 'value', register: REGISTER, value },
    ...loadPorts(ports),
    { ...nat, ...(ports && { ports: PORT_REGISTERS }), ...(end === 'source' && { random: true }) },
  ];
}

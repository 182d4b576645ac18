// An API rule as the conditions that `mismatches` checks; what cannot be read is a problem with its path.
import type { EntityRule, Icmp, Port, Rule } from '#api';
import { maskPrefix, parsePrefix, type Prefix } from '#lib';
import { SelectorError } from '#selector';
import { isIcmp, PROTOCOL_NUMBERS } from './packet.ts';
import type { IcmpMatch, MatchEntity, MatchRule, PortList, PortSet } from './rule-match.ts';
import { type EntitySelection, entitySelection } from './scoped-selector.ts';
import { type AddressBook, protocolNumber } from './world-objects.ts';

/** Where the rules being compiled stand, and where problems go. */
export interface RuleScope {
  readonly book: AddressBook;
  /** The policy's namespace; undefined for global policies and profiles. */
  readonly namespace: string | undefined;
  readonly report: (path: string, message: string) => void;
}

/** Compiles the rules of one direction; a rule with a problem is reported and left out. */
export function compileRules(rules: readonly Rule[], path: string, scope: RuleScope): MatchRule[] {
  return rules.flatMap((rule, index) => {
    const compiled = compileRule(rule, index, `${path}[${index}]`, scope);
    return compiled ? [compiled] : [];
  });
}

function compileRule(
  rule: Rule,
  index: number,
  path: string,
  scope: RuleScope,
): MatchRule | undefined {
  let sound = true;
  const report = (field: string, message: string) => {
    sound = false;
    scope.report(`${path}.${field}`, message);
  };
  const inner: RuleScope = { ...scope, report };
  const protocol = readProtocol(rule.protocol, 'protocol', report);
  const notProtocol = readProtocol(rule.notProtocol, 'notProtocol', report);
  const icmp = readIcmp(rule.icmp, 'icmp', protocol, report);
  const notIcmp = readIcmp(rule.notICMP, 'notICMP', protocol, report);
  if (rule.http && rule.action !== 'Allow') report('http', 'only goes with action Allow');
  const compiled: MatchRule = {
    action: rule.action,
    index,
    ...(rule.ipVersion === 4 || rule.ipVersion === 6 ? { ipVersion: rule.ipVersion } : {}),
    ...(protocol === undefined ? {} : { protocol }),
    ...(notProtocol === undefined ? {} : { notProtocol }),
    ...(icmp ? { icmp } : {}),
    ...(notIcmp ? { notIcmp } : {}),
    ...(rule.http ? { http: true } : {}),
    source: compileEntity(rule.source ?? {}, 'source', protocol, inner),
    destination: compileEntity(rule.destination ?? {}, 'destination', protocol, inner),
  };
  return sound ? compiled : undefined;
}

type Report = (path: string, message: string) => void;

function readProtocol(
  protocol: string | number | undefined,
  path: string,
  report: Report,
): number | undefined {
  if (protocol === undefined) return undefined;
  const number = protocolNumber(protocol);
  if (number === undefined) report(path, `"${protocol}" is no protocol: give a name or a number`);
  return number;
}

/** A match is by type, with a code or without, under a protocol that has types. */
function readIcmp(
  icmp: Icmp | undefined,
  path: string,
  protocol: number | undefined,
  report: Report,
): IcmpMatch | undefined {
  const { type, code } = icmp ?? {};
  if (type === undefined) {
    if (code !== undefined) report(`${path}.code`, 'a code needs a type');
    return undefined;
  }
  if (protocol === undefined || !isIcmp(protocol)) report(path, 'needs protocol ICMP or ICMPv6');
  return { type, ...(code === undefined ? {} : { code }) };
}

function compileEntity(
  entity: EntityRule,
  side: 'source' | 'destination',
  protocol: number | undefined,
  scope: RuleScope,
): MatchEntity {
  const selection = readSelection(entity, side, scope);
  const portProtocol = namedPortProtocol(protocol);
  const named = (name: string) => scope.book.namedPort(name, portProtocol, selection);
  const nets = readNets(entity.nets, `${side}.nets`, scope.report);
  const notNets = readNets(entity.notNets, `${side}.notNets`, scope.report);
  const reading = { protocol, named, report: scope.report };
  const ports = readPorts(entity.ports, `${side}.ports`, reading);
  const notPorts = readPorts(entity.notPorts, `${side}.notPorts`, reading);
  const service = readService(entity, side, scope);
  const positive = selection.positive.length > 0 ? [scope.book.selected(selection)] : [];
  const negative =
    selection.positive.length === 0 && selection.negative
      ? [scope.book.selected({ positive: [selection.negative] })]
      : [];
  return {
    ...(nets ? { nets } : {}),
    ...(notNets ? { notNets } : {}),
    sets: [
      ...positive,
      ...(service && side === 'source'
        ? [scope.book.serviceAddresses(service.namespace, service.name)]
        : []),
    ],
    notSets: negative,
    ...(ports ? { ports } : {}),
    ...(notPorts ? { notPorts } : {}),
    services:
      service && side === 'destination'
        ? [scope.book.servicePorts(service.namespace, service.name)]
        : [],
  };
}

interface ServiceName {
  readonly namespace: string;
  readonly name: string;
}

/** A service at a destination brings its own ports. */
function readService(
  { services, ports = [] }: EntityRule,
  side: 'source' | 'destination',
  { namespace: own, report }: RuleScope,
): ServiceName | undefined {
  if (!services) return undefined;
  const { name, namespace = own } = services;
  if (side === 'destination' && ports.length > 0) {
    report(`${side}.ports`, 'a service brings its own ports');
  }
  if (name && namespace) return { namespace, name };
  report(`${side}.services`, 'needs a name, and a namespace in a policy without one');
  return undefined;
}

function readSelection(
  entity: EntityRule,
  side: 'source' | 'destination',
  scope: RuleScope,
): EntitySelection {
  try {
    return entitySelection(entity, scope.namespace);
  } catch (error) {
    if (!(error instanceof SelectorError)) throw error;
    scope.report(side, error.message);
    return { positive: [] };
  }
}

/** A rule without protocol means TCP where it names ports, as upstream takes it. */
function namedPortProtocol(protocol: number | undefined): number {
  if (protocol === undefined || isIcmp(protocol)) return PROTOCOL_NUMBERS.tcp;
  return protocol;
}

function readNets(
  nets: readonly string[] | undefined,
  path: string,
  report: Report,
): Prefix[] | undefined {
  if (!nets || nets.length === 0) return undefined;
  return nets.flatMap((text, index) => {
    const prefix = parsePrefix(text);
    if (prefix) return [maskPrefix(prefix)];
    report(`${path}[${index}]`, `"${text}" is no address or prefix`);
    return [];
  });
}

interface PortReading {
  /** Of the rule. */
  readonly protocol: number | undefined;
  readonly named: (name: string) => PortSet;
  readonly report: Report;
}

const PROTOCOLS_WITH_PORTS: readonly number[] = [
  PROTOCOL_NUMBERS.tcp,
  PROTOCOL_NUMBERS.udp,
  PROTOCOL_NUMBERS.sctp,
];

function readPorts(
  ports: readonly Port[] | undefined,
  path: string,
  { protocol, named, report }: PortReading,
): PortList | undefined {
  if (!ports || ports.length === 0) return undefined;
  const ranges: (readonly [number, number])[] = [];
  const sets: PortSet[] = [];
  for (const [index, port] of ports.entries()) {
    const range = /^(\d+)(?::(\d+))?$/.exec(String(port));
    if (!range) {
      sets.push(named(String(port)));
      continue;
    }
    const first = Number(range[1]);
    const last = Number(range[2] ?? range[1]);
    if (first < 1 || first > last || last > 65535) {
      report(`${path}[${index}]`, `"${port}" is no port range: give first:last from 1 to 65535`);
    }
    ranges.push([first, last]);
  }
  if (ranges.length > 0 && (protocol === undefined || !PROTOCOLS_WITH_PORTS.includes(protocol))) {
    report(path, 'numbers of ports need protocol TCP, UDP or SCTP');
  }
  return { ranges, named: sets, text: ports.join(',') };
}

// Rules for a policy rule that no schema can say (spec 01, 1.3).
import { type Family, formatPrefix, maskPrefix, parsePrefix } from '#lib';
import type { Problem } from './kind.ts';
import { annotationProblems } from './metadata-check.ts';
import { protocolHasPorts } from './number-or-text.ts';
import { caution, fault, quoted } from './problem.ts';
import type { EntityRule, Icmp, Port, Protocol, Rule } from './rule.ts';

export interface RulePlace {
  /** Field path of the rule. */
  readonly path: string;
  readonly direction: 'ingress' | 'egress';
  /** Whether the policy lies in a namespace, so that services need not name theirs. */
  readonly namespaced: boolean;
}

const ICMP_FAMILY = new Map<Protocol, Family>([
  ['ICMP', 4],
  [1, 4],
  ['ICMPv6', 6],
  [58, 6],
]);

/** Everything wrong with a rule that fits the schema. */
export function ruleProblems(rule: Rule, place: RulePlace): Problem[] {
  const { path } = place;
  return [
    ...icmpProblems(rule, rule.icmp, `${path}.icmp`),
    ...icmpProblems(rule, rule.notICMP, `${path}.notICMP`),
    ...familyProblems(rule, path),
    ...hostBitProblems(rule, path),
    ...(['source', 'destination'] as const).flatMap((side) => {
      const entity = rule[side] ?? {};
      return [
        ...portProblems(rule, entity, `${path}.${side}`),
        ...catchAllProblems(entity.notNets, `${path}.${side}.notNets`),
        ...serviceProblems(entity, side, place),
      ];
    }),
    ...httpProblems(rule, place),
    ...annotationProblems(rule.metadata?.annotations, `${path}.metadata.annotations`),
  ];
}

function icmpProblems(rule: Rule, icmp: Icmp | undefined, path: string): Problem[] {
  if (!icmp) return [];
  const problems: Problem[] = [];
  if (icmp.code !== undefined && icmp.type === undefined) {
    problems.push(fault(`${path}.code`, 'a code needs a type; add type'));
  }
  const empty = icmp.code === undefined && icmp.type === undefined;
  if (!empty && (rule.protocol === undefined || !ICMP_FAMILY.has(rule.protocol))) {
    const message = `needs protocol ICMP or ICMPv6, is with ${quoted(rule.protocol ?? 'none')}`;
    problems.push(fault(path, message));
  }
  return problems;
}

/** All addresses of a rule are of one family, and of the one that it names. */
function familyProblems(rule: Rule, path: string): Problem[] {
  const problems: Problem[] = [];
  for (const field of ['protocol', 'notProtocol'] as const) {
    const protocol = rule[field];
    const family = protocol === undefined ? undefined : ICMP_FAMILY.get(protocol);
    if (family !== undefined && rule.ipVersion !== undefined && rule.ipVersion !== family) {
      const message = `${quoted(protocol)} goes with ipVersion ${family}, not ${rule.ipVersion}`;
      problems.push(fault(`${path}.${field}`, message));
    }
  }
  let family: number | undefined = rule.ipVersion;
  let because = 'ipVersion';
  for (const { net, at } of networksOf(rule, path)) {
    const own = parsePrefix(net)?.family;
    if (own === undefined) continue;
    if (family !== undefined && own !== family) {
      const message = `${quoted(net)} is IPv${own}, but ${because} says IPv${family}; use a rule for each family`;
      problems.push(fault(at, message));
    } else if (family === undefined) {
      family = own;
      because = at;
    }
  }
  return problems;
}

/** Let through: only the masked bits count, which may be less than the author meant. */
function hostBitProblems(rule: Rule, path: string): Problem[] {
  return networksOf(rule, path).flatMap(({ net, at }) => {
    const prefix = parsePrefix(net);
    const masked = prefix && maskPrefix(prefix);
    if (!prefix || !masked || masked.bits === prefix.bits) return [];
    return [
      caution(at, `${quoted(net)} has host bits set; it means ${quoted(formatPrefix(masked))}`),
    ];
  });
}

function networksOf(rule: Rule, path: string): { net: string; at: string }[] {
  return (['source', 'destination'] as const).flatMap((side) =>
    (['nets', 'notNets'] as const).flatMap((field) =>
      (rule[side]?.[field] ?? []).map((net, index) => ({
        net,
        at: `${path}.${side}.${field}[${index}]`,
      })),
    ),
  );
}

function catchAllProblems(notNets: readonly string[] | undefined, path: string): Problem[] {
  return (notNets ?? []).flatMap((net, index) =>
    parsePrefix(net)?.length === 0
      ? [
          fault(
            `${path}[${index}]`,
            `${quoted(net)} excludes every address; the rule never matches`,
          ),
        ]
      : [],
  );
}

function portProblems(rule: Rule, entity: EntityRule, path: string): Problem[] {
  const { protocol } = rule;
  return (['ports', 'notPorts'] as const).flatMap((field) => {
    const ports = entity[field] ?? [];
    if (protocol === undefined) {
      const index = ports.findIndex((port) => !isName(port));
      if (index < 0) return [];
      const message = `${quoted(ports[index])} needs a protocol; add protocol TCP, UDP or SCTP to the rule`;
      return [fault(`${path}.${field}[${index}]`, message)];
    }
    if (ports.length === 0 || protocolHasPorts(protocol)) return [];
    return [
      fault(`${path}.${field}`, `protocol ${quoted(protocol)} has no ports; use TCP, UDP or SCTP`),
    ];
  });
}

function isName(port: Port): boolean {
  return typeof port === 'string' && !/^\d+:\d+$/.test(port);
}

const NOT_WITH_SERVICES = [
  'selector',
  'notSelector',
  'namespaceSelector',
  'nets',
  'notNets',
  'serviceAccounts',
] as const;

function serviceProblems(
  entity: EntityRule,
  side: 'source' | 'destination',
  place: RulePlace,
): Problem[] {
  const { services } = entity;
  if (!services) return [];
  const path = `${place.path}.${side}.services`;
  const problems: Problem[] = [];
  if (!services.name) problems.push(fault(`${path}.name`, 'is required'));
  if (!services.namespace && !place.namespaced) {
    problems.push(fault(`${path}.namespace`, 'is required in a policy without a namespace'));
  }
  const rightSide = place.direction === 'egress' ? 'destination' : 'source';
  if (side !== rightSide) {
    const message = `an ${place.direction} rule may only name services as ${rightSide}`;
    problems.push(fault(path, message));
  }
  const clashing: (keyof EntityRule)[] = NOT_WITH_SERVICES.filter((field) => isSet(entity[field]));
  if (side === 'destination') {
    clashing.push(...(['ports', 'notPorts'] as const).filter((field) => isSet(entity[field])));
  }
  if (clashing.length > 0) {
    problems.push(fault(path, `cannot stand beside ${clashing.join(', ')}; use a rule for each`));
  }
  return problems;
}

function isSet(value: EntityRule[keyof EntityRule]): boolean {
  if (value === undefined || value === '') return false;
  return Array.isArray(value) ? value.length > 0 : true;
}

function httpProblems(rule: Rule, place: RulePlace): Problem[] {
  const { http } = rule;
  if (!http) return [];
  const path = `${place.path}.http`;
  const problems: Problem[] = [];
  if (rule.action !== 'Allow') {
    problems.push(fault(path, `only goes with action Allow, not ${rule.action}`));
  }
  if (place.direction === 'egress') problems.push(fault(path, 'only goes with ingress rules'));
  if (rule.protocol !== undefined && rule.protocol !== 'TCP' && rule.protocol !== 6) {
    problems.push(fault(path, `needs protocol TCP or none, not ${quoted(rule.protocol)}`));
  }
  for (const [index, { exact, prefix }] of (http.paths ?? []).entries()) {
    if ((exact === undefined) === (prefix === undefined)) {
      problems.push(fault(`${path}.paths[${index}]`, 'needs either exact or prefix'));
    }
  }
  return problems;
}

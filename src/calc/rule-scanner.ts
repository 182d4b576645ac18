// Turns policy rules into the dataplane's: selectors, named ports and services become IP sets (spec 02, 2.2).
import type { EntityRule, Icmp, Rule } from '#api';
import type { Family } from '#lib';
import { parseSelector, SelectorError } from '#selector';
import type { DataplaneEntity, DataplaneRule } from './dataplane-update.ts';
import {
  type IpSetDefinition,
  namedPortSet,
  selectorSet,
  serviceSet,
} from './ip-set-definition.ts';
import type { ProblemLog } from './problem-log.ts';
import {
  InvalidMatch,
  type ParsedPorts,
  parseNets,
  parsePorts,
  parseProtocol,
  portProtocol,
} from './rule-match.ts';
import { entitySelectors } from './selector-scope.ts';

export interface ScanContext {
  /** The policy's own namespace, null for global policies and profiles. */
  readonly namespace: string | null;
  readonly problems: ProblemLog;
  /** Filled with every set that the rules refer to. */
  readonly ipSets: Map<string, IpSetDefinition>;
}

/**
 * Rules that can never match are left out; the others keep their author's index. A rule that cannot be
 * understood fails closed: Deny matches every packet, any other action none.
 */
export function scanRules(
  rules: readonly Rule[],
  path: string,
  context: ScanContext,
): DataplaneRule[] {
  const scanned: DataplaneRule[] = [];
  for (const [index, rule] of rules.entries()) {
    const result = scanFailClosed(rule, index, `${path}[${index}]`, context);
    if (result) scanned.push(result);
  }
  return scanned;
}

function scanFailClosed(
  rule: Rule,
  index: number,
  path: string,
  context: ScanContext,
): DataplaneRule | undefined {
  try {
    const found: IpSetDefinition[] = [];
    const scanned = scanRule(rule, index, context.namespace, found);
    if (scanned) for (const set of found) context.ipSets.set(set.id, set);
    return scanned;
  } catch (error) {
    if (!(error instanceof SelectorError || error instanceof InvalidMatch)) throw error;
    context.problems.add(path, error.message);
    const end: DataplaneEntity = { ipSets: [], notIpSets: [] };
    return rule.action === 'Deny'
      ? { action: 'Deny', index, source: end, destination: end }
      : undefined;
  }
}

function scanRule(
  rule: Rule,
  index: number,
  namespace: string | null,
  found: IpSetDefinition[],
): DataplaneRule | undefined {
  if (rule.http) {
    throw new InvalidMatch(
      'HTTP conditions need the application layer, which is not enforced here',
    );
  }
  const protocol = rule.protocol === undefined ? undefined : parseProtocol(rule.protocol);
  const end = { protocol, namespace, found };
  const source = scanEntity(rule.source ?? {}, { ...end, isSource: true });
  const destination = scanEntity(rule.destination ?? {}, { ...end, isSource: false });
  const families = familiesOf(rule, [source, destination]);
  if (source === NEVER || destination === NEVER || families.length === 0) return undefined;
  const [ipVersion] = families.length === 1 ? families : [];
  return {
    action: rule.action,
    index,
    ...(ipVersion && { ipVersion }),
    ...(protocol !== undefined && { protocol }),
    ...(rule.notProtocol !== undefined && { notProtocol: parseProtocol(rule.notProtocol) }),
    ...icmpMatch('icmp', rule.icmp, protocol),
    ...icmpMatch('notIcmp', rule.notICMP, protocol),
    source,
    destination,
  };
}

/** A prefix list of one family alone, positive or negated, switches the rule off for the other. */
function familiesOf(rule: Rule, ends: readonly DataplaneEntity[]): Family[] {
  const lists = ends.flatMap((end) => [end.nets ?? [], end.notNets ?? []]);
  return ([4, 6] as const).filter((family) => {
    if (rule.ipVersion !== undefined && rule.ipVersion !== family) return false;
    return lists.every(
      (list) => list.length === 0 || list.some((net) => net.includes(':') === (family === 6)),
    );
  });
}

function icmpMatch(
  field: 'icmp' | 'notIcmp',
  icmp: Icmp | undefined,
  protocol: number | undefined,
): Partial<Pick<DataplaneRule, 'icmp' | 'notIcmp'>> {
  if (icmp?.type === undefined) {
    if (icmp?.code !== undefined) throw new InvalidMatch('an ICMP code needs an ICMP type');
    return {};
  }
  if (protocol !== 1 && protocol !== 58) {
    throw new InvalidMatch('a match on ICMP types needs protocol ICMP or ICMPv6');
  }
  const match = { type: icmp.type, ...(icmp.code !== undefined && { code: icmp.code }) };
  return { [field]: match };
}

/** Stands for an end that nothing satisfies. */
const NEVER: DataplaneEntity = { nets: [], ipSets: [], notIpSets: [] };

interface EntityContext {
  readonly protocol: number | undefined;
  readonly namespace: string | null;
  readonly found: IpSetDefinition[];
  readonly isSource: boolean;
}

function scanEntity(entity: EntityRule, context: EntityContext): DataplaneEntity {
  const { positive, negative } = entitySelectors(entity, context.namespace);
  const ports = parsePorts(entity.ports, context.protocol);
  const notPorts = parsePorts(entity.notPorts, context.protocol);
  const service = entity.services && serviceOf(entity, context);
  const scope = positive ?? parseSelector('all()');
  const protocol = portProtocol(context.protocol);
  const portSets = (parsed: ParsedPorts | undefined): IpSetDefinition[] =>
    protocol ? (parsed?.names ?? []).map((name) => namedPortSet(scope, protocol, name)) : [];

  const namedPorts = portSets(ports);
  if (ports && ports.ranges.length === 0 && namedPorts.length === 0) return NEVER;
  // Named ports alone already stay within the selector: their sets hold its endpoints only.
  const covered = ports !== undefined && ports.ranges.length === 0;
  const ipSets = positive && !covered ? [selectorSet(positive)] : [];
  if (service && context.isSource) ipSets.push(service);
  else if (service) namedPorts.push(service);
  const notIpSets = negative ? [selectorSet(negative)] : [];
  const notNamedPorts = portSets(notPorts);
  context.found.push(...ipSets, ...notIpSets, ...namedPorts, ...notNamedPorts);

  const nets = parseNets(entity.nets);
  const notNets = parseNets(entity.notNets);
  return {
    ...(nets && { nets }),
    ...(notNets && { notNets }),
    ipSets: idsOf(ipSets),
    notIpSets: idsOf(notIpSets),
    ...(ports && ports.ranges.length > 0 && { ports: ports.ranges }),
    ...(namedPorts.length > 0 && { namedPortSets: idsOf(namedPorts) }),
    ...(notPorts && notPorts.ranges.length > 0 && { notPorts: notPorts.ranges }),
    ...(notNamedPorts.length > 0 && { notNamedPortSets: idsOf(notNamedPorts) }),
  };
}

/** A source is matched by address alone, a destination by address, protocol and port. */
function serviceOf(entity: EntityRule, context: EntityContext): IpSetDefinition {
  const { name, namespace = context.namespace } = entity.services ?? {};
  if (!name || !namespace)
    throw new InvalidMatch('a match on a Service needs its name and namespace');
  if (!context.isSource && (entity.ports?.length ?? 0) > 0) {
    throw new InvalidMatch('a match on a Service brings its own ports: leave ports out');
  }
  return serviceSet(`${namespace}/${name}`, !context.isSource);
}

function idsOf(sets: readonly IpSetDefinition[]): string[] {
  return [...new Set(sets.map((set) => set.id))];
}

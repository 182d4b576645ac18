// Whether one rule matches everything that another matches: sound, and silent where it cannot tell.
import type { EntityRule, Icmp, Port, Rule } from '#api';
import { type Family, maskPrefix, parsePrefix, type Prefix, prefixContains } from '#lib';
import { isIcmp, PROTOCOL_NUMBERS } from '../packet.ts';
import type { EntitySelection } from '../scoped-selector.ts';
import { protocolNumber } from '../world-objects.ts';
import { conjunction, type RuleView, SIDES, type Side } from './policy-view.ts';
import { implies } from './selector-implication.ts';

/** True only where every packet that `later` matches, at the same endpoint, `earlier` matches as well. */
export function covers(earlier: RuleView, later: RuleView): boolean {
  const [a, b] = [earlier.rule, later.rule];
  if (a.http !== undefined) return false;
  return (
    (a.ipVersion === undefined || familiesOf(b).every((family) => family === a.ipVersion)) &&
    protocolCovers(a, b) &&
    icmpCovers(a, b) &&
    SIDES.every((side) => sideCovers(earlier, later, side))
  );
}

function protocolCovers(a: Rule, b: Rule): boolean {
  const own = numberOf(b.protocol);
  if (a.protocol !== undefined && numberOf(a.protocol) !== own) return false;
  if (a.notProtocol === undefined) return true;
  const excluded = numberOf(a.notProtocol);
  return (own !== undefined && own !== excluded) || numberOf(b.notProtocol) === excluded;
}

function numberOf(protocol: Rule['protocol']): number | undefined {
  return protocol === undefined ? undefined : protocolNumber(protocol);
}

function icmpCovers(a: Rule, b: Rule): boolean {
  if (isGiven(a.icmp) && !(isGiven(b.icmp) && icmpIncludes(a.icmp, b.icmp))) return false;
  if (!isGiven(a.notICMP)) return true;
  if (isGiven(b.notICMP) && icmpIncludes(b.notICMP, a.notICMP)) return true;
  const protocol = numberOf(b.protocol);
  if (protocol !== undefined && !isIcmp(protocol)) return true;
  return isGiven(b.icmp) && areDisjoint(a.notICMP, b.icmp);
}

/** Without a type it is no condition, as the engine takes it. */
function isGiven(icmp: Icmp | undefined): icmp is Icmp {
  return icmp?.type !== undefined;
}

function icmpIncludes(outer: Icmp, inner: Icmp): boolean {
  return outer.type === inner.type && (outer.code === undefined || outer.code === inner.code);
}

function areDisjoint(a: Icmp, b: Icmp): boolean {
  const codes = a.code !== undefined && b.code !== undefined && a.code !== b.code;
  return a.type !== b.type || codes;
}

function sideCovers(earlier: RuleView, later: RuleView, side: Side): boolean {
  const [a, b] = [earlier.rule[side] ?? {}, later.rule[side] ?? {}];
  if (JSON.stringify(a) === JSON.stringify(b) && sameSelection(earlier[side], later[side])) {
    return !hasNamedPorts(a) || portProtocol(earlier.rule) === portProtocol(later.rule);
  }
  return (
    selectionCovers(earlier[side], later[side]) &&
    servicesCover(a, b) &&
    netsCover(a, b, familiesOf(later.rule)) &&
    notNetsCover(a, b) &&
    portsCover(earlier.rule, later.rule, side)
  );
}

function sameSelection(a: EntitySelection, b: EntitySelection): boolean {
  return selectionKey(a) === selectionKey(b);
}

function selectionKey({ positive, negative }: EntitySelection): string {
  const texts = positive.map(({ selector }) => selector.text);
  return JSON.stringify([texts, negative?.selector.text ?? null]);
}

/** Selectors are weighed per object, so each positive one of `a` must follow from the positive ones of `b`. */
function selectionCovers(a: EntitySelection, b: EntitySelection): boolean {
  const negativeFollows =
    a.negative === undefined ||
    (b.negative !== undefined && implies(a.negative.selector, b.negative.selector));
  if (a.positive.length === 0) {
    return negativeFollows && (a.negative === undefined || b.positive.length === 0);
  }
  if (b.positive.length === 0) return false;
  return negativeFollows && implies(conjunction(b.positive), conjunction(a.positive));
}

function servicesCover(a: EntityRule, b: EntityRule): boolean {
  return a.services === undefined || JSON.stringify(a.services) === JSON.stringify(b.services);
}

/** The families that a packet can have if the rule matches it. */
function familiesOf(rule: Rule): Family[] {
  const limits = SIDES.flatMap((side) => [rule[side]?.nets, rule[side]?.notNets])
    .filter((nets) => nets !== undefined && nets.length > 0)
    .map((nets) => new Set(prefixes(nets).map(({ family }) => family)));
  return ([4, 6] as const).filter(
    (family) =>
      (rule.ipVersion === undefined || rule.ipVersion === family) &&
      limits.every((families) => families.has(family)),
  );
}

function prefixes(nets: readonly string[] | undefined): Prefix[] {
  return (nets ?? []).flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix ? [maskPrefix(prefix)] : [];
  });
}

function contains(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && prefixContains(outer, inner);
}

function netsCover(a: EntityRule, b: EntityRule, families: readonly Family[]): boolean {
  const outer = prefixes(a.nets);
  if ((a.nets ?? []).length === 0) return true;
  const everywhere = (family: Family) =>
    outer.some((prefix) => prefix.length === 0 && prefix.family === family);
  if (families.every(everywhere)) return true;
  const inner = prefixes(b.nets).filter(({ family }) => families.includes(family));
  return (
    (b.nets ?? []).length > 0 &&
    inner.every((prefix) => outer.some((other) => contains(other, prefix)))
  );
}

/** What `a` excludes must be excluded by `b` too, or lie outside of its networks; see `netMismatches` on families. */
function notNetsCover(a: EntityRule, b: EntityRule): boolean {
  const excluded = prefixes(a.notNets);
  if (excluded.length === 0) return true;
  const own = prefixes(b.nets);
  const ownExcluded = prefixes(b.notNets);
  const limits = own.length > 0 ? own : ownExcluded;
  if (limits.length === 0) return false;
  const families = new Set(excluded.map(({ family }) => family));
  if (limits.some(({ family }) => !families.has(family))) return false;
  return excluded.every(
    (prefix) =>
      ownExcluded.some((other) => contains(other, prefix)) ||
      (own.length > 0 && own.every((net) => !contains(net, prefix) && !contains(prefix, net))),
  );
}

type Range = readonly [first: number, last: number];

/** The number or range, or undefined for a named port. */
export function portRange(port: Port): Range | undefined {
  const found = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(String(port));
  return found ? [Number(found[1]), Number(found[2] ?? found[1])] : undefined;
}

function hasNamedPorts({ ports = [], notPorts = [] }: EntityRule): boolean {
  return [...ports, ...notPorts].some((port) => portRange(port) === undefined);
}

/** The protocol whose named ports a rule means. */
function portProtocol({ protocol }: Rule): number {
  const number = numberOf(protocol);
  return number === undefined || isIcmp(number) ? PROTOCOL_NUMBERS.tcp : number;
}

function portsCover(earlier: Rule, later: Rule, side: Side): boolean {
  const [a, b] = [earlier[side] ?? {}, later[side] ?? {}];
  const sameNames = portProtocol(earlier) === portProtocol(later);
  const wanted = a.ports ?? [];
  if (wanted.length > 0) {
    const own = b.ports ?? [];
    if (own.length === 0) return false;
    if (!own.every((port) => isAmong(port, wanted, sameNames))) return false;
  }
  const excluded = a.notPorts ?? [];
  if (excluded.length === 0) return true;
  // A name excludes less where its selection is narrower: names are left to rules that are written alike.
  const ownExcluded = b.notPorts ?? [];
  if (excluded.some((port) => portRange(port) === undefined)) return false;
  if (excluded.every((port) => isAmong(port, ownExcluded, false))) return true;
  const own = (b.ports ?? []).map(portRange);
  return own.length > 0 && own.every((range) => range && isClearOf(range, excluded));
}

function isAmong(port: Port, list: readonly Port[], sameNames: boolean): boolean {
  const range = portRange(port);
  if (!range) return sameNames && list.includes(port);
  return covered(range, list);
}

/** Whether the ranges of a list together hold all of a range. */
export function covered([first, last]: Range, list: readonly Port[]): boolean {
  const ranges = list.flatMap((port) => {
    const range = portRange(port);
    return range ? [range] : [];
  });
  let next = first;
  for (const [from, to] of ranges.sort((a, b) => a[0] - b[0])) {
    if (from <= next && to >= next) next = to + 1;
  }
  return next > last;
}

/** Whether no number or range of the list touches the range; names may. */
export function isClearOf([first, last]: Range, list: readonly Port[]): boolean {
  return list.every((port) => {
    const range = portRange(port);
    return range !== undefined && (range[1] < first || range[0] > last);
  });
}

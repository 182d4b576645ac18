// Contents of sets and verdict maps in a form in which desired and actual can be compared.
import { differences, type Family, PersistentMap } from '#lib';
import type { Hex, SetElement, SetType } from '#linux';
import type { ClassMap } from '../rules/address-classes.ts';
import type { ClassNumbers } from '../rules/class-name.ts';
import type { Fragment } from '../rules/intervals.ts';
import { type MapKey, type VerdictMap, isExact } from '../rules/verdict-map.ts';
import { addressBytes, interfaceHex, networkHex } from './bytes.ts';
import { NFPROTO } from './render.ts';
import { intervalElements } from './intervals.ts';

/** Entries by a text that says all of them; an entry is one element, or the two of a range. */
export interface SetState {
  readonly type: SetType;
  readonly entries: ReadonlyMap<string, readonly SetElement[]>;
  /** The chains that a verdict map leads to, where it must not lose a single entry. */
  readonly references?: ReadonlySet<string>;
}

export function dispatchState(map: ReadonlyMap<string, string>): SetState {
  const jumps = [...map].map(([interfaceName, chain]): SetElement[] => [
    { key: interfaceHex(interfaceName), verdict: { kind: 'jump', chain } },
  ]);
  return { type: { key: ['ifname'], verdicts: true }, entries: byText(jumps) };
}

/** A map from class to chain. */
export function classesState(map: ReadonlyMap<string, string>, numbers: ClassNumbers): SetState {
  const jumps = [...map].map(([name, chain]) => [classElement(name, chain, numbers)]);
  return { type: { key: [CLASS_FIELD], verdicts: true }, entries: byText(jumps) };
}

/** Interface to class, and what the classes' numbers are. */
export interface Workloads {
  readonly workloads: ReadonlyMap<string, string>;
  readonly classNumbers: ClassNumbers;
}

/** Workloads' interfaces with their classes, at the cost of those that differ from `former`. */
export function workloadsState(
  wanted: Workloads,
  former?: Workloads & { readonly state: SetState },
): SetState {
  const isNumbered = former && sameNumbers(former.classNumbers, wanted.classNumbers);
  const before = isNumbered ? former.workloads : new Map<string, string>();
  let entries = PersistentMap.from(isNumbered ? former.state.entries : []);
  for (const { key, before: was, after: is } of differences(before, wanted.workloads)) {
    const numbers = former?.classNumbers ?? wanted.classNumbers;
    if (was !== undefined) entries = entries.without(placeText(key, was, numbers));
    if (is === undefined) continue;
    const element = placeElement(key, is, wanted.classNumbers);
    entries = entries.with(entryText([element]), [element]);
  }
  return { type: { key: ['ifname'], data: [CLASS_FIELD, CLASS_FIELD] }, entries };
}

/** Whether a class of both has the same number in both, and one of either in no other. */
function sameNumbers(one: ClassNumbers, other: ClassNumbers): boolean {
  return (
    one === other || [...one].every(([name, number]) => (other.get(name) ?? number) === number)
  );
}

/** The text of the entry by which a class leads to a chain. */
export function classText(name: string, chain: string, numbers: ClassNumbers): string {
  return entryText([classElement(name, chain, numbers)]);
}

/** The text of the entry by which an interface has a class. */
export function placeText(interfaceName: string, name: string, numbers: ClassNumbers): string {
  return entryText([placeElement(interfaceName, name, numbers)]);
}

function classElement(name: string, chain: string, numbers: ClassNumbers): SetElement {
  return { key: numbers.get(name) ?? '', verdict: { kind: 'jump', chain } };
}

function placeElement(interfaceName: string, name: string, numbers: ClassNumbers): SetElement {
  return { key: interfaceHex(interfaceName), data: classData(numbers.get(name) ?? '') };
}

const CLASS_FIELD = 'mark';

/** A class as the value of a map: see where rules look it up. */
function classData(number: Hex): Hex {
  return `${networkHex(0, 4)}${number}`;
}

/** The key by which a class that a map gives is looked up. */
export function keyOfClass(data: Hex): Hex {
  return data.slice(8);
}

/** Verdict maps are values, as IP sets. */
const knownMaps = new WeakMap<VerdictMap, SetState>();

export function verdictMapState(map: VerdictMap): SetState {
  const known = knownMaps.get(map);
  if (known) return known;
  const { key, entries } = map;
  const isInterval = !isExact(entries);
  const groups = entries.map((entry): SetElement[] => {
    const verdict = { kind: 'goto', chain: entry.chain } as const;
    if ('protocol' in entry) {
      const fields = [NFPROTO[entry.family], entry.protocol].map((one) => networkHex(one, 1));
      return [{ key: fields.map((one) => one.padEnd(8, '0')).join(''), verdict }];
    }
    if ('number' in entry) {
      const port = 'port' in entry ? networkHex(entry.port, 2).padEnd(8, '0') : '';
      return [{ key: `${entry.number}${port}`, verdict }];
    }
    const bytes = key.by === 'address' ? addressBytes(key.family) : 2;
    if (!isInterval) return [{ key: networkHex(entry.first, bytes), verdict }];
    const [start, ...end] = intervalElements([entry.first, entry.last], bytes);
    return [{ key: start?.key ?? '', verdict }, ...end];
  });
  const type: SetType = {
    key: keyFields(key),
    verdicts: true,
    ...(isInterval && { interval: true }),
  };
  const references = new Set(entries.map(({ chain }) => chain));
  const state = { type, entries: byText(groups), references };
  knownMaps.set(map, state);
  return state;
}

const knownClasses = new WeakMap<ClassMap, SetState>();

/** A map from address to class, at the cost of what differs from `former`, the same map before. */
export function classMapState(map: ClassMap, former?: ClassMap): SetState {
  const known = knownClasses.get(map);
  if (known) return known;
  const { family, isExact: exact, name } = map;
  const data = [CLASS_FIELD, CLASS_FIELD] as const;
  const type: SetType = { key: [addressField(family)], data, ...(!exact && { interval: true }) };
  const state = former?.name === name ? knownClasses.get(former) : undefined;
  const before = state && former ? former.entries : PersistentMap.EMPTY;
  let entries = PersistentMap.from(state?.entries ?? []);
  for (const { before: was, after: is } of differences(before, map.entries)) {
    if (was) entries = entries.without(entryText(classRange(was, map)));
    if (!is) continue;
    const elements = classRange(is, map);
    entries = entries.with(entryText(elements), elements);
  }
  const result = { type, entries };
  knownClasses.set(map, result);
  return result;
}

function classRange(
  { first, last, value }: Fragment<string>,
  { family, isExact: exact }: ClassMap,
): SetElement[] {
  const bytes = addressBytes(family);
  const data = classData(value);
  if (exact) return [{ key: networkHex(first, bytes), data }];
  const [start, ...end] = intervalElements([first, last], bytes);
  return [{ key: start?.key ?? '', data }, ...end];
}

function keyFields(key: MapKey): SetType['key'] {
  switch (key.by) {
    case 'service':
      return ['nf_proto', 'inet_proto'];
    case 'port':
      return ['inet_service'];
    case 'address':
      return [addressField(key.family)];
    case 'class':
      return [CLASS_FIELD];
    case 'class-port':
      return [CLASS_FIELD, 'inet_service'];
    default:
      return key satisfies never;
  }
}

function addressField(family: Family): 'ipv4_addr' | 'ipv6_addr' {
  return family === 4 ? 'ipv4_addr' : 'ipv6_addr';
}

function byText(groups: readonly (readonly SetElement[])[]): Map<string, readonly SetElement[]> {
  return new Map(groups.map((group) => [entryText(group), group]));
}

function entryText(elements: readonly SetElement[]): string {
  return elements
    .map(({ key, verdict, intervalEnd, data }) => {
      if (data !== undefined) return `${key} = ${data}`;
      if (!verdict) return intervalEnd ? `<${key}` : key;
      return `${key} ${verdict.kind} ${'chain' in verdict ? verdict.chain : ''}`;
    })
    .join('-');
}

/** The entries of a set of this type that was read from the kernel. */
export function entriesOf(
  type: SetType,
  elements: readonly SetElement[],
): Map<string, readonly SetElement[]> {
  const groups = type.interval ? pairIntervals(elements) : elements.map((element) => [element]);
  return byText(groups);
}

/** Puts each start together with the end that follows it; an end without a start stands alone. */
function pairIntervals(elements: readonly SetElement[]): SetElement[][] {
  const rank = (element: SetElement) => `${element.key}${element.intervalEnd ? 0 : 1}`;
  const sorted = elements
    .map((element) => ({ element, rank: rank(element) }))
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1));
  const pairs: SetElement[][] = [];
  let open: SetElement[] | undefined;
  for (const { element } of sorted) {
    if (!element.intervalEnd) {
      open = [element];
      pairs.push(open);
    } else {
      if (open) open.push(element);
      else pairs.push([element]);
      open = undefined;
    }
  }
  return pairs;
}

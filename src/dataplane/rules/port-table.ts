// Rules that ask for ports and far addresses as one table: by class of the address and port, then by port alone.
import type { Interval } from './intervals.ts';
import type { ClassPortEntry, RangeEntry } from './verdict-map.ts';

/** A rule as the table sees it: first match wins. */
export interface TableRule {
  /** Absent is any. */
  readonly ports?: readonly Interval[];
  /** Indexes of the classes that it fits; the last index is of addresses in no class, where there are such. */
  readonly fitting: readonly Interval[];
  /** Where packets that fit go. */
  readonly chain: string;
}

export interface TableClasses {
  /** By index, the number of the class. */
  readonly numbers: readonly string[];
  /** Whether the index behind the last class stands for all other addresses. */
  readonly hasOthers: boolean;
}

export interface PortTable {
  /** Where a class at a port goes another way than other addresses at that port. */
  readonly byClass: readonly ClassPortEntry[];
  /** Where other addresses go, and classes that are not named. */
  readonly byPort: readonly RangeEntry[];
}

/** So many different ports, those of ranges counted, are written out. */
const PORTS_MAX = 1024;

/**
 * What packets to the ports that rules name meet. What neither table names is for the rules without ports, in order;
 * packets that these would not get but for the second table go to `nothing`. Undefined where it would be more than
 * `most` entries, or rules that name `most` ports altogether, or too many different ones.
 */
export function portTable(
  rules: readonly TableRule[],
  { numbers, hasOthers }: TableClasses,
  nothing: string,
  most: number,
): PortTable | undefined {
  const ports = rulesByPort(rules, most);
  if (!ports) return undefined;
  const size = numbers.length + (hasOthers ? 1 : 0);
  const anyPort = [...rules.keys()].filter((index) => !rules[index]?.ports);
  const open = firstAt(anyPort, rules, size);
  const byClass: ClassPortEntry[] = [];
  const byPort: RangeEntry[] = [];
  for (const [port, indexes] of ports) {
    const first = firstAt(indexes, rules, size);
    // Undefined where a rule for any port comes first, or none.
    const chainAt = (place: number): string | undefined => {
      const [own = Infinity, other = Infinity] = [first[place], open[place]];
      return own < other ? rules[own]?.chain : undefined;
    };
    const others = hasOthers ? chainAt(numbers.length) : undefined;
    if (others !== undefined) {
      byPort.push({ first: BigInt(port), last: BigInt(port), chain: others });
    }
    for (const [place, number] of numbers.entries()) {
      const later = () => rules[open[place] ?? -1]?.chain ?? nothing;
      const chain = chainAt(place) ?? (others === undefined ? undefined : later());
      if (chain !== undefined && chain !== others) byClass.push({ number, port, chain });
    }
    if (byClass.length + byPort.length > most) return undefined;
  }
  return { byClass, byPort };
}

/** Which rules name each port, in order. */
function rulesByPort(rules: readonly TableRule[], most: number): Map<number, number[]> | undefined {
  const found = new Map<number, number[]>();
  let named = 0n;
  for (const [index, { ports = [] }] of rules.entries()) {
    for (const [first, last] of ports) {
      named += last - first + 1n;
      if (named > most) return undefined;
      for (let port = Number(first); port <= Number(last); port++) {
        const at = found.get(port);
        if (at) at.push(index);
        else found.set(port, [index]);
      }
      if (found.size > PORTS_MAX) return undefined;
    }
  }
  return found;
}

/** The first of some rules, by their index, at each index of a class. */
function firstAt(
  indexes: readonly number[],
  rules: readonly TableRule[],
  size: number,
): (number | undefined)[] {
  const first = Array.from<number | undefined>({ length: size });
  let left = size;
  for (const index of indexes) {
    for (const [from, to] of rules[index]?.fitting ?? []) {
      for (let place = Number(from); place <= Number(to); place++) {
        if (first[place] !== undefined) continue;
        first[place] = index;
        left--;
      }
    }
    if (left === 0) break;
  }
  return first;
}

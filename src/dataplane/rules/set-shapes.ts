// What rules must know of an IP set whose members they do not say: its type, how big it is, how wide its members are.
import { FAMILIES, type Family, setDifference } from '#lib';
import type { IpSet } from '#calc/dataplane-update';
import { isExpanded } from './candidates.ts';

interface Counted {
  readonly members: IpSet['members'];
  /** Members that are wider than one address. */
  readonly nets: Readonly<Record<Family, number>>;
}

/** Of the sets of one host. A set that changed is looked at as far as it changed. */
export class SetShapes {
  /** By ID. */
  #kept = new Map<string, Counted>();
  #used = new Map<string, Counted>();

  /** What was not asked for since the last call is forgotten. */
  forgetUnused(): void {
    this.#kept = this.#used;
    this.#used = new Map();
  }

  /** Equal for sets that rules without their members speak of in the same way. */
  of(set: IpSet | undefined): string {
    if (!set) return 'missing';
    const exact = FAMILIES.filter((family) => this.isExact(set, family));
    return `${set.type}${isExpanded(set) ? '' : ' big'} exact ${exact.join(' ')}`;
  }

  /** Whether every member of the family is one address: the kernel then looks up by hash, and changes at no cost. */
  isExact(set: IpSet, family: Family): boolean {
    return set.type === 'net' && this.#count(set).nets[family] === 0;
  }

  #count({ id, members }: IpSet): Counted {
    const before = this.#used.get(id) ?? this.#kept.get(id);
    const now = before?.members === members ? before : counted(before, members);
    this.#used.set(id, now);
    return now;
  }
}

function counted(before: Counted | undefined, members: IpSet['members']): Counted {
  const nets = { 4: 0, 6: 0, ...before?.nets };
  const { added, removed } = before
    ? setDifference(before.members, members)
    : { added: members, removed: [] };
  for (const member of added) if (!isAddress(member)) nets[familyOf(member)]++;
  for (const member of removed) if (!isAddress(member)) nets[familyOf(member)]--;
  return { members, nets };
}

function familyOf(member: string): Family {
  return member.includes(':') ? 6 : 4;
}

/** What is not of the form of a prefix counts as wide: the kernel's set is then one that takes any. */
function isAddress(member: string): boolean {
  return member.endsWith(member.includes(':') ? '/128' : '/32');
}

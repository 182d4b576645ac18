// The IP sets that somebody needs, with the members that objects and Services give them.
import type { Selector } from '#selector';
import type { IpSet } from './dataplane-update.ts';
import type { IpSetDefinition } from './ip-set-definition.ts';
import { LabelIndex, type LabelIndexCounts } from './labels/label-index.ts';
import { MemberCounts } from './members/member-counts.ts';
import type { LabelledObject, SliceSource } from './model.ts';
import { ServiceIndex, sliceMembers } from './service-index.ts';
import { SnapshotMap } from './snapshot-map.ts';

interface ActiveSet {
  readonly definition: IpSetDefinition;
  readonly members: MemberCounts;
  /** How many need it. */
  users: number;
  published: IpSet | undefined;
}

/**
 * A set exists while it is acquired; the last release takes effect with the next `sets`, so that one who lets go and
 * takes again costs nothing.
 */
export class IpSetIndex {
  readonly #active = new Map<string, ActiveSet>();
  readonly #changed = new Set<ActiveSet>();
  readonly #idle = new Set<ActiveSet>();
  readonly #published = new SnapshotMap<IpSet>(Object.is);
  readonly #ofService = new Map<string, Set<ActiveSet>>();
  readonly #services = new ServiceIndex((...change) => this.#onSlice(...change));
  readonly #objects = new LabelIndex<ActiveSet, LabelledObject>({
    onMatch: (set, object) => this.#give(set, membersOf(set.definition, object)),
    onMismatch: (set, object) => this.#take(set, membersOf(set.definition, object)),
    onReplace: (set, before, after) => {
      const isPorts = set.definition.kind === 'named-port';
      if (before.members === after.members && (!isPorts || before.ports === after.ports)) return;
      this.#give(set, membersOf(set.definition, after));
      this.#take(set, membersOf(set.definition, before));
    },
  });

  /** What matching selectors with objects has cost. */
  get matching(): LabelIndexCounts {
    return this.#objects.counts;
  }

  /** How many objects there are. */
  get objects(): number {
    return this.#objects.size;
  }

  entries(): Iterable<readonly [key: string, object: LabelledObject]> {
    return this.#objects.objects();
  }

  object(key: string): LabelledObject | undefined {
    return this.#objects.get(key);
  }

  setObject(key: string, object: LabelledObject | undefined): void {
    this.#objects.setObject(key, object);
  }

  setProfile(name: string, labels: LabelledObject['labels'] | undefined): void {
    this.#objects.setProfile(name, labels);
  }

  setSlice(key: string, slice: SliceSource | undefined): void {
    this.#services.setSlice(key, slice);
  }

  acquire(definition: IpSetDefinition): void {
    const known = this.#active.get(definition.id);
    if (known) {
      known.users++;
      this.#idle.delete(known);
      return;
    }
    const members = new MemberCounts(!isPortSet(definition));
    const set: ActiveSet = { definition, members, users: 1, published: undefined };
    this.#active.set(definition.id, set);
    this.#changed.add(set);
    if (definition.kind === 'service') this.#addService(set, definition.service);
    else this.#objects.addSelector(subscriptionOf(set, definition.selector));
  }

  release(id: string): void {
    const set = this.#active.get(id);
    if (!set) return;
    set.users--;
    if (set.users === 0) this.#idle.add(set);
  }

  /** All sets that are needed. What did not change is the same object as before. */
  sets(): ReadonlyMap<string, IpSet> {
    for (const set of this.#idle) this.#drop(set);
    this.#idle.clear();
    for (const set of this.#changed) {
      const members = set.members.members();
      if (members === set.published?.members) continue;
      set.published = ipSetOf(set.definition, members);
      this.#published.set(set.definition.id, set.published);
    }
    this.#changed.clear();
    return this.#published.snapshot();
  }

  #drop(set: ActiveSet): void {
    const { definition } = set;
    this.#active.delete(definition.id);
    this.#changed.delete(set);
    this.#published.delete(definition.id);
    if (definition.kind !== 'service') this.#objects.deleteSelector(definition.id);
    else {
      const sets = this.#ofService.get(definition.service);
      sets?.delete(set);
      if (sets?.size === 0) this.#ofService.delete(definition.service);
    }
  }

  #addService(set: ActiveSet, service: string): void {
    const sets = this.#ofService.get(service) ?? new Set();
    this.#ofService.set(service, sets.add(set));
    for (const slice of this.#services.slicesOf(service)) {
      this.#give(set, sliceMembers(slice, isPortSet(set.definition)));
    }
  }

  #onSlice(service: string, before: SliceSource | undefined, after: SliceSource | undefined): void {
    for (const set of this.#ofService.get(service) ?? []) {
      const withPorts = isPortSet(set.definition);
      if (after) this.#give(set, sliceMembers(after, withPorts));
      if (before) this.#take(set, sliceMembers(before, withPorts));
    }
  }

  #give(set: ActiveSet, members: readonly string[]): void {
    for (const member of members) set.members.add(member);
    if (members.length > 0) this.#changed.add(set);
  }

  #take(set: ActiveSet, members: readonly string[]): void {
    for (const member of members) set.members.delete(member);
    if (members.length > 0) this.#changed.add(set);
  }
}

function subscriptionOf(set: ActiveSet, selector: Selector) {
  return { id: set.definition.id, selector, data: set };
}

function ipSetOf(definition: IpSetDefinition, members: IpSet['members']): IpSet {
  return { id: definition.id, type: isPortSet(definition) ? 'ip-port' : 'net', members };
}

function isPortSet(definition: IpSetDefinition): boolean {
  return (
    definition.kind === 'named-port' || (definition.kind === 'service' && definition.withPorts)
  );
}

/** What one object gives to a set, each once. */
function membersOf(definition: IpSetDefinition, object: LabelledObject): readonly string[] {
  if (definition.kind !== 'named-port') return object.members;
  const members = object.ports
    .filter(({ name, protocol }) => name === definition.port && protocol === definition.protocol)
    .flatMap(({ port }) =>
      object.members.map((prefix) => `${withoutLength(prefix)},${definition.protocol}:${port}`),
    );
  return members.length > 1 ? [...new Set(members)] : members;
}

function withoutLength(prefix: string): string {
  return prefix.slice(0, prefix.indexOf('/'));
}

// Whether the parties of two classes share a node, where that can matter to a verdict.
import type { Relation } from './half-changes.ts';
import type { Member, PartyClass } from './party-classes.ts';

export interface RelationsOptions {
  /** Whether some pod is on another node after the change. */
  readonly anyMoved: boolean;
  /** Whether either world has host endpoints: without them it matters only between pods and hosts. */
  readonly hostEndpoints: boolean;
}

/**
 * The relations in which some party of one stands to some other party of the other. Undefined is a relation that
 * nothing asks for; an empty list means that there are no two parties.
 */
export function nodeRelations(
  source: PartyClass,
  destination: PartyClass,
  options: RelationsOptions,
): readonly (Relation | undefined)[] {
  if (source.kind === 'outside' || destination.kind === 'outside') return ANY;
  if (!asksForNodes(source, destination, options)) {
    return hasPair(source.members, destination.members) ? ANY : NONE;
  }
  const found = new Set<Relation>();
  const most = options.anyMoved ? 4 : 2;
  for (const from of source.members) {
    for (const to of destination.members) {
      if (from.place === to.place) continue;
      found.add(relationOf(from, to));
      if (found.size === most) return [...found];
    }
  }
  return [...found];
}

const ANY = [undefined];
const NONE: readonly Relation[] = [];

/** Whether a verdict between the two can depend on their sharing a node. */
export function asksForNodes(
  { kind }: PartyClass,
  other: PartyClass,
  { hostEndpoints }: RelationsOptions,
): boolean {
  if (kind === 'outside' || other.kind === 'outside') return false;
  return kind !== other.kind || (kind === 'pod' && hostEndpoints);
}

function hasPair(sources: readonly Member[], destinations: readonly Member[]): boolean {
  const [first] = sources;
  return (
    sources.some((it) => it.place !== first?.place) ||
    destinations.some((it) => it.place !== first?.place)
  );
}

function relationOf(from: Member, to: Member): Relation {
  const before = from.nodeBefore !== undefined && from.nodeBefore === to.nodeBefore;
  const after = from.nodeAfter !== undefined && from.nodeAfter === to.nodeAfter;
  if (before) return after ? 3 : 1;
  return after ? 2 : 0;
}

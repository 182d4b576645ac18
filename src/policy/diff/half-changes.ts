// How one half's decisions about the packets between two parties differ from before to after.
import type { Direction, Half } from '../explanation.ts';
import type { PartyClass, Standing } from './party-classes.ts';
import type { PeerBlocks, PeerPartitions } from './peer-partition.ts';
import { type AtomTable, Identities } from './set-atoms.ts';
import type { Decided, SymbolicJourney, Way } from './symbolic-journey.ts';
import type { TrafficSpace } from './traffic-space.ts';

/** Whether two parties are on one node: bit 0 before, bit 1 after. */
export type Relation = 0 | 1 | 2 | 3;

/** Packets that one rule denied and another now allows, or the other way round. */
export interface Flip {
  readonly opens: boolean;
  readonly before: number;
  readonly after: number;
  readonly packets: number;
}

/** Halves are numbers of `HalfTable`. */
export interface HalfChange {
  readonly before: readonly NumberedDecision[];
  readonly after: readonly NumberedDecision[];
  /** Packets allowed both before and after. */
  readonly steady: number;
  readonly flips: readonly Flip[];
}

export interface NumberedDecision {
  readonly half: number;
  readonly allows: boolean;
  readonly packets: number;
}

/** Numbers for what decides a half; equal ones have one. */
export class HalfTable {
  readonly #identities = new Identities();
  readonly #halves: Half[] = [];

  add(half: Half): number {
    const { verdict, tier, policy, rule } = half;
    const ref = policy ? `${policy.kind} ${policy.namespace} ${policy.name}` : '';
    const identity = this.#identities.of(`${verdict} ${tier} ${ref} ${rule}`);
    this.#halves[identity] ??= half;
    return identity;
  }

  half(identity: number): Half | undefined {
    return this.#halves[identity];
  }
}

/** Endpoints that are judged alike in one direction, whoever the peer. */
export interface SelfGroup {
  readonly direction: Direction;
  /** One of them, which stands for all. */
  readonly self: PartyClass;
  /** Whether any peer can be judged differently after the change, all staying where they are. */
  readonly affected: boolean;
  readonly blocks: PeerBlocks;
  /** By block of the peer × 4 + relation. */
  readonly changes: (HalfChange | undefined)[];
}

export interface HalfTools {
  readonly space: TrafficSpace;
  readonly journey: SymbolicJourney;
  readonly partitions: PeerPartitions;
  readonly atoms: AtomTable;
  readonly halves: HalfTable;
  /** Marks that somebody has in only one of the worlds. */
  readonly unstable: ReadonlySet<number>;
}

/** Computes half changes on demand, each once. */
export class HalfChanges {
  readonly #tools: HalfTools;
  readonly #unstableAtoms: ReadonlySet<number>;
  readonly #groups = new Map<string, SelfGroup>();
  readonly #ofClass: Record<Direction, SelfGroup[]> = { egress: [], ingress: [] };

  constructor(tools: HalfTools) {
    this.#tools = tools;
    this.#unstableAtoms = new Set([...tools.unstable].map((mark) => tools.atoms.markOf(mark).atom));
  }

  /** How the half of a group's endpoints changes towards a peer. */
  of(group: SelfGroup, peer: PartyClass, relation: Relation): HalfChange {
    const key = (group.blocks.ofClass[peer.index] ?? 0) * 4 + relation;
    return (group.changes[key] ??= this.#compare(group, peer, relation));
  }

  group(self: PartyClass, direction: Direction): SelfGroup {
    return (this.#ofClass[direction][self.index] ??= this.#groupOf(self, direction));
  }

  #groupOf(self: PartyClass, direction: Direction): SelfGroup {
    const before = self.before.judges[direction];
    const after = self.after.judges[direction];
    const { partitions, atoms } = this.#tools;
    const own = [ownMarks(self.before, before, atoms), ownMarks(self.after, after, atoms)];
    const judges = `${before.identity} ${after.identity}`;
    const key = `${direction} ${self.family} ${self.kind} ${judges} ${own.join(' ')}`;
    const isUnstable = (atom: number) => this.#unstableAtoms.has(atom);
    const group = this.#groups.get(key) ?? {
      direction,
      self,
      affected: before !== after || [...before.ownAtoms, ...before.peerAtoms].some(isUnstable),
      blocks: partitions.blocks(before, after),
      changes: [],
    };
    this.#groups.set(key, group);
    return group;
  }

  #compare(
    { direction, self, affected }: SelfGroup,
    peer: PartyClass,
    relation: Relation,
  ): HalfChange {
    const decisions = (which: 'before' | 'after', sameNode: boolean) => {
      const way = wayBetween(direction, [self, self[which]], [peer, peer[which]], sameNode);
      return this.#numbered(this.#tools.journey.judge(self[which].judges[direction], way));
    };
    const before = decisions('before', (relation & 1) !== 0);
    const settled = !affected && (relation === 0 || relation === 3);
    const after = settled ? before : decisions('after', (relation & 2) !== 0);
    const { space } = this.#tools;
    const allowed = (list: readonly NumberedDecision[]) =>
      list.reduce((sum, { allows, packets }) => (allows ? space.or(sum, packets) : sum), 0);
    const steady = space.and(allowed(before), allowed(after));
    return { before, after, steady, flips: settled ? [] : this.#flips(before, after) };
  }

  #numbered(decided: readonly Decided[]): NumberedDecision[] {
    const { halves, space } = this.#tools;
    const merged = new Map<number, NumberedDecision>();
    for (const { half, packets } of decided) {
      const number = halves.add(half);
      const sum = space.or(merged.get(number)?.packets ?? 0, packets);
      merged.set(number, { half: number, allows: half.verdict === 'allow', packets: sum });
    }
    return [...merged.values()];
  }

  #flips(before: readonly NumberedDecision[], after: readonly NumberedDecision[]): Flip[] {
    return before.flatMap((old) =>
      after.flatMap((now) => {
        if (old.allows === now.allows) return [];
        const packets = this.#tools.space.and(old.packets, now.packets);
        if (packets === 0) return [];
        return [{ opens: now.allows, before: old.half, after: now.half, packets }];
      }),
    );
  }
}

/** The marks of the endpoint itself that its judge asks for. */
function ownMarks(
  { marks }: Standing,
  { ownAtoms }: { readonly ownAtoms: readonly number[] },
  atoms: AtomTable,
): number[] {
  if (ownAtoms.length === 0) return [];
  const asked = new Set(ownAtoms);
  return marks.filter((mark) => asked.has(atoms.markOf(mark).atom));
}

type Party = readonly [party: PartyClass, standing: Standing];

function wayBetween(direction: Direction, self: Party, peer: Party, sameNode: boolean): Way {
  const [[source, from], [destination, to]] = direction === 'egress' ? [self, peer] : [peer, self];
  return {
    source: from,
    destination: to,
    sourceKind: source.kind,
    destinationKind: destination.kind,
    linkScoped: destination.linkScoped,
    sameNode,
  };
}

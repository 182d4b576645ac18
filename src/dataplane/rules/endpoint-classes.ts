// Workloads by what policy says of them: those with equal tiers and profiles are one class, and share its chains.
import type { LocalEndpoint } from '#calc/dataplane-update';
import { type Difference, differences, PersistentMap } from '#lib';
import { className } from './class-name.ts';
import { tierContent } from './tier-programs.ts';

interface EndpointClass {
  /** Some workload that was of the class when this was written down: all are alike in tiers and profiles. */
  readonly endpoint: LocalEndpoint;
  /** Interfaces of the class. */
  readonly count: number;
}

/** A value. What follows from workloads one by one, so that one more or less costs that one. */
export interface EndpointIndex {
  /** By interface: who claims it, the first by ID first. That one has it. */
  readonly claims: PersistentMap<readonly LocalEndpoint[]>;
  /** Class by interface. */
  readonly places: PersistentMap<string>;
  /** By class; none without an interface. */
  readonly classes: PersistentMap<EndpointClass>;
  /** By ID: those of which chains say addresses. */
  readonly named: PersistentMap<LocalEndpoint>;
  /** Claims of more than one. */
  readonly contested: PersistentMap<readonly LocalEndpoint[]>;
}

export const NO_ENDPOINTS: EndpointIndex = {
  claims: PersistentMap.EMPTY,
  places: PersistentMap.EMPTY,
  classes: PersistentMap.EMPTY,
  named: PersistentMap.EMPTY,
  contested: PersistentMap.EMPTY,
};

/** The index after the endpoints have changed so. */
export function withEndpoints(
  before: EndpointIndex,
  changes: Iterable<Difference<LocalEndpoint>>,
): EndpointIndex {
  let index = before;
  for (const { key, before: was, after: is } of changes) {
    if (was) index = released(index, was);
    if (is) index = claimed(index, is);
    const named = is && saysAddresses(is) ? index.named.with(key, is) : index.named.without(key);
    index = { ...index, named };
  }
  return index;
}

/** Endpoints are values. */
const known = new WeakMap<LocalEndpoint, string>();

/** Equal for endpoints that have the same policies in the same order. */
export function classOf(endpoint: LocalEndpoint): string {
  const before = known.get(endpoint);
  if (before !== undefined) return before;
  const { ingress, egress, profiles } = endpoint;
  const content = JSON.stringify([ingress.map(tierContent), egress.map(tierContent), profiles]);
  const name = className(content);
  known.set(endpoint, name);
  return name;
}

/** Whether chains and maps are the same for both but for which interfaces are of which class. */
export function areAlike(one: EndpointIndex, other: EndpointIndex): boolean {
  if (one.named !== other.named || one.contested !== other.contested) return false;
  for (const { before, after } of differences(one.classes, other.classes)) {
    if (!before || !after) return false;
  }
  return true;
}

function saysAddresses({ allowedSources, floatingAddresses }: LocalEndpoint): boolean {
  return allowedSources.length > 0 || floatingAddresses.length > 0;
}

function claimed(index: EndpointIndex, endpoint: LocalEndpoint): EndpointIndex {
  const { interfaceName: name } = endpoint;
  const others = index.claims.get(name) ?? [];
  const claims = [...others, endpoint].sort((a, b) => (a.id < b.id ? -1 : 1));
  return withClaims(index, name, claims);
}

function released(index: EndpointIndex, endpoint: LocalEndpoint): EndpointIndex {
  const { interfaceName: name, id } = endpoint;
  const left = (index.claims.get(name) ?? []).filter((one) => one.id !== id);
  return withClaims(index, name, left);
}

function withClaims(
  index: EndpointIndex,
  name: string,
  all: readonly LocalEndpoint[],
): EndpointIndex {
  const claims = all.length > 0 ? index.claims.with(name, all) : index.claims.without(name);
  const contested =
    all.length > 1 ? index.contested.with(name, all) : index.contested.without(name);
  return placed({ ...index, claims, contested }, name);
}

/** Who has the interface may have changed. */
function placed(index: EndpointIndex, name: string): EndpointIndex {
  const [holder] = index.claims.get(name) ?? [];
  const was = index.places.get(name);
  const is = holder && classOf(holder);
  if (was === is) return index;
  let { classes } = index;
  if (was !== undefined) classes = counted(classes, was, undefined, -1);
  if (is !== undefined) classes = counted(classes, is, holder, 1);
  const places = is === undefined ? index.places.without(name) : index.places.with(name, is);
  return { ...index, places, classes };
}

function counted(
  classes: EndpointIndex['classes'],
  name: string,
  endpoint: LocalEndpoint | undefined,
  more: number,
): EndpointIndex['classes'] {
  const before = classes.get(name);
  const count = (before?.count ?? 0) + more;
  const some = before?.endpoint ?? endpoint;
  return count > 0 && some ? classes.with(name, { endpoint: some, count }) : classes.without(name);
}

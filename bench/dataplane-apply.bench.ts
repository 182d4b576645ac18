// One apply of 100 endpoints, 100 policies and 10 sets, against "nft -f" of the same ruleset (needs root).
import type { DataplaneRule, DataplaneState, IpSet, LocalEndpoint } from '#calc/dataplane-update';
import { policyKey } from '#calc/dataplane-update';
import { Dataplane } from '#dataplane';
import { NftablesSocket, RouteSocket, sysctlsOfNamespace } from '#linux';
import { ALLOW_ALL, policy, rule, stateOf, tierOf } from '../test/kernel/dataplane-router.ts';
import { median, printFigure, printMachine, timed } from './measurement.ts';
import { type Host, type Scratch, withScratch } from './scratch.ts';

const ENDPOINTS = 100;
const POLICIES = 100;
const POLICIES_AN_ENDPOINT = 10;
const SETS = 10;
const MEMBERS = 1000;
const ROUNDS = 3;

const setId = (index: number): string => `s:set-${index % SETS}`;

/** Addresses with gaps between them, so that no two join to one range. */
function setOf(index: number): IpSet {
  const members = Array.from({ length: MEMBERS }, (_, member) => {
    const place = member * 2;
    return `10.${100 + index}.${place >> 8}.${place & 255}/32`;
  });
  return { id: setId(index), type: 'net', members: new Set(members) };
}

/** Six: of a set, of ports, of nets, of ICMP, and what is none of them. */
function rulesOf(index: number): DataplaneRule[] {
  const any = { ipSets: [], notIpSets: [] };
  const from = (set: number) => ({ ipSets: [setId(set)], notIpSets: [] });
  const to = (...ports: (readonly [number, number])[]) => ({ ...any, ports });
  const port = 1000 + index;
  return [
    rule('Allow', { protocol: 6, source: from(index), destination: to([port, port]) }),
    rule('Allow', { index: 1, protocol: 17, source: from(index + 1), destination: to([53, 53]) }),
    rule('Deny', { index: 2, source: { ...any, nets: ['192.0.2.0/24', '198.51.100.0/24'] } }),
    rule('Allow', { index: 3, protocol: 1, ipVersion: 4, icmp: { type: 8, code: 0 } }),
    rule('Allow', { index: 4, protocol: 6, destination: to([80, 80], [8000, 8999]) }),
    rule('Deny', { index: 5, source: from(index + 2) }),
  ];
}

const interfaceName = (index: number): string => `cali${String(index).padStart(11, '0')}`;
const policies = Array.from({ length: POLICIES }, (_, index) =>
  policy(`policy-${index}`, { ingress: rulesOf(index), egress: [rule('Allow')] }),
);

function endpoint(index: number, more: Partial<LocalEndpoint> = {}): LocalEndpoint {
  const own = Array.from({ length: POLICIES_AN_ENDPOINT }, (_, each) => {
    return policies[(index + each * 7) % POLICIES] ?? ALLOW_ALL;
  });
  return {
    id: `default/pod-${index}`,
    interfaceName: interfaceName(index),
    addresses: [`10.65.0.${index}/32`, `fd65::${index}/128`],
    allowedSources: [],
    floatingAddresses: [],
    ingress: [tierOf(...own)],
    egress: [tierOf(...own)],
    profiles: [policyKey(ALLOW_ALL.id)],
    ...more,
  };
}

const makeEndpoints = () => Array.from({ length: ENDPOINTS }, (_, index) => endpoint(index + 1));
const makeSets = () => Array.from({ length: SETS }, (_, index) => setOf(index));
const [endpoints, sets] = [makeEndpoints(), makeSets()];

/** A new value each time, whose parts are the same objects where they are equal: as calculation gives it. */
function desired(parts = { endpoints, sets }): DataplaneState {
  return stateOf(parts.endpoints, policies, {
    ipSets: new Map(parts.sets.map((set) => [set.id, set])),
  });
}

function oneEndpointChanged(): DataplaneState {
  const state = desired();
  const changed = endpoint(5, { ingress: [tierOf(...policies.slice(0, 3))] });
  return { ...state, endpoints: new Map([...state.endpoints, [changed.id, changed]]) };
}

function oneMemberMore(): DataplaneState {
  const state = oneEndpointChanged();
  const set = sets[3] ?? setOf(3);
  const grown = { ...set, members: new Set([...set.members, '203.0.113.7/32']) };
  return { ...state, ipSets: new Map([...state.ipSets, [set.id, grown]]) };
}

/** A namespace with the interfaces of all endpoints. */
function router(scratch: Scratch): Host {
  const host = scratch.host();
  const pods = scratch.host();
  for (let index = 1; index <= ENDPOINTS; index++) {
    const name = interfaceName(index);
    host.route.createVeth({ name, peerName: name, peerNamespace: pods.fd });
    host.route.setUp(name);
  }
  return host;
}

function start(scratch: Scratch, host: Host): Dataplane {
  const dataplane = new Dataplane({
    nftables: NftablesSocket.open({ namespace: host.fd }),
    routes: RouteSocket.open({ namespace: host.fd }),
    sysctls: sysctlsOfNamespace(host.fd),
  });
  scratch.later(() => dataplane.close());
  return dataplane;
}

const SAME = 'same state again';
const EQUAL = 'equal state, no set shared';
const RESTART = 'restart, all read back';
const UNCHANGED = [SAME, EQUAL, RESTART];
const figures = new Map<string, { ms: number[]; writes: number }>();

/** Applies, and checks that all was done, and that nothing was written where nothing changed. */
function apply(name: string, dataplane: Dataplane, state: DataplaneState): void {
  let report = { writes: 0, errors: [] as readonly unknown[], pending: [] as readonly string[] };
  const seconds = timed(() => {
    report = dataplane.apply(state);
  });
  const { writes, errors, pending } = report;
  if (errors.length + pending.length > 0) throw new Error(JSON.stringify({ errors, pending }));
  const figure = figures.get(name) ?? { ms: [], writes };
  figure.ms.push(seconds * 1000);
  figures.set(name, { ...figure, writes });
  if (UNCHANGED.includes(name) && writes > 0) throw new Error(`${name}: ${writes} writes`);
}

const FIRST = 'first load';
const nftLoads: number[] = [];

function round(scratch: Scratch): void {
  const host = router(scratch);
  const dataplane = start(scratch, host);
  apply(FIRST, dataplane, desired());
  apply(SAME, dataplane, desired());
  apply(EQUAL, dataplane, desired({ endpoints: makeEndpoints(), sets: makeSets() }));
  apply('one endpoint changed', dataplane, oneEndpointChanged());
  apply('one set member added', dataplane, oneMemberMore());
  apply(RESTART, start(scratch, host), oneMemberMore());
  const ruleset = host.run(['nft', '-s', 'list', 'ruleset']);
  const fresh = scratch.host();
  nftLoads.push(timed(() => fresh.run(['nft', '-f', '-'], ruleset)) * 1000);
  const loaded = fresh.run(['nft', '-s', 'list', 'ruleset']);
  if (lines(loaded) !== lines(ruleset)) throw new Error('nft loaded another ruleset');
}

const lines = (text: string): number => text.split('\n').length;

printMachine();
for (let count = 0; count < ROUNDS; count++) await withScratch(async (scratch) => round(scratch));
const nft = { name: '"nft -f" of the same ruleset', figure: median(nftLoads) };
const [coldest = NaN] = figures.get(FIRST)?.ms ?? [];
printFigure(`${FIRST}, cold process`, coldest, 'ms', nft);
for (const [name, { ms, writes }] of figures) {
  printFigure(`${name} (${writes} writes)`, median(ms), 'ms', nft);
}
printFigure(nft.name, nft.figure, 'ms');

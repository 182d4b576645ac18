// Many pods and policies in one state after the other: all enforced, and nothing is left behind.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { DataplanePolicy, DataplaneState, IpSet, LocalEndpoint } from '#calc/dataplane-update';
import type { Dataplane } from '#dataplane';
import {
  endpoint,
  Machine,
  makeRouter,
  podAddress,
  policy,
  type Router,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

/** As many as wanted by name: PODS=500 POLICIES=10000 TURNS=50. */
const PODS = Number(process.env['PODS'] ?? 100);
const POLICIES = Number(process.env['POLICIES'] ?? 1_000);
const TURNS = Number(process.env['TURNS'] ?? 3);
/** Pods that are replaced in a turn. */
const REPLACED = Math.max(1, PODS / 10);
const TCP = 6;
const APPS = 20;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

interface Pod {
  readonly id: number;
  readonly interfaceName: string;
}

const podOf = (id: number): Pod => ({ id, interfaceName: `calis${String(id).padStart(9, '0')}` });
const addressOf = (id: number) => `10.66.${id >> 8}.${id & 255}/32`;
const appOf = (id: number) => `app-${id % APPS}`;

/** Policy n lets one application into another, at a port of its own. */
function policies(): DataplanePolicy[] {
  return Array.from({ length: POLICIES }, (_, index) => {
    const port = 1024 + (index % 60_000);
    const source = { ipSets: [appOf(index)], notIpSets: [] };
    const destination = { ipSets: [], notIpSets: [], ports: [[port, port] as const] };
    return policy(`scale-${index}`, {
      ingress: [rule('Allow', { protocol: TCP, source, destination })],
    });
  });
}

/** Two served pods beside the many: the first may reach the second through all the policies of its tier. */
function stateFor(pods: readonly Pod[], all: readonly DataplanePolicy[]): DataplaneState {
  const web = policy('web', {
    ingress: [
      rule('Allow', {
        protocol: TCP,
        source: { ipSets: [], notIpSets: [], nets: ['10.65.0.1/32', 'fd65::1/128'] },
        destination: { ipSets: [], notIpSets: [], ports: [[80, 80]] },
      }),
    ],
  });
  const sets = Array.from({ length: APPS }, (_, app): IpSet => {
    const members = pods.filter(({ id }) => id % APPS === app).map(({ id }) => addressOf(id));
    return { id: `app-${app}`, type: 'net', members: new Set(members) };
  });
  // Each application has its part of the policies; what is beyond the parts concerns the served pod.
  const part = Math.ceil(POLICIES / APPS / 2);
  const tiers = Array.from({ length: APPS }, (_, app) =>
    tierOf(...all.slice(app * part, (app + 1) * part)),
  );
  const many = pods.map(
    ({ id, interfaceName }): LocalEndpoint => ({
      ...endpoint(1),
      id: `scale/${id}`,
      interfaceName,
      addresses: [addressOf(id)],
      ingress: [tiers[id % APPS] ?? tierOf()],
    }),
  );
  const served = endpoint(2, { ingress: [tierOf(...all.slice(APPS * part), web)] });
  return stateOf([endpoint(1), served, ...many], [...all, web], {
    ipSets: new Map(sets.map((set) => [set.id, set])),
  });
}

function attach(router: Router, far: Machine, pods: readonly Pod[]): void {
  for (const { interfaceName: name } of pods) {
    router.routes.createVeth({ name, peerName: name, peerNamespace: far.fd });
    router.routes.setUp(name);
  }
}

/** How much there is of everything that a node could lose track of. */
function inventory(router: Router) {
  const count = (...argv: [string, ...string[]]) =>
    router.machine
      .run(...argv)
      .split('\n')
      .filter(Boolean).length;
  const listed = router.machine.run('nft', '-s', 'list', 'table', 'inet', 'tortie');
  return {
    links: count('ip', '-o', 'link'),
    routes:
      count('ip', 'route', 'show', 'proto', '80') +
      count('ip', '-6', 'route', 'show', 'proto', '80'),
    rules: listed.split('\n').filter((line) => line.includes('comment "tortie')).length,
    chains: listed.match(/^\tchain /gm)?.length ?? 0,
    sets: listed.match(/^\t(set|map) /gm)?.length ?? 0,
    descriptors: readdirSync('/proc/self/fd').length,
  };
}

function heapMiB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

async function served(router: Router): Promise<void> {
  const [one, , three] = router.pods;
  assert.equal(await one?.probe('tcp', podAddress(2, 4), 80), 'open');
  assert.equal(await three?.probe('tcp', podAddress(2, 4), 80, 150), 'silent');
}

void test(`[DP47] ${PODS} pods and ${POLICIES} policies come, change and go, and leave nothing behind`, async (t) => {
  const router = await makeRouter(t, 3);
  const far = new Machine(t);
  const all = policies();
  const dataplane = router.start();
  const apply = (pods: readonly Pod[]): number => {
    const start = performance.now();
    const { errors, pending } = dataplane.apply(stateFor(pods, all));
    assert.deepEqual({ errors, pending }, { errors: [], pending: [] });
    return performance.now() - start;
  };
  apply([]);
  const empty = inventory(router);
  let pods = Array.from({ length: PODS }, (_, id) => podOf(id));
  attach(router, far, pods);
  const first = apply(pods);
  assert.ok(pods.every(({ id }) => dataplane.isEnforced(`scale/${id}`)));
  await served(router);
  const { links, routes, chains, sets, descriptors } = inventory(router);
  const before = heapMiB();
  const took: number[] = [];
  const start = performance.now();
  for (let turn = 0; turn < TURNS; turn++) {
    const gone = pods.slice(0, REPLACED);
    const come = gone.map(({ id }) => podOf((id + PODS) % (4 * PODS)));
    for (const { interfaceName } of gone) router.routes.deleteLink(interfaceName);
    attach(router, far, come);
    pods = [...pods.slice(REPLACED), ...come];
    took.push(apply(pods));
  }
  const rate = (TURNS * REPLACED) / ((performance.now() - start) / 1000);
  await served(router);
  const after = inventory(router);
  assert.deepEqual(
    { links: after.links, routes: after.routes, chains: after.chains, sets: after.sets },
    { links, routes, chains, sets },
  );
  assert.equal(after.descriptors, descriptors);
  const grown = heapMiB() - before;
  print({ first, took, rate, grown });
  assert.ok(grown < 0.5 * before + 16, `the heap grew from ${before} by ${grown} MiB`);
  for (const { interfaceName } of pods) router.routes.deleteLink(interfaceName);
  apply([]);
  assert.deepEqual(inventory(router), empty);
  mustRestartQuietly(router, all);
});

function mustRestartQuietly(router: Router, all: readonly DataplanePolicy[]): void {
  const other: Dataplane = router.start();
  assert.equal(other.apply(stateFor([], all)).writes, 0);
}

function print(figures: { first: number; took: number[]; rate: number; grown: number }): void {
  const { first, took, rate, grown } = figures;
  const middle = took.toSorted((a, b) => a - b)[took.length >> 1] ?? NaN;
  process.stdout.write(
    `# ${PODS} pods, ${POLICIES} policies: first apply ${first.toFixed(0)} ms; ${REPLACED} pods replaced: ` +
      `apply ${middle.toFixed(0)} ms, with their links ${rate.toFixed(0)} pods a second; ` +
      `heap grew by ${grown.toFixed(1)} MiB\n`,
  );
}

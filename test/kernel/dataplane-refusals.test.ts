// The kernel refuses objects picked at random: the others are done, tries are few, and in the end all is repaired.
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { ApplyLoop } from '#agent';
import { kindOf, type Pod, podToWorkloadEndpoint, type Resource } from '#api';
import { CalcGraph, type DataplaneState } from '#calc';
import { Dataplane } from '#dataplane';
import type { SyncerUpdate } from '#datastore/syncer';
import {
  createNamespace,
  deleteNamespace,
  NftablesSocket,
  openNamespace,
  RouteSocket,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { hostWorld } from '../world-hosts.ts';
import { NODE_ADDRESS, NODES } from '../worlds.ts';
import { RefusingKernel } from './refusing-kernel.ts';
import { objectsOf, untouched, wayOf } from './table-text.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const RUNS = Number(process.env['REFUSALS'] ?? 12);
const NODE = NODES[0];
/** Transactions of one apply: one that looks again, and one for each layer of references. */
const COMMITS_MAX = 12;

/** A node's namespace with the pods' interfaces in it. */
class Space {
  readonly path: string;
  readonly fd: number;
  readonly routes: RouteSocket;
  readonly #interfaces = new Set<string>();

  constructor(name: string) {
    this.path = `/run/netns/tortie-r-${process.pid}-${name}`;
    createNamespace(this.path);
    this.fd = openNamespace(this.path);
    this.routes = RouteSocket.open({ namespace: this.fd });
    this.routes.setUp('lo');
    this.#wire('eth0');
    const { 4: ipv4, 6: ipv6 } = NODE_ADDRESS[NODE];
    for (const prefix of [`${ipv4}/24`, `${ipv6}/64`]) {
      this.routes.addAddress('eth0', prefix, { noDad: true });
    }
  }

  run(...argv: readonly string[]): string {
    const words = [`--net=${this.path}`, ...argv];
    return execFileSync('nsenter', words, { encoding: 'utf8', stdio: 'pipe' });
  }

  /** Interfaces of a state's workloads, the same at both ends of a comparison. */
  attach({ endpoints }: DataplaneState): void {
    for (const { interfaceName } of endpoints.values()) {
      if (this.#interfaces.has(interfaceName)) continue;
      this.#wire(interfaceName);
    }
  }

  #wire(name: string): void {
    this.#interfaces.add(name);
    const peerName = `far${this.#interfaces.size}`;
    this.routes.createVeth({ name, peerName, peerNamespace: this.fd });
    for (const one of [name, peerName]) this.routes.setUp(one);
  }

  /** As on a host that nobody has touched. */
  clear(): void {
    this.run('nft', 'flush', 'ruleset');
    for (const family of ['-4', '-6']) {
      this.run('ip', family, 'route', 'flush', 'proto', '80');
      this.run('ip', family, 'route', 'flush', 'proto', '3');
    }
    writeSysctlInNamespace(this.fd, 'net/ipv4/ip_forward', 0);
    writeSysctlInNamespace(this.fd, 'net/ipv6/conf/all/forwarding', 0);
  }

  table(): string {
    return this.run('nft', '-s', 'list', 'table', 'inet', 'tortie');
  }

  routesText(): string {
    return ['-4', '-6']
      .flatMap((family) => this.run('ip', family, 'route', 'show').split('\n'))
      .filter((line) => !line.includes('proto kernel'))
      .map((line) => line.trim())
      .toSorted()
      .join('\n');
  }

  kernel() {
    const namespace = this.fd;
    return {
      nftables: NftablesSocket.open({ namespace }),
      routes: RouteSocket.open({ namespace }),
      sysctls: sysctlsOfNamespace(namespace),
    };
  }

  remove(): void {
    this.routes.close();
    closeSync(this.fd);
    deleteNamespace(this.path);
  }
}

let here: Space;
/** Where nothing is refused: what the kernel should hold in the end. */
let there: Space;
before(() => {
  here = new Space('here');
  there = new Space('there');
});
after(() => {
  here.remove();
  there.remove();
});

function stateOf(resources: readonly Resource[]): DataplaneState {
  const calc = new CalcGraph(NODE);
  calc.onUpdates(resources.map(updateOf));
  const state = calc.state();
  // Of the pods that are here, their interfaces are there too.
  const names = resources.flatMap((one) =>
    one.kind === 'Pod' ? (podToWorkloadEndpoint(one as Pod)?.spec.interfaceName ?? []) : [],
  );
  assert.ok([...state.endpoints.values()].every((one) => names.includes(one.interfaceName)));
  return state;
}

function updateOf(resource: Resource): SyncerUpdate {
  const kind = kindOf(resource.apiVersion, resource.kind);
  assert.ok(kind, `${resource.apiVersion} ${resource.kind}`);
  const { namespace = '', name } = resource.metadata;
  return { kind, key: `${kind.group}/${kind.kind} ${namespace}/${name}`, resource };
}

/** What a kernel that takes everything holds of a state. */
function wanted(state: DataplaneState) {
  there.clear();
  there.attach(state);
  const dataplane = new Dataplane(there.kernel());
  const { errors } = dataplane.apply(state);
  dataplane.close();
  assert.deepEqual(errors, []);
  return { table: there.table(), routes: there.routesText() };
}

const stages = ['normal', 'forward', 'preDNAT', 'doNotTrack'] as const;
const pick = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

test('[DP6] [DP71] whatever is refused, the rest is done with few tries, and all is repaired afterwards', async () => {
  process.stdout.write(`# seed ${SEED}, ${RUNS} pairs of states\n`);
  const sums = { refused: 0, done: 0, enforced: 0, commits: 0 };
  await fc.assert(
    fc.asyncProperty(
      hostWorld(stages),
      hostWorld(stages),
      fc.boolean(),
      fc.array(pick, { minLength: 1, maxLength: 5 }),
      async (from, to, isFresh, picks) => {
        const worlds = isFresh ? [to] : [from, to];
        refuse(
          worlds.map(({ resources }) => stateOf(resources)),
          picks,
          sums,
        );
      },
    ),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
  process.stdout.write(`# ${JSON.stringify(sums)}, seed ${SEED}\n`);
  assert.ok(sums.refused > 0 && sums.done > 0 && sums.enforced > 0);
});

interface Sums {
  refused: number;
  done: number;
  /** Endpoints that were said to be enforced. */
  enforced: number;
  commits: number;
}

/** To the last of the states, from the one before or from nothing, while what was picked is refused. */
function refuse(states: readonly DataplaneState[], picks: readonly number[], sums: Sums): void {
  const [to] = states.slice(-1);
  assert.ok(to);
  const goal = wanted(to);
  here.clear();
  for (const state of states) here.attach(state);
  const kernel = new RefusingKernel(here.kernel());
  const dataplane = new Dataplane(kernel.parts);
  for (const from of states.slice(0, -1)) assert.deepEqual(dataplane.apply(from).errors, []);
  const names = [
    ...objectsOf(goal.table).keys(),
    ...[...to.endpoints.values()].flatMap(({ addresses }) => addresses),
    'net/ipv4/ip_forward',
  ];
  for (const one of picks) kernel.refuse(names[Math.floor(one * names.length)] ?? '');
  here.run('sysctl', '-q', '-w', 'net.ipv4.ip_forward=0');
  kernel.begin();
  dataplane.resync();
  const report = dataplane.apply(to);
  const hit = new Map(kernel.hits());
  sums.refused += hit.size;
  sums.commits += kernel.commits;
  assert.ok(kernel.commits <= COMMITS_MAX, `${kernel.commits} transactions in one apply`);
  for (const name of hit.keys()) {
    const told = report.errors.some(({ what }) => what.includes(name));
    assert.ok(told, `${name} is not among ${JSON.stringify(report.errors.map((it) => it.what))}`);
  }
  assert.equal(hit.size === 0, report.errors.length === 0);
  const done = untouched(goal.table, new Set(hit.keys()));
  const held = objectsOf(here.table());
  for (const [name, text] of done) {
    // A workload whose new way lacks something keeps the one that it had.
    if (!/^(dispatch|workloads)/.test(name)) assert.equal(held.get(name), text, `${name} was done`);
  }
  const wantedObjects = objectsOf(goal.table);
  for (const { id, interfaceName } of to.endpoints.values()) {
    if (report.unfiltered.includes(id)) continue;
    sums.enforced++;
    assert.deepEqual(wayOf(interfaceName, held), wayOf(interfaceName, wantedObjects), id);
  }
  sums.done += done.size;
  // Applied again and again, as changes come: nothing that was refused is tried.
  for (let again = 0; again < 5; again++) {
    kernel.begin();
    assert.equal(dataplane.apply({ ...to }).errors.length > 0, hit.size > 0);
    assert.equal(kernel.hits().size, 0, 'no try without a resync');
  }
  kernel.refuseNothing();
  dataplane.resync();
  assert.deepEqual(dataplane.apply(to).errors, []);
  assert.deepEqual(objectsOf(here.table()), objectsOf(goal.table));
  assert.equal(here.routesText(), goal.routes);
  assert.equal(dataplane.apply(to).writes, 0);
  dataplane.close();
}

const WHILE_MS = 2_000;
/** A busy machine applies as often in a longer time. */
const LONGEST_MS = 20_000;
const APPLIES = 25;

/** After 100 ms, 200 ms, 400 ms and so on; and twice at each try, where it is looked again in between. */
function triesWithin(ms: number): number {
  return 2 * (Math.ceil(Math.log2(ms / 100 + 1)) + 2);
}

/** Updates that come all the time, for a while; what they change is one policy's rules. */
async function underUpdates(
  t: TestContext,
  kernel: RefusingKernel,
  { refuseAll, applies }: { readonly refuseAll: () => void; readonly applies: number },
) {
  here.clear();
  const [world] = fc.sample(hostWorld(stages), { seed: SEED, numRuns: 1 });
  assert.ok(world);
  const states = [stateOf(world.resources), { ...stateOf(world.resources), blackholes: [] }];
  for (const state of states) here.attach(state);
  let turn = 0;
  const dataplane = new Dataplane(kernel.parts);
  const seen = { applies: 0, failed: 0 };
  const loop = new ApplyLoop({
    calculation: { onUpdates: () => turn++, state: () => states[turn % 2] ?? states[0] ?? never() },
    enforcer: dataplane,
    onApplied: (_, report) => {
      seen.applies++;
      if (report.errors.length > 0) seen.failed++;
    },
  });
  t.after(() => {
    loop.stop();
    dataplane.close();
  });
  refuseAll();
  loop.onStatus('in-sync');
  const begun = Date.now();
  const lasts = () => Date.now() - begun;
  while (lasts() < WHILE_MS || (seen.applies < applies && lasts() < LONGEST_MS)) {
    loop.onUpdates([]);
    await sleep(10);
  }
  const tries = { ...seen, most: triesWithin(lasts()), hits: new Map(kernel.hits()) };
  kernel.refuseNothing();
  const deadline = Date.now() + 60_000;
  while (!loop.ready) {
    assert.ok(Date.now() < deadline, 'it is not repaired');
    await sleep(50);
  }
  return tries;
}

function never(): never {
  throw new Error('there is a state');
}

test('[DP71] under updates all the time what is refused is tried ever more seldom, each by itself', async (t) => {
  const kernel = new RefusingKernel(here.kernel());
  const names = ['net/ipv6/conf/all/forwarding', '10.244.0.0/26', 'ingress', 'egress'];
  const refuseAll = () => {
    for (const name of names) kernel.refuse(name);
  };
  const { hits, applies, failed, most } = await underUpdates(t, kernel, {
    refuseAll,
    applies: APPLIES,
  });
  process.stdout.write(`# ${applies} applies, ${failed} failed: ${JSON.stringify([...hits])}\n`);
  assert.ok(hits.has('ingress') && hits.has('net/ipv6/conf/all/forwarding'));
  for (const [name, count] of hits) assert.ok(count <= most, `${name} tried ${count} times`);
  assert.ok(applies >= APPLIES, 'changes went through meanwhile');
});

for (const [what, refuseAll] of Object.entries({
  'every transaction': (kernel: RefusingKernel) => kernel.refuseWhole(),
  'every reading of the table': (kernel: RefusingKernel) => kernel.refuseReading('table'),
})) {
  test(`[DP71] a kernel that refuses ${what} is left alone until the next try`, async (t) => {
    const kernel = new RefusingKernel(here.kernel());
    const { applies, hits, most } = await underUpdates(t, kernel, {
      refuseAll: () => refuseAll(kernel),
      applies: 0,
    });
    process.stdout.write(`# ${applies} applies: ${JSON.stringify([...hits])}\n`);
    assert.ok(applies <= most, `${applies} applies`);
    for (const [name, count] of hits) assert.ok(count <= most, `${name} tried ${count} times`);
  });
}

test('[DP71] routes that cannot be read hold up no policy', () => {
  here.clear();
  const [world] = fc.sample(hostWorld(stages), { seed: SEED, numRuns: 1 });
  assert.ok(world);
  const state = stateOf(world.resources);
  const goal = wanted(state);
  here.attach(state);
  const kernel = new RefusingKernel(here.kernel());
  const dataplane = new Dataplane(kernel.parts);
  kernel.refuseReading('routes');
  const { errors, stuck } = dataplane.apply(state);
  assert.deepEqual(
    errors.map(({ what }) => what),
    ['routes of this host'],
  );
  assert.equal(stuck, false);
  assert.deepEqual(objectsOf(here.table()), objectsOf(goal.table));
  kernel.refuseNothing();
  dataplane.resync();
  assert.deepEqual(dataplane.apply(state).errors, []);
  assert.equal(here.routesText(), goal.routes);
  dataplane.close();
});

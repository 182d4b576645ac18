// Pods that come and go through CNI, calculation and dataplane: policy in force when ADD answers, nothing left behind.
import assert from 'node:assert/strict';
import { closeSync, readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  createNamespace,
  deleteNamespace,
  NftablesSocket,
  openNamespace,
  RouteSocket,
} from '#linux';
import { ChurnNode, type ChurnPod, FRIEND, STRANGER, WEB_PORT } from './churn-node.ts';
import type { Machine } from './dataplane-router.ts';

/** By name: PODS=500 POLICIES=10000 CHURN=100 SECONDS=60, or PODS=2000. */
const PODS = Number(process.env['PODS'] ?? 40);
const POLICIES = Number(process.env['POLICIES'] ?? 400);
/** Pods that are replaced in a second, as far as that can be reached. */
const CHURN = Number(process.env['CHURN'] ?? 20);
const SECONDS = Number(process.env['SECONDS'] ?? 2);
/** One of so many new pods is probed. */
const PROBED_EVERY = Math.max(1, Math.round(CHURN / 4));
const AT_ONCE = 100;
const BARE = 40;
const SILENT_MS = 250;

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** How much there is of everything that a node could lose track of. */
function inventory(node: ChurnNode) {
  const socket = NftablesSocket.open({ namespace: node.machine.fd });
  const table = socket.readTable('tortie');
  socket.close();
  const sets = [...(table?.sets.values() ?? [])];
  const routes = node.routes.routes();
  return {
    links: node.routes.links().length,
    // Those to blocks stay: so do the blocks.
    routes: routes.filter((route) => route.interface !== undefined).length,
    neighbours: node.routes.neighbours().filter(({ permanent }) => permanent).length,
    chains: table?.chains.size ?? 0,
    rules: [...(table?.chains.values() ?? [])].reduce((sum, { rules }) => sum + rules.length, 0),
    sets: sets.length,
    elements: sets.reduce((sum, { elements }) => sum + elements.length, 0),
    descriptors: readdirSync('/proc/self/fd').length,
    namespaces: readdirSync('/run/netns').filter((name) => name.includes(`-${process.pid}-`))
      .length,
  };
}

function heapMiB(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

/** At once after ADD has answered: who is let in comes in, and who is not does not. */
async function mustBeInForce(pod: ChurnPod, friend: Machine, stranger: Machine): Promise<void> {
  for (const address of pod.addresses) {
    const [let_in, kept_out] = await Promise.all([
      friend.probe('tcp', address, WEB_PORT, 10_000),
      stranger.probe('tcp', address, WEB_PORT, SILENT_MS),
    ]);
    assert.deepEqual({ let_in, kept_out }, { let_in: 'refused', kept_out: 'silent' }, pod.name);
  }
}

interface Figures {
  readonly rate: number;
  readonly added: readonly number[];
  readonly removed: readonly number[];
  readonly lateMs: number;
  readonly cpuMs: number;
  readonly probed: number;
}

/** Replaces the oldest pod by a new one, so many times a second. */
async function churn(
  node: ChurnNode,
  pods: ChurnPod[],
  probers: readonly [friend: Machine, stranger: Machine],
): Promise<Figures> {
  const [added, removed]: [number[], number[]] = [[], []];
  const probes: Promise<void>[] = [];
  const timed = async (into: number[], work: Promise<void>) => {
    const begun = performance.now();
    await work;
    into.push(performance.now() - begun);
  };
  const replace = async (turn: number) => {
    const gone = pods.shift();
    assert.ok(gone);
    // In the same namespace, so that there is as much of everything before and after.
    const go = () => timed(removed, node.detach(gone)).then(() => node.remove(gone));
    const place = async () => {
      const placed = await node.place(gone.number + PODS);
      await timed(added, node.attach(placed));
      return placed;
    };
    const [come] = await Promise.all([place(), go()]);
    pods.push(come);
    if (turn % PROBED_EVERY === 0) probes.push(mustBeInForce(come, ...probers));
  };
  const lateness = watchLateness();
  const [begun, cpu] = [performance.now(), process.cpuUsage()];
  const running = new Set<Promise<void>>();
  for (let turn = 0; turn < CHURN * SECONDS; turn++) {
    const wait = begun + (turn * 1_000) / CHURN - performance.now();
    await new Promise((go) => (wait > 1 ? setTimeout(go, wait) : setImmediate(go)));
    while (running.size >= AT_ONCE) await Promise.race(running);
    const work = replace(turn).finally(() => running.delete(work));
    running.add(work);
  }
  await Promise.all(running);
  const seconds = (performance.now() - begun) / 1_000;
  const { user, system } = process.cpuUsage(cpu);
  await Promise.all(probes);
  return {
    rate: (CHURN * SECONDS) / seconds,
    added,
    removed,
    lateMs: lateness.stop(),
    cpuMs: (user + system) / 1_000 / (CHURN * SECONDS),
    probed: probes.length,
  };
}

/** How late a timer of this thread was at most. */
function watchLateness(): { stop: () => number } {
  let [last, most] = [performance.now(), 0];
  const timer = setInterval(() => {
    const now = performance.now();
    most = Math.max(most, now - last - 5);
    last = now;
  }, 5);
  return {
    stop: () => {
      clearInterval(timer);
      return most;
    },
  };
}

/** Namespace, veth pair, addresses and routes of a pod, made and removed by plain calls, one after the other. */
function bareRate(node: ChurnNode): number {
  const begun = performance.now();
  for (let index = 0; index < BARE; index++) {
    const path = `/run/netns/tortie-c-${process.pid}-bare${index}`;
    createNamespace(path);
    const descriptor = openNamespace(path);
    const pod = RouteSocket.open({ namespace: descriptor });
    const name = `bare${index}`;
    node.routes.createVeth({ name, peerName: 'eth0', peerNamespace: descriptor });
    node.routes.setUp(name);
    pod.setUp('eth0');
    for (const prefix of [`10.99.0.${index}/32`, `fd99::${index + 1}/128`]) {
      pod.addAddress('eth0', prefix, { noDad: true });
      const family = prefix.includes(':') ? 6 : 4;
      node.routes.replaceRoute({
        family,
        destination: prefix,
        interface: name,
        table: 254,
        protocol: 4,
        type: 'unicast',
      });
    }
    node.routes.deleteLink(name);
    pod.close();
    closeSync(descriptor);
    deleteNamespace(path);
  }
  return BARE / ((performance.now() - begun) / 1_000);
}

async function attachAll(node: ChurnNode, pods: readonly ChurnPod[]): Promise<void> {
  for (let at = 0; at < pods.length; at += AT_ONCE) {
    await Promise.all(pods.slice(at, at + AT_ONCE).map((pod) => node.attach(pod)));
  }
}

async function ready(t: TestContext): Promise<{ node: ChurnNode; probers: [Machine, Machine] }> {
  const node = new ChurnNode(t, { pods: PODS, policies: POLICIES });
  while (!node.loop.ready) await new Promise((go) => setTimeout(go, 20));
  return { node, probers: [await node.prober(FRIEND), await node.prober(STRANGER)] };
}

const SCALE = `${PODS} pods, ${POLICIES} policies, ${CHURN} pods replaced a second`;

void test(`[DP47] ${SCALE}: in force at once, nothing left`, async (t) => {
  const { node, probers } = await ready(t);
  const begun = performance.now();
  const numbers = Array.from({ length: PODS }, (_, index) => index + 1);
  const pods = await Promise.all(numbers.map((number) => node.place(number)));
  const empty = inventory(node);
  await attachAll(node, pods);
  const attachMs = performance.now() - begun;
  await Promise.all(pods.slice(0, 5).map((pod) => mustBeInForce(pod, ...probers)));
  const { elements: _, ...full } = inventory(node);
  const heap = heapMiB();
  const figures = await churn(node, pods, probers);
  const { elements: __, ...after } = inventory(node);
  assert.deepEqual(after, full);
  const grown = heapMiB() - heap;
  print(figures, attachMs, grown, bareRate(node));
  assert.ok(grown < 0.05 * heap + 8, `the heap grew from ${heap} by ${grown} MiB`);
  await Promise.all(pods.map((pod) => node.detach(pod).then(() => node.remove(pod))));
  await settled(node, empty.chains);
  const end = inventory(node);
  assert.deepEqual(
    { ...end, namespaces: 0 },
    { ...empty, namespaces: 0 },
    'as before the first pod came',
  );
  assert.equal(end.namespaces, 3, 'the node and its two probers');
  assert.deepEqual(node.errors, []);
});

/** The last pods' chains go with the next apply. */
async function settled(node: ChurnNode, chains: number): Promise<void> {
  for (let turn = 0; turn < 500 && node.dataplane.counts.table.chains !== chains; turn++) {
    await new Promise((go) => setTimeout(go, 20));
  }
}

function print(figures: Figures, attachMs: number, grown: number, bare: number): void {
  const { rate, added, removed, lateMs, cpuMs, probed } = figures;
  const at = (all: readonly number[], part: number) =>
    (all.toSorted((a, b) => a - b)[Math.floor(part * (all.length - 1))] ?? NaN).toFixed(0);
  process.stdout.write(
    `# ${PODS} pods attached in ${(attachMs / 1_000).toFixed(1)} s; ` +
      `${added.length} replaced, ${rate.toFixed(1)} a second ` +
      `(bare kernel calls one by one ${bare.toFixed(1)}, ratio ${(rate / bare).toFixed(2)}); ` +
      `ADD p50 ${at(added, 0.5)} p99 ${at(added, 0.99)} ms, DEL p50 ${at(removed, 0.5)} p99 ${at(removed, 0.99)} ms; ` +
      `${cpuMs.toFixed(1)} ms of CPU each; thread late by ${lateMs.toFixed(0)} ms at most; ` +
      `${probed} probed; heap grew by ${grown.toFixed(1)} MiB\n`,
  );
}

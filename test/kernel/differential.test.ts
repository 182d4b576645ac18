// Two independent engines agree: the kernel enforcing random worlds, and the plain reference.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { loadManifests, type Pod, type Resource } from '#api';
import { buildWorld, evaluate, type Party, type Verdict } from '#policy';
import type { Family } from '#lib';
import {
  FIXED,
  NODE_ADDRESS,
  NODES,
  OUTSIDE,
  podAddress,
  podsOf,
  PROBED_PORTS,
  world,
} from '../worlds.ts';
import { hostWorld, isCrossed, UNPLACED, withoutInterfaces } from '../world-hosts.ts';
import { mayBe } from '../unknown-interfaces.ts';
import { KernelCluster } from './cluster.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['WORLDS'] ?? 100);
/** Stands for the port that the kernel chooses; rules of these worlds name 40,000, which it hardly ever is. */
const EPHEMERAL_PORT = 50_001;
const HOST_WORLDS = Number(process.env['HOST_WORLDS'] ?? 12);
/** Clusters that are probed side by side: most of a probe's time is waiting for silence. */
const LANES = Number(process.env['LANES'] ?? 2);
/** Worlds that are left when this is over are not tried, which the number of probes shows. */
const MS_PER_WORLD = 3_000;
/** Probes run at once; what stays silent for the first time is asked again, alone and for longer. */
const TIMEOUT_MS = { first: 600, again: 2_500 } as const;
const NUMBER = { tcp: 6, udp: 17 } as const;

interface ProbedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

interface Probe extends ProbedPort {
  readonly from: string;
  readonly to: string;
  readonly family: Family;
}

let clusters: readonly KernelCluster[] = [];
before(async () => {
  clusters = await Promise.all(Array.from({ length: LANES }, () => KernelCluster.create()));
});
after(async () => {
  for (const cluster of clusters) await cluster.remove();
});

test('the kernel and the reference give every probe of random worlds the same verdict', async () => {
  const probes = await compareWorlds(WORLDS, world, 'with a pod');
  process.stdout.write(`# ${probes} of ${probes} probes agree, seed ${SEED}\n`);
  assert.ok(probes > 0);
});

test('[DP17] [DP18] [DP19] [DP21] [DP22] host endpoints too: the kernel and the reference agree', async () => {
  const hosts = hostWorld(['normal', 'forward', 'preDNAT']);
  const probes = await compareWorlds(HOST_WORLDS, hosts, 'hosts too');
  process.stdout.write(`# hosts: ${probes} of ${probes} probes agree, seed ${SEED}\n`);
  assert.ok(probes > 0);
});

/** Each cluster gets its share of the worlds, with a seed of its own; how many probes that were. */
async function compareWorlds(
  count: number,
  worlds: fc.Arbitrary<{ readonly resources: readonly Resource[] }>,
  pairs: Pairs,
): Promise<number> {
  process.stdout.write(`# seed ${SEED}, worlds ${count}, ${LANES} at once\n`);
  let probes = 0;
  const lanes = clusters.map((cluster, lane) =>
    fc.assert(
      fc.asyncProperty(worlds, async ({ resources }) => {
        const compared = await compare(cluster, resources, PROBED_PORTS, pairs);
        probes += compared;
      }),
      {
        seed: SEED + lane,
        numRuns: Math.ceil(count / LANES),
        interruptAfterTimeLimit: Math.max(60_000, count * MS_PER_WORLD),
        // A failure is told at once, whole; SHRINK=1 looks for the smallest world, which takes minutes.
        endOnFailure: process.env['SHRINK'] === undefined,
        markInterruptAsFailure: false,
      },
    ),
  );
  await Promise.all(lanes);
  return probes;
}

test('the kernel and the reference agree on the example shop, every pod to every pod', async () => {
  const [cluster] = clusters;
  assert.ok(cluster);
  const probes = await compare(cluster, shop(), [
    { protocol: 'tcp', port: 8080 },
    { protocol: 'tcp', port: 5432 },
    { protocol: 'tcp', port: 443 },
    { protocol: 'udp', port: 5353 },
  ]);
  process.stdout.write(`# shop: ${probes} of ${probes} probes agree\n`);
});

/** The demo's own manifests, its pods on the test's machines. */
function shop(): Resource[] {
  const folder = new URL('../../examples/shop/', import.meta.url);
  const resources = ['namespaces', 'pods', 'policies'].flatMap((name) => {
    const { resources: read, problems } = loadManifests(
      readFileSync(new URL(`${name}.yaml`, folder), 'utf8'),
      name,
    );
    assert.deepEqual(problems, []);
    return read;
  });
  let index = 0;
  return [
    ...FIXED,
    ...resources.map((one) => (one.kind === 'Pod' ? placed(one as Pod, index++) : one)),
  ];
}

function placed(pod: Pod, index: number): Pod {
  const addresses = [podAddress(index, 4), podAddress(index, 6)];
  return {
    ...pod,
    spec: { ...pod.spec, nodeName: NODES[index % 2] ?? '' },
    status: { phase: 'Running', podIPs: addresses.map((ip) => ({ ip })) },
  };
}

/** Probes every pair, and fails at the first that the kernel and the reference judge differently. */
async function compare(
  cluster: KernelCluster,
  resources: readonly Resource[],
  ports: readonly ProbedPort[] = PROBED_PORTS,
  pairs: Pairs = 'with a pod',
): Promise<number> {
  const errors = cluster.enforce(resources).filter((text) => !UNPLACED.test(text));
  assert.deepEqual(errors, []);
  const reference = buildWorld(resources);
  const untold = resources.some(isCrossed) ? reference : buildWorld(withoutInterfaces(resources));
  const pods = podsOf(resources);
  const probes = allProbes(pods.length, ports, pairs);
  const outcomes = await Promise.all(probes.map((probe) => run(cluster, probe, TIMEOUT_MS.first)));
  for (const [index, probe] of probes.entries()) {
    const packet = {
      from: partyOf(probe.from, probe.family, pods),
      to: partyOf(probe.to, probe.family, pods),
      protocol: NUMBER[probe.protocol],
      port: probe.port,
      sourcePort: EPHEMERAL_PORT,
      family: probe.family,
    };
    const expected = evaluate(reference, packet);
    let got: Verdict = outcomes[index] !== 'silent' ? 'allow' : 'deny';
    if (got === 'deny' && expected.verdict === 'allow') {
      got = (await run(cluster, probe, TIMEOUT_MS.again)) !== 'silent' ? 'allow' : 'deny';
    }
    if (got !== expected.verdict) assert.fail(explain(cluster, probe, expected, resources));
    const guess = evaluate(untold, packet);
    if (!mayBe(guess, got)) assert.fail(explain(cluster, probe, guess, resources));
  }
  return probes.length;
}

/** Between machines that are no pods only host endpoints judge. */
type Pairs = 'with a pod' | 'hosts too';

function allProbes(podCount: number, ports: readonly ProbedPort[], pairs: Pairs): Probe[] {
  const pods = Array.from({ length: podCount }, (_, index) => `p${index}`);
  const all = [...pods, ...NODES, 'outside'];
  const probes: Probe[] = [];
  for (const family of [4, 6] as const) {
    for (const from of all) {
      for (const to of all) {
        const withPod = pods.includes(from) || pods.includes(to);
        if (from === to || (pairs === 'with a pod' && !withPod)) continue;
        for (const port of ports) probes.push({ from, to, family, ...port });
      }
    }
  }
  return probes;
}

function run(
  cluster: KernelCluster,
  { from, to, family, protocol, port }: Probe,
  timeoutMs: number,
) {
  return cluster.machine(from).probe({ protocol, address: addressOf(to, family), port, timeoutMs });
}

function addressOf(name: string, family: Family): string {
  if (name === 'outside') return OUTSIDE[family];
  const node = NODES.find((one) => one === name);
  return node ? NODE_ADDRESS[node][family] : podAddress(Number(name.slice(1)), family);
}

function partyOf(name: string, family: Family, pods: readonly Pod[]): Party {
  if (name === 'outside') return { type: 'address', address: OUTSIDE[family] };
  const pod = /^p\d+$/.test(name) ? pods[Number(name.slice(1))] : undefined;
  if (!pod) return { type: 'node', name };
  const { namespace = '', name: podName } = pod.metadata;
  return { type: 'workload', namespace, name: podName };
}

function explain(
  cluster: KernelCluster,
  probe: Probe,
  expected: object,
  resources: readonly Resource[],
): string {
  const policies = resources.filter((one) =>
    /Policy|Tier|Set$|^Pod$|HostEndpoint|FelixConfiguration/.test(one.kind),
  );
  const rulesets = process.env['RULESET'] ? NODES.map((node) => cluster.ruleset(node)) : [];
  return `${JSON.stringify(probe)}\nreference: ${JSON.stringify(expected, null, 1)}\n${policies
    .map((one) => JSON.stringify(one))
    .join('\n')}\n${rulesets.join('')}`;
}

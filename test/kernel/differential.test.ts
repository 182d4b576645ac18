// Two independent engines agree: the kernel enforcing random worlds, and the plain reference.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { Pod, Resource } from '#api';
import { buildWorld, evaluate, type Party } from '#policy';
import type { Family } from '#lib';
import {
  NODE_ADDRESS,
  NODES,
  OUTSIDE,
  podAddress,
  PROBED_PORTS,
  type World,
  world,
} from '../worlds.ts';
import { KernelCluster } from './cluster.ts';

const SEED = Number(process.env['SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
const WORLDS = Number(process.env['WORLDS'] ?? 40);
/** Probes run at once; what stays silent for the first time is asked again, alone and for longer. */
const TIMEOUT_MS = { first: 600, again: 2_500 } as const;
const NUMBER = { tcp: 6, udp: 17 } as const;

interface Probe {
  readonly from: string;
  readonly to: string;
  readonly family: Family;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

let cluster: KernelCluster;
before(async () => {
  cluster = await KernelCluster.create();
});
after(async () => {
  await cluster.remove();
});

test('the kernel and the reference give every probe of random worlds the same verdict', async () => {
  process.stdout.write(`# seed ${SEED}, worlds ${WORLDS}\n`);
  let probes = 0;
  await fc.assert(
    fc.asyncProperty(world, async (one) => {
      probes += await compare(one);
    }),
    {
      seed: SEED,
      numRuns: WORLDS,
      interruptAfterTimeLimit: 10 * 60_000,
      markInterruptAsFailure: false,
    },
  );
  process.stdout.write(`# ${probes} of ${probes} probes agree, seed ${SEED}\n`);
  assert.ok(probes > 0);
});

async function compare({ resources }: World): Promise<number> {
  assert.deepEqual(cluster.enforce(resources), []);
  const reference = buildWorld(resources);
  const namespaces = new Map(
    resources
      .filter((one): one is Pod => one.kind === 'Pod')
      .map((pod) => [pod.metadata.name, pod.metadata.namespace ?? '']),
  );
  const party = (name: string, family: Family): Party => partyOf(name, family, namespaces);
  const probes = allProbes();
  const outcomes = await Promise.all(probes.map((probe) => run(probe, TIMEOUT_MS.first)));
  for (const [index, probe] of probes.entries()) {
    const expected = evaluate(reference, {
      from: party(probe.from, probe.family),
      to: party(probe.to, probe.family),
      protocol: NUMBER[probe.protocol],
      port: probe.port,
      sourcePort: 40_000,
      family: probe.family,
    });
    let got = outcomes[index] !== 'silent' ? 'allow' : 'deny';
    if (got === 'deny' && expected.verdict === 'allow') {
      got = (await run(probe, TIMEOUT_MS.again)) !== 'silent' ? 'allow' : 'deny';
    }
    if (got !== expected.verdict) assert.fail(explain(probe, expected, resources));
  }
  return probes.length;
}

function allProbes(): Probe[] {
  const pods = ['p0', 'p1', 'p2', 'p3', 'p4', 'p5'];
  const probes: Probe[] = [];
  for (const family of [4, 6] as const) {
    for (const from of [...pods, ...NODES, 'outside']) {
      for (const to of [...pods, ...NODES, 'outside']) {
        // Between machines that are no pods there is nothing of ours to judge in this slice.
        if (from === to || (!pods.includes(from) && !pods.includes(to))) continue;
        for (const { protocol, port } of PROBED_PORTS)
          probes.push({ from, to, family, protocol, port });
      }
    }
  }
  return probes;
}

function run({ from, to, family, protocol, port }: Probe, timeoutMs: number) {
  return cluster.machine(from).probe({ protocol, address: addressOf(to, family), port, timeoutMs });
}

function addressOf(name: string, family: Family): string {
  if (name === 'outside') return OUTSIDE[family];
  const node = NODES.find((one) => one === name);
  return node ? NODE_ADDRESS[node][family] : podAddress(Number(name.slice(1)), family);
}

function partyOf(name: string, family: Family, namespaces: ReadonlyMap<string, string>): Party {
  if (name === 'outside') return { type: 'address', address: OUTSIDE[family] };
  const namespace = namespaces.get(name);
  if (namespace !== undefined) return { type: 'workload', namespace, name };
  return { type: 'node', name };
}

function explain(probe: Probe, expected: object, resources: readonly Resource[]): string {
  const policies = resources.filter((one) => /Policy|Tier|Set$|^Pod$/.test(one.kind));
  const rulesets = process.env['RULESET'] ? NODES.map((node) => cluster.ruleset(node)) : [];
  return `${JSON.stringify(probe)}\nreference: ${JSON.stringify(expected, null, 1)}\n${policies
    .map((one) => JSON.stringify(one))
    .join('\n')}\n${rulesets.join('')}`;
}

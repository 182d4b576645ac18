// Public policy suites live: the kernel enforcing each situation gives every probe what the suite expects.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Pod, Resource } from '#api';
import { corpusMissing } from '../corpora/corpora.ts';
import type { Situation, SituationProbe } from '../corpora/situation.ts';
import { clusterPolicySituations } from '../corpora/suite-cluster-policy.ts';
import { kubernetesSituations } from '../corpora/suite-kubernetes-e2e.ts';
import { recipeSituations } from '../corpora/suite-np-recipes.ts';
import type { ClusterLayout } from './cluster-layout.ts';
import { KernelCluster } from './cluster.ts';
import {
  CLUSTER_POLICY_LAYOUT,
  KUBERNETES_LAYOUT,
  placeOn,
  RECIPES_LAYOUT,
} from './corpora-layouts.ts';

/** All probes of a situation run at once; one that is silent but should not be is asked again, alone. */
const TIMEOUT_MS = { first: 500, again: 3_000 } as const;
/** Of the one service that a situation may have. */
const SERVICE_ADDRESS = '10.96.0.10';
/** Wrong probes told; once there are more, the silent ones are not asked again. */
const SHOWN = 20;
const EXPECTED = { allow: 'open', deny: 'silent' } as const;

test('k8s-e2e-netpol live', { skip: corpusMissing('k8s-e2e-netpol') }, async (t) => {
  const probes = await judgeLive(t, 'k8s-e2e-netpol', KUBERNETES_LAYOUT, kubernetesSituations());
  assert.equal(probes, 4680);
});

test('np-recipes live', { skip: corpusMissing('np-recipes') }, async (t) => {
  const probes = await judgeLive(t, 'np-recipes', RECIPES_LAYOUT, recipeSituations());
  assert.equal(probes, 63);
});

test('network-policy-api live', { skip: corpusMissing('network-policy-api') }, async (t) => {
  const situations = clusterPolicySituations();
  const probes = await judgeLive(t, 'network-policy-api', CLUSTER_POLICY_LAYOUT, situations);
  assert.equal(probes, 301);
});

/** Fails with what is wrong; else the number of probes. */
async function judgeLive(
  t: TestContext,
  suite: string,
  layout: ClusterLayout,
  situations: readonly Situation[],
): Promise<number> {
  const cluster = await KernelCluster.create(layout);
  t.after(() => cluster.remove());
  const wrong: string[] = [];
  const judge = (situation: Situation) =>
    new LiveSituation(cluster, layout, situation).judge(wrong);
  // What is silent under a policy says something only where the network without policies is not.
  for (const situation of situations.filter(isNewNetwork())) {
    await judge(open(situation));
    assert.deepEqual(wrong, []);
  }
  let count = 0;
  for (const situation of situations) {
    count += situation.probes.length;
    await judge(situation);
  }
  process.stdout.write(`# ${suite} live: ${count - wrong.length} of ${count}\n`);
  assert.deepEqual(wrong.slice(0, SHOWN), []);
  return count;
}

/** Whether no situation before had the same pods at the same addresses, and the same probes. */
function isNewNetwork(): (situation: Situation) => boolean {
  const known = new Set<string>();
  return ({ resources, probes }) => {
    const places = podsOf(resources).map(({ metadata, status }) => [
      metadata.namespace,
      metadata.name,
      status?.podIPs,
    ]);
    const key = JSON.stringify([places, probes.map((probe) => ({ ...probe, expect: '' }))]);
    return known.size < known.add(key).size;
  };
}

/** The same without policies: everything is open. */
function open({ id, resources, probes }: Situation): Situation {
  return {
    id: `${id} without policies`,
    resources: resources.filter((one) => !one.kind.endsWith('Policy')),
    probes: probes.map((probe) => ({ ...probe, expect: 'allow' })),
  };
}

class LiveSituation {
  readonly #cluster: KernelCluster;
  readonly #layout: ClusterLayout;
  readonly #situation: Situation;
  readonly #pods: ReadonlyMap<string, Pod>;

  constructor(cluster: KernelCluster, layout: ClusterLayout, situation: Situation) {
    this.#cluster = cluster;
    this.#layout = layout;
    this.#situation = situation;
    this.#pods = new Map(
      podsOf(situation.resources).map((pod) => [
        `${pod.metadata.namespace}/${pod.metadata.name}`,
        pod,
      ]),
    );
  }

  /** Adds one text for each probe with another outcome than is expected. */
  async judge(wrong: string[]): Promise<void> {
    const { id, resources, probes } = this.#situation;
    assert.deepEqual(this.#cluster.enforce(placeOn(this.#layout, resources)), [], id);
    const services = probes.filter((probe) => probe.service);
    if (services.length > 0) this.#translate(services);
    const outcomes = await Promise.all(probes.map((one) => this.#run(one, TIMEOUT_MS.first)));
    for (const [index, probe] of probes.entries()) {
      let outcome = outcomes[index];
      if (outcome === 'silent' && probe.expect === 'allow' && wrong.length < SHOWN) {
        outcome = await this.#run(probe, TIMEOUT_MS.again);
      }
      // All ports are served, so a refusal is neither.
      if (outcome !== EXPECTED[probe.expect]) {
        wrong.push(`${id}: ${JSON.stringify(probe)}: ${outcome}`);
      }
    }
  }

  #run(probe: SituationProbe, timeoutMs: number) {
    const { from, to, protocol, service } = probe;
    const address = service ? SERVICE_ADDRESS : this.#addressOf(to);
    const port = service?.port ?? probe.port;
    return this.#machine(from).probe({ protocol, address, port, timeoutMs });
  }

  #machine(name: string) {
    const pod = this.#pods.get(name);
    if (!pod) return this.#cluster.machine('outside');
    const onHost = pod.spec.hostNetwork === true;
    return this.#cluster.machine(onHost ? (pod.spec.nodeName ?? '') : name);
  }

  #addressOf(name: string): string {
    return this.#pods.get(name)?.status?.podIPs?.[0]?.ip ?? this.#layout.outside[4];
  }

  /** What Kubernetes' own proxy does on each node. */
  #translate(probes: readonly SituationProbe[]): void {
    const rules = new Map(
      probes.map(({ service, to, port }) => {
        const called = `ip daddr ${SERVICE_ADDRESS} tcp dport ${service?.port}`;
        const rule = `${called} dnat to ${this.#addressOf(to)}:${port}`;
        return [called, `add rule ip services prerouting ${rule}`];
      }),
    );
    const commands = [
      'add table ip services',
      'delete table ip services',
      'add table ip services',
      'add chain ip services prerouting { type nat hook prerouting priority dstnat; }',
      ...rules.values(),
    ];
    for (const { name } of this.#layout.nodes) this.#cluster.run(name, 'nft', commands.join('; '));
  }
}

function podsOf(resources: readonly Resource[]): Pod[] {
  return resources.filter((one): one is Pod => one.kind === 'Pod');
}

// The network-policy-api conformance tests: ClusterNetworkPolicy, Admin and Baseline, every probe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '#api';
import { buildWorld, evaluate, parseParty, type World } from '#policy';
import { corpusMissing } from './corpora.ts';
import { namespaceResources, PodNetwork, protocolNumber } from './policy-worlds.ts';
import { readSuite, type SuitePod } from './policy-worlds.ts';

type Labels = Record<string, string>;

interface Suite {
  readonly namespaces: Readonly<Record<string, Labels>>;
  readonly pods: readonly SuitePod[];
  readonly tests: readonly {
    readonly id: string;
    readonly manifests: readonly Resource[];
    readonly steps: readonly Step[];
  }[];
}

type Step =
  | {
      readonly op: 'probe';
      readonly from: string;
      readonly to: string;
      readonly protocol: string;
      readonly port: number;
      readonly expect: 'allow' | 'drop';
    }
  | { readonly op: 'replacePolicy'; readonly object: Resource }
  | {
      readonly op: 'deletePolicy';
      readonly kind: string;
      readonly name: string;
      readonly namespace?: string;
    }
  | { readonly op: 'setNamespaceLabels'; readonly namespace: string; readonly labels: Labels };

test('network-policy-api', { skip: corpusMissing('network-policy-api') }, () => {
  const suite = readSuite<Suite>('network-policy-api/cases.json');
  const results = suite.tests.flatMap((one) => judgeTest(suite, one));
  const wrong = results.filter((result) => result !== '');
  process.stdout.write(
    `# network-policy-api: ${results.length - wrong.length} of ${results.length}\n`,
  );
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.equal(results.length, 301);
});

/** Steps act on what the earlier ones left. One text a probe: empty where it gets what is expected. */
function judgeTest(suite: Suite, one: Suite['tests'][number]): string[] {
  const network = new PodNetwork('10.244.0.0');
  const fixed = [...suite.pods.map((pod) => network.pod(pod)), ...suite.pods.flatMap(nodeOf)];
  const namespaces = new Map(Object.entries(suite.namespaces));
  const policies = new Map(
    one.manifests.map((policy) => [keyOf(policy.kind, policy.metadata), policy]),
  );
  let world: World | undefined;
  return one.steps.flatMap((step) => {
    if (step.op === 'probe') {
      world ??= buildWorld([
        ...fixed,
        ...namespaceResources(Object.fromEntries(namespaces)),
        ...policies.values(),
      ]);
      return [judgeProbe(world, one.id, step)];
    }
    world = undefined;
    if (step.op === 'replacePolicy') {
      policies.set(keyOf(step.object.kind, step.object.metadata), step.object);
    } else if (step.op === 'deletePolicy') {
      assert.ok(policies.delete(keyOf(step.kind, step)), JSON.stringify(step));
    } else namespaces.set(step.namespace, step.labels);
    return [];
  });
}

function judgeProbe(world: World, id: string, step: Extract<Step, { op: 'probe' }>): string {
  const { verdict } = evaluate(world, {
    from: parseParty(world, step.from),
    to: parseParty(world, step.to),
    protocol: protocolNumber(step.protocol),
    port: step.port,
  });
  const wanted = step.expect === 'allow' ? 'allow' : 'deny';
  return verdict === wanted ? '' : `${id}: ${JSON.stringify(step)}: ${verdict}`;
}

/** Pods on a host's network stand for their hosts, each one of its own. */
function nodeOf({ name, ip, hostNetwork }: SuitePod): Resource[] {
  if (hostNetwork !== true) return [];
  const status = { addresses: [{ type: 'InternalIP', address: ip }] };
  const metadata = { name, labels: { 'kubernetes.io/os': 'linux' } };
  const node = { apiVersion: 'v1', kind: 'Node', metadata, status };
  return [node];
}

function keyOf(kind: string, { namespace, name }: { namespace?: string; name: string }): string {
  return `${kind}/${namespace ?? ''}/${name}`;
}

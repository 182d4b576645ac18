// Reads the network-policy-api conformance tests: the probes between two changes as one situation.
import assert from 'node:assert/strict';
import type { Resource } from '#api';
import { namespaceResources, PodNetwork, readSuite, type SuitePod } from './policy-worlds.ts';
import { protocolOf, type Situation, type SituationProbe } from './situation.ts';

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

/** Each test begins anew; its steps act on what the earlier ones left. */
export function clusterPolicySituations(): Situation[] {
  const suite = readSuite<Suite>('network-policy-api/cases.json');
  return suite.tests.flatMap((one) => situationsOf(suite, one));
}

function situationsOf(suite: Suite, one: Suite['tests'][number]): Situation[] {
  const network = new PodNetwork('10.244.0.0');
  const fixed = [...suite.pods.map((pod) => network.pod(pod)), ...suite.pods.flatMap(nodeOf)];
  const namespaces = new Map(Object.entries(suite.namespaces));
  const policies = new Map(
    one.manifests.map((policy) => [keyOf(policy.kind, policy.metadata), policy]),
  );
  const situations: Situation[] = [];
  let probes: SituationProbe[] = [];
  for (const step of one.steps) {
    if (step.op === 'probe') {
      if (probes.length === 0) {
        const labelled = namespaceResources(Object.fromEntries(namespaces));
        const resources = [...fixed, ...labelled, ...policies.values()];
        situations.push({ id: one.id, resources, probes });
      }
      probes.push(probeOf(step));
      continue;
    }
    probes = [];
    if (step.op === 'replacePolicy') {
      policies.set(keyOf(step.object.kind, step.object.metadata), step.object);
    } else if (step.op === 'deletePolicy') {
      assert.ok(policies.delete(keyOf(step.kind, step)), JSON.stringify(step));
    } else namespaces.set(step.namespace, step.labels);
  }
  return situations;
}

function probeOf({ from, to, protocol, port, expect }: Extract<Step, { op: 'probe' }>) {
  return {
    from,
    to,
    protocol: protocolOf(protocol),
    port,
    expect: expect === 'allow' ? 'allow' : 'deny',
  } as const;
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

// Kubernetes' own end-to-end tests of NetworkPolicy: every cell of every truth table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '#api';
import { buildWorld, evaluate, parseParty } from '#policy';
import { corpusMissing } from './corpora.ts';
import { namespaceResources, PodNetwork, protocolNumber } from './policy-worlds.ts';
import { readSuite, type SuitePod } from './policy-worlds.ts';

type Labels = Record<string, string>;

interface Suite {
  readonly initial: {
    readonly namespaces: Readonly<Record<string, Labels>>;
    readonly pods: readonly SuitePod[];
  };
  readonly columns: readonly string[];
  readonly cases: readonly Case[];
}

interface Case {
  readonly id: string;
  readonly servedProtocols: readonly string[];
  readonly servedPorts: readonly number[];
  readonly steps: readonly {
    readonly actions: readonly Action[];
    readonly checks: readonly Check[];
  }[];
}

interface Action {
  readonly createPolicy?: Resource;
  readonly updatePolicy?: Resource;
  readonly deletePolicy?: { readonly namespace: string; readonly name: string };
  readonly setPodLabels?: {
    readonly namespace: string;
    readonly name: string;
    readonly labels: Labels;
  };
  readonly setNamespaceLabels?: { readonly namespace: string; readonly labels: Labels };
}

interface Check {
  readonly port: number;
  readonly protocol: string;
  /** A row a client, a character a server: `.` connects, `X` is blocked, `*` is not judged. */
  readonly expected: Readonly<Record<string, string>>;
}

test('k8s-e2e-netpol', { skip: corpusMissing('k8s-e2e-netpol') }, () => {
  const suite = readSuite<Suite>('k8s-e2e-netpol/cases.json');
  const results = suite.cases.flatMap((it) => judgeCase(suite, it));
  const wrong = results.filter((result) => result !== '');
  process.stdout.write(`# k8s-e2e-netpol: ${results.length - wrong.length} of ${results.length}\n`);
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.equal(results.length, 4680);
});

function judgeCase(suite: Suite, one: Case): string[] {
  const state = new ClusterState(suite, one);
  return one.steps.flatMap(({ actions, checks }) => {
    for (const action of actions) state.act(action);
    const world = buildWorld(state.resources());
    return checks.flatMap((check) =>
      Object.entries(check.expected).flatMap(([from, row]) =>
        suite.columns.flatMap((to, column) => {
          const wanted = row[column];
          if (wanted === '*') return [];
          const { verdict } = evaluate(world, {
            from: parseParty(world, from),
            to: parseParty(world, to),
            protocol: protocolNumber(check.protocol),
            port: check.port,
          });
          if (verdict === (wanted === '.' ? 'allow' : 'deny')) return [''];
          return [`${one.id}: ${from} to ${to} ${check.protocol} ${check.port}: ${verdict}`];
        }),
      ),
    );
  });
}

class ClusterState {
  readonly #namespaces: Map<string, Labels>;
  readonly #pods: Map<string, SuitePod>;
  readonly #policies = new Map<string, Resource>();

  constructor({ initial }: Suite, { servedPorts, servedProtocols }: Case) {
    const ports = servedPorts.flatMap((port) =>
      servedProtocols.map((protocol) => ({
        port,
        protocol,
        name: `serve-${port}-${protocol.toLowerCase()}`,
      })),
    );
    this.#namespaces = new Map(Object.entries(initial.namespaces));
    this.#pods = new Map(
      initial.pods.map((pod) => [`${pod.namespace}/${pod.name}`, { ...pod, ports }]),
    );
  }

  act(action: Action): void {
    const policy = action.createPolicy ?? action.updatePolicy;
    if (policy) this.#policies.set(keyOf(policy.metadata), policy);
    if (action.deletePolicy) assert.ok(this.#policies.delete(keyOf(action.deletePolicy)));
    if (action.setNamespaceLabels) {
      const { namespace, labels } = action.setNamespaceLabels;
      this.#namespaces.set(namespace, labels);
    }
    if (action.setPodLabels) {
      const key = keyOf(action.setPodLabels);
      const pod = this.#pods.get(key);
      assert.ok(pod, key);
      this.#pods.set(key, { ...pod, labels: action.setPodLabels.labels });
    }
  }

  resources(): Resource[] {
    const network = new PodNetwork('10.66.0.0');
    return [
      ...namespaceResources(Object.fromEntries(this.#namespaces)),
      ...[...this.#pods.values()].map((pod) => network.pod(pod)),
      ...this.#policies.values(),
    ];
  }
}

function keyOf({ namespace, name }: { namespace?: string; name: string }): string {
  return `${namespace ?? 'default'}/${name}`;
}

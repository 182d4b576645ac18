// Reads Kubernetes' own end-to-end tests of NetworkPolicy: 65 truth tables of nine pods as situations.
import assert from 'node:assert/strict';
import type { Resource } from '#api';
import { namespaceResources, PodNetwork, readSuite, type SuitePod } from './policy-worlds.ts';
import { protocolOf, type Situation, type SituationProbe } from './situation.ts';

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

/** One situation a step of a case, with the cells of all its tables. */
export function kubernetesSituations(): Situation[] {
  const suite = readSuite<Suite>('k8s-e2e-netpol/cases.json');
  return suite.cases.flatMap((one) => {
    const state = new ClusterState(suite, one);
    return one.steps.map(({ actions, checks }) => {
      for (const action of actions) state.act(action);
      const probes = checks.flatMap((check) => probesOf(check, suite.columns));
      return { id: one.id, resources: state.resources(), probes };
    });
  });
}

function probesOf(check: Check, columns: readonly string[]): SituationProbe[] {
  const { port } = check;
  const protocol = protocolOf(check.protocol);
  return Object.entries(check.expected).flatMap(([from, row]) =>
    columns.flatMap((to, column): SituationProbe[] => {
      if (row[column] === '*') return [];
      return [{ from, to, protocol, port, expect: row[column] === '.' ? 'allow' : 'deny' }];
    }),
  );
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

// Reads the Kubernetes NetworkPolicy recipes: each step and its probes as one situation.
import assert from 'node:assert/strict';
import type { Resource } from '#api';
import { namespaceResources, PodNetwork, readSuite, type SuitePod } from './policy-worlds.ts';
import { protocolOf, type Situation, type SituationProbe } from './situation.ts';

interface Recipe {
  readonly id: string;
  readonly namespaces: Readonly<Record<string, Record<string, string>>>;
  readonly pods: readonly SuitePod[];
  readonly steps: readonly Step[];
}

interface Step {
  readonly apply?: readonly Resource[];
  /** `kind/namespace/name`. */
  readonly delete?: readonly string[];
  readonly services?: readonly Service[];
  readonly probes: readonly Probe[];
}

interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly selector: Readonly<Record<string, string>>;
  readonly ports: readonly { readonly port: number; readonly targetPort: number }[];
}

interface Probe {
  readonly from: string;
  readonly to: string;
  readonly port: number;
  readonly protocol: string;
  readonly expect: string;
}

/** The machine outside the pod networks. */
export const RECIPES_OUTSIDE = '198.51.100.7';

/** Each recipe begins anew; its steps act on what the earlier ones left. */
export function recipeSituations(): Situation[] {
  const { recipes } = readSuite<{ recipes: Recipe[] }>('np-recipes/recipes.json');
  return recipes.flatMap(situationsOf);
}

function situationsOf(recipe: Recipe): Situation[] {
  const network = new PodNetwork('10.244.0.0');
  const fixed = [
    ...namespaceResources(recipe.namespaces),
    ...recipe.pods.map((pod) => network.pod(pod)),
  ];
  const policies = new Map<string, Resource>();
  let services: readonly Service[] = [];
  return recipe.steps.map((step) => {
    services = step.services ?? services;
    for (const policy of step.apply ?? []) policies.set(keyOf(policy), policy);
    for (const gone of step.delete ?? []) assert.ok(policies.delete(gone), gone);
    return {
      id: `recipe ${recipe.id}`,
      resources: [...fixed, ...policies.values()],
      probes: step.probes.map((probe) => probeOf(probe, services, recipe.pods)),
    };
  });
}

function keyOf({ kind, metadata }: Resource): string {
  return `${kind}/${metadata.namespace ?? 'default'}/${metadata.name}`;
}

function probeOf(
  probe: Probe,
  services: readonly Service[],
  pods: readonly SuitePod[],
): SituationProbe {
  const behind = probe.to.startsWith('service:') ? reached(probe, services, pods) : probe;
  return {
    from: probe.from === 'external' ? RECIPES_OUTSIDE : probe.from,
    to: behind.to === 'external' ? RECIPES_OUTSIDE : behind.to,
    protocol: protocolOf(probe.protocol),
    port: behind.port,
    expect: probe.expect === 'drop' ? 'deny' : 'allow',
    ...(behind === probe ? {} : { service: { name: probe.to, port: probe.port } }),
  };
}

/** What a probe of a service reaches once its address is translated: policy sees that. */
function reached(
  probe: Probe,
  services: readonly Service[],
  pods: readonly SuitePod[],
): { to: string; port: number } {
  const service = services.find((it) => `service:${it.namespace}/${it.name}` === probe.to);
  const pod = pods.find((it) =>
    Object.entries(service?.selector ?? {}).every(([key, value]) => it.labels[key] === value),
  );
  const port = service?.ports.find((it) => it.port === probe.port)?.targetPort;
  assert.ok(service && pod && port !== undefined, probe.to);
  return { to: `${pod.namespace}/${pod.name}`, port };
}

// The Kubernetes NetworkPolicy recipes: every probe gets the outcome that the recipe tells.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '#api';
import { buildWorld, evaluate, parseParty } from '#policy';
import { corpusMissing } from './corpora.ts';
import { namespaceResources, PodNetwork, protocolNumber } from './policy-worlds.ts';
import { readSuite, type SuitePod } from './policy-worlds.ts';

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

const EXTERNAL = '198.51.100.7';

test('np-recipes', { skip: corpusMissing('np-recipes') }, () => {
  const { recipes } = readSuite<{ recipes: Recipe[] }>('np-recipes/recipes.json');
  const results = recipes.flatMap(judgeRecipe);
  const wrong = results.filter((result) => result !== '');
  process.stdout.write(`# np-recipes: ${results.length - wrong.length} of ${results.length}\n`);
  assert.deepEqual(wrong, []);
  assert.equal(results.length, 63);
});

/** One text a probe: empty where it gets what the recipe tells. */
function judgeRecipe(recipe: Recipe): string[] {
  const network = new PodNetwork('10.244.0.0');
  const fixed = [
    ...namespaceResources(recipe.namespaces),
    ...recipe.pods.map((pod) => network.pod(pod)),
  ];
  const policies = new Map<string, Resource>();
  let services: readonly Service[] = [];
  return recipe.steps.flatMap((step) => {
    services = step.services ?? services;
    for (const policy of step.apply ?? []) policies.set(keyOf(policy), policy);
    for (const gone of step.delete ?? []) assert.ok(policies.delete(gone), gone);
    const world = buildWorld([...fixed, ...policies.values()]);
    return step.probes.map((probe) => {
      const { to, port } = behind(probe, services, recipe.pods);
      const { verdict } = evaluate(world, {
        from: parseParty(world, probe.from === 'external' ? EXTERNAL : probe.from),
        to: parseParty(world, to === 'external' ? EXTERNAL : to),
        protocol: protocolNumber(probe.protocol),
        ...(port === 0 ? {} : { port }),
      });
      const wanted = probe.expect === 'drop' ? 'deny' : 'allow';
      return verdict === wanted ? '' : `recipe ${recipe.id}: ${JSON.stringify(probe)}: ${verdict}`;
    });
  });
}

function keyOf({ kind, metadata }: Resource): string {
  return `${kind}/${metadata.namespace ?? 'default'}/${metadata.name}`;
}

/** What a probe of a service reaches once its address is translated: policy sees that. */
function behind(
  probe: Probe,
  services: readonly Service[],
  pods: readonly SuitePod[],
): { to: string; port: number } {
  if (!probe.to.startsWith('service:')) return probe;
  const service = services.find((it) => `service:${it.namespace}/${it.name}` === probe.to);
  const pod = pods.find((it) =>
    Object.entries(service?.selector ?? {}).every(([key, value]) => it.labels[key] === value),
  );
  const port = service?.ports.find((it) => it.port === probe.port)?.targetPort;
  assert.ok(service && pod && port !== undefined, probe.to);
  return { to: `${pod.namespace}/${pod.name}`, port };
}

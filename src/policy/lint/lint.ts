// Everything suspicious about a set of resources, each with the object, the field, the reason and what to do.
import type { Resource } from '#api';
import { buildWorld } from '../world.ts';
import { readNetworkSets, readProfiles } from '../world-endpoints.ts';
import { namespaceOf, resourcesByKind } from '../world-resources.ts';
import { compareFindings, type Finding } from './finding.ts';
import { lockedNodes } from './host-lockout.ts';
import { somewhere } from './named-addresses.ts';
import { cutServices, dnsStandIn } from './needed-services.ts';
import { openRules } from './open-rules.ts';
import { viewTiers } from './policy-view.ts';
import { orderFindings } from './rule-order-checks.ts';
import { selectionFindings } from './selection-checks.ts';
import { shadowedRules } from './shadowed-rules.ts';

/**
 * Checks valid resources; malformed ones throw WorldError. What depends on the objects of a cluster (policies and
 * selectors that match nothing) is checked only where pods or host endpoints are among the resources.
 */
export function lint(resources: readonly Resource[]): Finding[] {
  const table = resourcesByKind(resources);
  const world = buildWorld(resources);
  const { tiers } = viewTiers(table);
  const policies = tiers.flatMap((tier) => tier.policies);
  const endpoints = [...world.workloads.values(), ...world.hostEndpoints];
  const sets = readNetworkSets(table, readProfiles(table), () => undefined);
  const objects = { endpoints, peers: endpoints.length === 0 ? [] : [...endpoints, ...sets] };
  const written = new Map(
    [
      ...table['networking.k8s.io NetworkPolicy'].map(
        (it) => ['KubernetesNetworkPolicy', it] as const,
      ),
      ...table['projectcalico.org StagedKubernetesNetworkPolicy'].map(
        (it) => ['StagedKubernetesNetworkPolicy', it] as const,
      ),
    ].map(([kind, it]) => [`${kind} ${namespaceOf(it)}/${it.metadata.name}`, it]),
  );
  const surroundings = {
    world: buildWorld([...resources, ...dnsStandIn(table)]),
    resources: table,
    somewhere: somewhere(tiers, table),
  };
  return [
    ...world.problems.map(
      ({ resource, path, message }): Finding => ({
        check: 'not-understood',
        severity: 'error',
        object: resource,
        path,
        reason: message,
        advice: 'correct it: until then this part is left out in the way that denies',
      }),
    ),
    ...shadowedRules(tiers),
    ...policies.flatMap((policy) => selectionFindings(policy, objects)),
    ...policies.flatMap((policy) => openRules(policy, written.get(policy.name))),
    ...orderFindings(tiers, endpoints),
    ...(policies.length === 0 ? [] : cutServices(surroundings)),
    ...lockedNodes(surroundings),
  ].sort(compareFindings);
}

// What RBAC rules allow: matching of requests, and whether some rules hold all that others do.
import type { PolicyRule } from '#api';
import type { Attributes } from './identity.ts';

const ALL = '*';

/** Whether the rule allows the request (Kubernetes' RBAC authorizer). */
export function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!holds(rule.verbs, attributes.verb)) return false;
  if ('path' in attributes) return pathMatches(rule.nonResourceURLs ?? [], attributes.path);
  const { group, resource, subresource, name } = attributes;
  const names = rule.resourceNames ?? [];
  return (
    holds(rule.apiGroups ?? [], group) &&
    resourceMatches(rule.resources ?? [], resource, subresource) &&
    (names.length === 0 || names.includes(name))
  );
}

/** Each permission of `wanted` that no single rule of `owned` holds, as a rule of its own; empty: all are held. */
export function uncoveredRules(
  owned: readonly PolicyRule[],
  wanted: readonly PolicyRule[],
): PolicyRule[] {
  return wanted
    .flatMap(singleRules)
    .filter((single) => !owned.some((rule) => ruleCovers(rule, single)));
}

/** `{resources:["pods"], verbs:["get"], ...}` as a line of text, in the form Kubernetes prints. */
export function ruleText(rule: PolicyRule): string {
  const { apiGroups, resources, resourceNames, nonResourceURLs, verbs } = rule;
  const parts = { NonResourceURLs: nonResourceURLs, APIGroups: apiGroups, Resources: resources };
  const all = { ...parts, ResourceNames: resourceNames, Verbs: verbs };
  const shown = Object.entries(all).filter(([, values]) => (values ?? []).length > 0);
  return `{${shown.map(([name, values]) => `${name}:${JSON.stringify(values)}`).join(', ')}}`;
}

function holds(list: readonly string[], item: string): boolean {
  return list.includes(ALL) || list.includes(item);
}

function resourceMatches(list: readonly string[], resource: string, subresource: string): boolean {
  if (subresource === '') return list.includes(ALL) || list.includes(resource);
  return (
    list.includes(ALL) ||
    list.includes(`${resource}/${subresource}`) ||
    list.includes(`${ALL}/${subresource}`)
  );
}

function pathMatches(list: readonly string[], path: string): boolean {
  return list.some((pattern) => {
    if (pattern === ALL || pattern === path) return true;
    return pattern.endsWith(ALL) && path.startsWith(pattern.replace(/\*+$/, ''));
  });
}

/** The rule as rules with one verb, group, resource and name (or path) each. */
function singleRules(rule: PolicyRule): PolicyRule[] {
  const { verbs, apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
  const names = resourceNames.length > 0 ? resourceNames : [undefined];
  return verbs.flatMap((verb) => [
    ...apiGroups.flatMap((group) =>
      resources.flatMap((resource) =>
        names.map((name) => ({
          verbs: [verb],
          apiGroups: [group],
          resources: [resource],
          ...(name === undefined ? {} : { resourceNames: [name] }),
        })),
      ),
    ),
    ...nonResourceURLs.map((path) => ({ verbs: [verb], nonResourceURLs: [path] })),
  ]);
}

function ruleCovers(owner: PolicyRule, single: PolicyRule): boolean {
  const [verb = ''] = single.verbs;
  if (!holds(owner.verbs, verb)) return false;
  const [path] = single.nonResourceURLs ?? [];
  if (path !== undefined) return pathMatches(owner.nonResourceURLs ?? [], path);
  const [group = ''] = single.apiGroups ?? [];
  const [resource = '', ...rest] = (single.resources?.[0] ?? '').split('/');
  const [name] = single.resourceNames ?? [];
  const owned = owner.resourceNames ?? [];
  return (
    holds(owner.apiGroups ?? [], group) &&
    resourceMatches(owner.resources ?? [], resource, rest.join('/')) &&
    (owned.length === 0 || (name !== undefined && owned.includes(name)))
  );
}

// The audit policy (audit.k8s.io/v1 Policy): how much of which requests is logged; the first rule that matches decides.
import { parse } from 'yaml';
import { isObject } from '#lib';
import type { Attributes, Identity, ResourceAttributes } from '../auth/identity.ts';

export type AuditLevel = 'None' | 'Metadata' | 'Request' | 'RequestResponse';
export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

export interface AuditRule {
  readonly level: AuditLevel;
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly GroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean | undefined;
}

interface GroupResources {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

export interface AuditPolicy {
  readonly rules: readonly AuditRule[];
  readonly omitStages: readonly AuditStage[];
  readonly omitManagedFields: boolean;
}

/** What is logged of one request. */
export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<AuditStage>;
  readonly omitManagedFields: boolean;
}

const LEVELS: readonly AuditLevel[] = ['None', 'Metadata', 'Request', 'RequestResponse'];
const STAGES: readonly AuditStage[] = [
  'RequestReceived',
  'ResponseStarted',
  'ResponseComplete',
  'Panic',
];
/** Bodies that hold secrets; of these no more than the metadata is ever logged. */
const SECRET = new Set(['secrets', 'tokenreviews', 'serviceaccounts/token']);

/** Reads YAML or JSON; throws an Error that says everything that is wrong with it. */
export function readAuditPolicy(text: string): AuditPolicy {
  const document: unknown = parse(text);
  const problems: string[] = [];
  const { apiVersion, kind, rules, omitStages, omitManagedFields } = isObject(document)
    ? document
    : {};
  if (apiVersion !== 'audit.k8s.io/v1' || kind !== 'Policy') {
    problems.push('it must be an audit.k8s.io/v1 Policy');
  }
  if (!Array.isArray(rules) || rules.length === 0) problems.push('rules must hold at least one');
  const policy = {
    rules: (Array.isArray(rules) ? rules : []).map((rule: unknown, index) =>
      readRule(rule, `rules[${index}]`, problems),
    ),
    omitStages: stages(omitStages, 'omitStages', problems),
    omitManagedFields: omitManagedFields === true,
  };
  if (problems.length > 0) throw new Error(`cannot use the audit policy: ${problems.join('; ')}`);
  return policy;
}

/** Without a rule that matches nothing is logged. */
export function auditDecision(
  policy: AuditPolicy,
  identity: Identity | undefined,
  attributes: Attributes,
): AuditDecision {
  const rule = policy.rules.find((one) => matches(one, identity, attributes));
  const level = rule?.level ?? 'None';
  const holdsSecrets = !('path' in attributes) && SECRET.has(combined(attributes));
  return {
    level: holdsSecrets && level !== 'None' ? 'Metadata' : level,
    omitStages: new Set([...policy.omitStages, ...(rule?.omitStages ?? [])]),
    omitManagedFields: rule?.omitManagedFields ?? policy.omitManagedFields,
  };
}

function matches(rule: AuditRule, identity: Identity | undefined, asked: Attributes): boolean {
  const { users, userGroups, verbs, resources, namespaces, nonResourceURLs } = rule;
  if (users.length > 0 && !users.includes(identity?.name ?? '')) return false;
  if (userGroups.length > 0) {
    if (!identity?.groups.some((group) => userGroups.includes(group))) return false;
  }
  if (verbs.length > 0 && !verbs.includes(asked.verb)) return false;
  if (resources.length > 0 || namespaces.length > 0) {
    return !('path' in asked) && matchesResource(rule, asked);
  }
  if (nonResourceURLs.length === 0) return true;
  return 'path' in asked && nonResourceURLs.some((pattern) => matchesPath(pattern, asked.path));
}

function matchesResource(rule: AuditRule, asked: ResourceAttributes): boolean {
  if (rule.namespaces.length > 0 && !rule.namespaces.includes(asked.namespace)) return false;
  if (rule.resources.length === 0) return true;
  return rule.resources.some(({ group, resources, resourceNames }) => {
    if (group !== asked.group) return false;
    if (resources.length === 0) return true;
    if (resourceNames.length > 0 && !resourceNames.includes(asked.name)) return false;
    return resources.some(
      (resource) =>
        resource === '*' ||
        resource === combined(asked) ||
        (asked.subresource !== '' &&
          (resource === `${asked.resource}/*` || resource === `*/${asked.subresource}`)),
    );
  });
}

function matchesPath(pattern: string, path: string): boolean {
  if (pattern === '*' || pattern === path) return true;
  return pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1));
}

function combined({ resource, subresource }: ResourceAttributes): string {
  return subresource === '' ? resource : `${resource}/${subresource}`;
}

function readRule(value: unknown, path: string, problems: string[]): AuditRule {
  const rule = isObject(value) ? value : {};
  const level = LEVELS.find((one) => one === rule['level']);
  if (!level) problems.push(`${path}.level must be ${LEVELS.join(', ')}`);
  const list = (name: string): readonly string[] => texts(rule[name], `${path}.${name}`, problems);
  const given = rule['resources'] ?? [];
  if (!Array.isArray(given)) problems.push(`${path}.resources must be a list`);
  const read: AuditRule = {
    level: level ?? 'None',
    users: list('users'),
    userGroups: list('userGroups'),
    verbs: list('verbs'),
    resources: (Array.isArray(given) ? given : []).map((one: unknown, index) => {
      const { group = '', resources, resourceNames } = isObject(one) ? one : {};
      const at = `${path}.resources[${index}]`;
      return {
        group: typeof group === 'string' ? group : '',
        resources: texts(resources, `${at}.resources`, problems),
        resourceNames: texts(resourceNames, `${at}.resourceNames`, problems),
      };
    }),
    namespaces: list('namespaces'),
    nonResourceURLs: list('nonResourceURLs'),
    omitStages: stages(rule['omitStages'], `${path}.omitStages`, problems),
    omitManagedFields:
      typeof rule['omitManagedFields'] === 'boolean' ? rule['omitManagedFields'] : undefined,
  };
  if (read.nonResourceURLs.length > 0 && read.resources.length + read.namespaces.length > 0) {
    problems.push(`${path}: nonResourceURLs exclude resources and namespaces; use a rule for each`);
  }
  return read;
}

function texts(value: unknown, path: string, problems: string[]): readonly string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
  problems.push(`${path} must be a list of texts`);
  return [];
}

function stages(value: unknown, path: string, problems: string[]): readonly AuditStage[] {
  return texts(value, path, problems).flatMap((text) => {
    const stage = STAGES.find((one) => one === text);
    if (!stage) problems.push(`${path}: "${text}" is none of ${STAGES.join(', ')}`);
    return stage ?? [];
  });
}

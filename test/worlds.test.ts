// The random worlds have everything of the policy model in them, and nothing that validation refuses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kindOf, type Resource, validateResource } from '#api';
import { isObject } from '#lib';
import { hostWorld } from './world-hosts.ts';
import { world } from './worlds.ts';

const SEED = 20_260;
const WORLDS = 300;

const KINDS: readonly (readonly [apiVersion: string, kind: string])[] = [
  ['projectcalico.org/v3', 'NetworkPolicy'],
  ['projectcalico.org/v3', 'GlobalNetworkPolicy'],
  ['projectcalico.org/v3', 'StagedNetworkPolicy'],
  ['projectcalico.org/v3', 'StagedGlobalNetworkPolicy'],
  ['projectcalico.org/v3', 'StagedKubernetesNetworkPolicy'],
  ['projectcalico.org/v3', 'Tier'],
  ['projectcalico.org/v3', 'Profile'],
  ['projectcalico.org/v3', 'NetworkSet'],
  ['projectcalico.org/v3', 'GlobalNetworkSet'],
  ['projectcalico.org/v3', 'HostEndpoint'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['policy.networking.k8s.io/v1alpha2', 'ClusterNetworkPolicy'],
];

const LEFT_OUT = [
  // Validation refuses these.
  /\.ingress\[\]\.destination\.services/,
  /\.egress\[\]\.source\.services/,
  /\.egress\[\]\.http/,
  // Made by the same generators as those of policies in force; staged ones are few.
  /^Staged.*\.(in|e)gress\[\]/,
];

const resources = [world, hostWorld(['normal', 'forward', 'preDNAT', 'doNotTrack'])].flatMap((it) =>
  fc.sample(it, { seed: SEED, numRuns: WORLDS }).flatMap((one) => one.resources),
);

test('every field of policies, rules and what they select occurs, with every word that it may be', () => {
  const missing: string[] = [];
  for (const [apiVersion, kind] of KINDS) {
    const found = new Set<string>();
    for (const it of resources) {
      if (it.apiVersion === apiVersion && it.kind === kind) {
        for (const path of pathsOfValue(specOf(it), '')) found.add(path);
      }
    }
    const schema: unknown = kindOf(apiVersion, kind)?.schema;
    const wanted = isObject(schema) && isObject(schema['properties']) ? schema['properties'] : {};
    for (const path of pathsOfSchema(wanted['spec'], '')) {
      const isLeftOut = LEFT_OUT.some((pattern) => pattern.test(`${kind}${path}`));
      if (!isLeftOut && !found.has(path)) missing.push(`${kind}${path}`);
    }
  }
  assert.deepEqual(missing, []);
});

test('validation accepts every resource', () => {
  const problems = new Set<string>();
  for (const it of resources) {
    for (const { path, message, severity } of validateResource(it).problems) {
      if (severity === 'error') problems.add(`${it.kind} ${path}: ${message}`);
    }
  }
  assert.deepEqual([...problems], []);
});

function specOf(resource: Resource): unknown {
  return 'spec' in resource ? resource.spec : undefined;
}

/** `.ingress[].protocol`, and `.ingress[].action=Allow` for words. */
function* pathsOfValue(value: unknown, path: string): Generator<string> {
  yield path;
  if (Array.isArray(value)) for (const item of value) yield* pathsOfValue(item, `${path}[]`);
  else if (isObject(value)) {
    for (const [key, member] of Object.entries(value))
      yield* pathsOfValue(member, `${path}.${key}`);
  } else yield `${path}=${String(value)}`;
}

function* pathsOfSchema(schema: unknown, path: string): Generator<string> {
  if (!isObject(schema)) return;
  yield path;
  const { properties, items, enum: words, anyOf } = schema;
  if (isObject(properties)) {
    for (const [key, member] of Object.entries(properties)) {
      yield* pathsOfSchema(member, `${path}.${key}`);
    }
  }
  if (items !== undefined) yield* pathsOfSchema(items, `${path}[]`);
  if (Array.isArray(anyOf)) for (const way of anyOf) yield* pathsOfSchema(way, path);
  if (Array.isArray(words)) for (const word of words) yield `${path}=${String(word)}`;
}

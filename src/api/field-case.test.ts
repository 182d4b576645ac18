// Tests of field names in another letter case.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadManifests } from './load-manifests.ts';

const manifest = (spec: string): string => `
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: old}
spec: ${spec}
`;

test('names in another letter case are read and warned of, at their line', () => {
  const { resources, problems } = loadManifests(
    manifest('{Ingress: [{Action: Deny, protocol: ICMP, ICMP: {type: 8}}]}'),
    'old.yaml',
  );
  assert.deepEqual(Reflect.get(resources[0] ?? {}, 'spec'), {
    ingress: [{ action: 'Deny', protocol: 'ICMP', icmp: { type: 8 } }],
  });
  assert.deepEqual(
    problems.map(({ severity, path, line }) => [severity, path, line]),
    [
      ['warning', 'spec.Ingress', 5],
      ['warning', 'spec.ingress[0].Action', 5],
      ['warning', 'spec.ingress[0].ICMP', 5],
    ],
  );
});

test('a name that stands beside its right spelling is refused, and so is a kind of Kubernetes', () => {
  const both = loadManifests(manifest('{Ingress: [], ingress: []}'), 'both.yaml');
  assert.deepEqual(both.resources, []);
  assert.match(both.problems[0]?.message ?? '', /unknown field; did you mean "ingress"\?/);
  const kubernetes = loadManifests(
    'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {PodSelector: {}}',
    'k.yaml',
  );
  assert.deepEqual(kubernetes.resources, []);
});

// What does nothing is said, and what does something is not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateResource } from './validate-resource.ts';

function warnings(spec: object, apiVersion = 'projectcalico.org/v3'): string[] {
  const metadata = { name: 'policy', namespace: 'shop' };
  const { problems } = validateResource({ apiVersion, kind: 'NetworkPolicy', metadata, spec });
  assert.ok(problems.every(({ severity }) => severity === 'warning'));
  return problems.map(({ path }) => path);
}

const tcp = { action: 'Allow', protocol: 'TCP' };

test('selectors that ask of a label what cannot be', () => {
  const never = [
    'a in {}',
    'has(a) && !has(a)',
    'a == "x" && a == "y"',
    'a in {"x"} && a in {"y"}',
  ];
  for (const selector of never) {
    assert.deepEqual(warnings({ selector }), ['spec.selector'], selector);
    assert.deepEqual(warnings({ ingress: [{ action: 'Deny', source: { selector } }] }), [
      'spec.ingress[0].source.selector',
    ]);
  }
  for (const selector of ['', 'all()', 'a not in {}', 'has(a) || !has(a)', 'a in {"x", "y"}']) {
    assert.deepEqual(warnings({ selector }), [], selector);
  }
});

test('rules of a direction that the types leave out', () => {
  assert.deepEqual(warnings({ types: ['Ingress'], egress: [tcp] }), ['spec.egress']);
  assert.deepEqual(warnings({ types: ['Egress'], egress: [tcp] }), []);
  const kubernetes = 'networking.k8s.io/v1';
  assert.deepEqual(warnings({ policyTypes: ['Ingress'], egress: [{}] }, kubernetes), [
    'spec.egress',
  ]);
  assert.deepEqual(warnings({ egress: [{}] }, kubernetes), []);
});

test('ports that the rule itself excludes', () => {
  const ports = [80, '90:95', 'http', 8080];
  const notPorts = ['1:100', 'http'];
  const destination = { ports, notPorts };
  assert.deepEqual(warnings({ ingress: [{ ...tcp, destination }] }), [
    'spec.ingress[0].destination.ports[0]',
    'spec.ingress[0].destination.ports[1]',
    'spec.ingress[0].destination.ports[2]',
  ]);
});

// Tests of how kinds are found by what users call them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiVersionOf, KINDS } from '#api';
import { UsageError } from './cli-error.ts';
import { displayName, lookupKind } from './kind-lookup.ts';
import { valueAt } from './resource-columns.ts';

function found(text: string): string {
  const kind = lookupKind(text);
  return `${apiVersionOf(kind)} ${kind.kind}`;
}

test('every kind is found by its plural, singular and short names with its group', () => {
  for (const kind of KINDS) {
    const group = kind.group === '' ? '' : `.${kind.group}`;
    for (const word of [kind.plural, kind.singular, kind.kind]) {
      assert.equal(lookupKind(`${word}${group}`), kind, word);
    }
  }
});

test('a word that two groups have means what it means to calicoctl', () => {
  const calico = 'projectcalico.org/v3 NetworkPolicy';
  const kubernetes = 'networking.k8s.io/v1 NetworkPolicy';
  for (const word of ['np', 'policy', 'networkpolicies', 'NetworkPolicy', 'cnp']) {
    assert.equal(found(word), calico, word);
  }
  for (const word of ['netpol', 'networkpolicies.networking.k8s.io']) {
    assert.equal(found(word), kubernetes, word);
  }
  assert.equal(found('networkpolicies.projectcalico.org'), calico);
  assert.equal(found('wep'), 'projectcalico.org/v3 WorkloadEndpoint');
  assert.equal(found('nodes'), 'v1 Node');
});

test('an unknown word is refused with the nearest known one', () => {
  assert.throws(
    () => lookupKind('podz'),
    new UsageError('Cannot find a kind named "podz": did you mean pods?'),
  );
  assert.throws(() => lookupKind('constructor'), UsageError);
});

test('names are shown with the group where there is one', () => {
  assert.equal(displayName(lookupKind('pod'), 'cart'), 'pod/cart');
  assert.equal(displayName(lookupKind('np'), 'x'), 'networkpolicy.projectcalico.org/x');
});

test('the path of every column of every kind can be read', () => {
  for (const { columns } of KINDS) {
    for (const { path } of columns) assert.doesNotThrow(() => valueAt({}, path), path);
  }
  const pod = { status: { conditions: [{ type: 'Ready', status: 'True' }] } };
  assert.equal(valueAt(pod, '.status.conditions[?(@.type=="Ready")].status'), 'True');
  assert.equal(valueAt(pod, '.status.conditions[0].type'), 'Ready');
  assert.equal(valueAt(pod, '.status.toString'), undefined);
});

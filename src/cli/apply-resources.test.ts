// Tests of what apply changes and what it leaves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonEqual } from '#lib';
import type { Resource } from '#api';
import { definitionOf, inApplyOrder, inNamespace, merged } from './apply-resources.ts';

function resource(kind: string, fields: object = {}, metadata: object = {}): Resource {
  const apiVersion = /Policy|Tier|Set/.test(kind) ? 'projectcalico.org/v3' : 'v1';
  return { apiVersion, kind, metadata: { name: 'a', ...metadata }, ...fields } as Resource;
}

test('dependency comes before dependent, and pods last', () => {
  const kinds = ['Pod', 'NetworkPolicy', 'Namespace', 'GlobalNetworkSet', 'Tier'];
  const order = inApplyOrder(kinds.map((kind) => resource(kind))).map(({ kind }) => kind);
  assert.deepEqual(order, ['Namespace', 'Tier', 'GlobalNetworkSet', 'NetworkPolicy', 'Pod']);
});

test("the namespace is the manifest's own, else the given one, and none where there is none", () => {
  assert.equal(inNamespace(resource('Pod'), 'x').metadata.namespace, 'x');
  assert.equal(inNamespace(resource('Pod', {}, { namespace: 'y' }), 'x').metadata.namespace, 'y');
  assert.equal(inNamespace(resource('Tier'), 'x').metadata.namespace, undefined);
});

test('the same manifest again changes nothing, though server and agents wrote beside it', () => {
  const wanted = resource('Pod', { spec: { containers: [] } }, { labels: { app: 'a' } });
  const identity = { uid: '1', resourceVersion: '2', creationTimestamp: 't' };
  const present = resource(
    'Pod',
    { spec: { containers: [], nodeName: 'one' }, status: { phase: 'Running' } },
    { labels: { app: 'a' }, annotations: { 'cni.projectcalico.org/podIP': '1/32' }, ...identity },
  );
  const next = merged(definitionOf(wanted), present, wanted);
  assert.ok(jsonEqual(next, present), JSON.stringify(next));
});

test('what the manifest no longer says goes, of spec and labels', () => {
  const wanted = resource('NetworkPolicy', { spec: { order: 1 } });
  const present = resource(
    'NetworkPolicy',
    { spec: { order: 1, selector: 'all()' } },
    { labels: { old: 'x' }, resourceVersion: '7' },
  );
  const next = merged(definitionOf(wanted), present, wanted);
  assert.deepEqual(
    next,
    resource('NetworkPolicy', { spec: { order: 1 } }, { resourceVersion: '7' }),
  );
});

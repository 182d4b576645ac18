// Kubernetes' own end-to-end tests of NetworkPolicy: every cell of every truth table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { corpusMissing } from './corpora.ts';
import { judgeByReference } from './situation.ts';
import { kubernetesSituations } from './suite-kubernetes-e2e.ts';

test('k8s-e2e-netpol', { skip: corpusMissing('k8s-e2e-netpol') }, () => {
  const results = kubernetesSituations().flatMap(judgeByReference);
  const wrong = results.filter((result) => result !== '');
  process.stdout.write(`# k8s-e2e-netpol: ${results.length - wrong.length} of ${results.length}\n`);
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.equal(results.length, 4680);
});

// The network-policy-api conformance tests: ClusterNetworkPolicy, Admin and Baseline, every probe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { corpusMissing } from './corpora.ts';
import { judgeByReference } from './situation.ts';
import { clusterPolicySituations } from './suite-cluster-policy.ts';

test('network-policy-api', { skip: corpusMissing('network-policy-api') }, () => {
  const results = clusterPolicySituations().flatMap(judgeByReference);
  const wrong = results.filter((result) => result !== '');
  process.stdout.write(
    `# network-policy-api: ${results.length - wrong.length} of ${results.length}\n`,
  );
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.equal(results.length, 301);
});

// Kubernetes objects turned into Calico's, against the outputs of Calico's own converter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ClusterNetworkPolicy,
  clusterPolicyToCalico,
  type KubernetesNetworkPolicy,
  kubernetesPolicyToCalico,
  type Namespace,
  namespaceToProfile,
  type Pod,
  type Port,
  podProblems,
  podToWorkloadEndpoint,
  type ServiceAccount,
  serviceAccountToProfile,
  simplifyPorts,
} from '#api';
import { corpusMissing, readCorpus } from './corpora.ts';

const skip = corpusMissing('k8s-conversion');

interface Row {
  id: string;
  op: string;
  test: string;
  input: unknown;
  output?: unknown;
  error?: boolean;
}

function each(op: string, total: number, check: (row: Row) => void): void {
  test(`${op}: ${total} of ${total}`, { skip }, () => {
    const rows = readCorpus<Row>('k8s-conversion/upstream-tests.json').filter(
      (row) => row.op === op,
    );
    let passed = 0;
    for (const row of rows) {
      check(row);
      passed++;
    }
    console.log(`k8s-conversion/${op}: ${passed} of ${rows.length}`);
    assert.deepEqual([passed, rows.length], [total, total]);
  });
}

each('K8sNetworkPolicyToCalico', 32, (row) => {
  const { policy, problems } = kubernetesPolicyToCalico(row.input as KubernetesNetworkPolicy);
  assert.deepEqual(policy, row.output, `${row.id} ${row.test}`);
  assert.equal(problems.length > 0, row.error ?? false, row.id);
});

each('K8sClusterNetworkPolicyToCalico', 27, (row) => {
  const { policy, problems } = clusterPolicyToCalico(row.input as ClusterNetworkPolicy);
  assert.deepEqual(policy, row.output, `${row.id} ${row.test}`);
  // Upstream tells no error where it drops the policy as a whole.
  assert.equal(problems.length > 0, row.error ?? row.output === undefined, row.id);
});

each('NamespaceToProfile', 7, (row) => {
  assert.deepEqual(namespaceToProfile(row.input as Namespace), row.output, row.id);
});

each('ServiceAccountToProfile', 5, (row) => {
  assert.deepEqual(serviceAccountToProfile(row.input as ServiceAccount), row.output, row.id);
});

each('PodToWorkloadEndpoints', 33, (row) => {
  const pod = row.input as Pod;
  assert.equal(podProblems(pod).length > 0, row.error ?? false, row.id);
  const endpoint = podToWorkloadEndpoint(pod);
  const expected = (row.output as { spec: { ports?: object[] } }[] | undefined)?.[0];
  if (expected?.spec.ports) expected.spec.ports = expected.spec.ports.map(withoutZeros);
  assert.deepEqual(endpoint, expected, `${row.id} ${row.test}`);
});

/** Upstream writes `hostPort: 0` and `hostIP: ""` where there is none. */
function withoutZeros(port: object): object {
  return Object.fromEntries(
    Object.entries(port).filter(([key, value]) => key === 'name' || (value !== 0 && value !== '')),
  );
}

test('simplify-ports.json: 12 of 12', { skip }, () => {
  const rows = readCorpus<{ input: string; output: string }>('k8s-conversion/simplify-ports.json');
  for (const row of rows) {
    const ports = row.input === '' ? [] : row.input.split(',').map(portOfText);
    assert.equal(simplifyPorts(ports).join(','), row.output);
  }
  console.log(`k8s-conversion/simplify-ports: ${rows.length} of ${rows.length}`);
  assert.equal(rows.length, 12);
});

function portOfText(text: string): Port {
  return /^\d+$/.test(text) ? Number(text) : text;
}

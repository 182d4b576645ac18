// A policy is in force when every node says so of that version of it, a host endpoint when its own node does.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AgentStatus, AgentStatusStatus } from './agent-status.ts';
import { enforcementOf } from './enforcement.ts';

const policy = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'NetworkPolicy',
  metadata: { name: 'web', namespace: 'shop', resourceVersion: '100' },
};

function agents(statuses: Record<string, AgentStatusStatus>): Map<string, AgentStatus> {
  const entries = Object.entries(statuses).map(([name, status]): [string, AgentStatus] => [
    name,
    { apiVersion: 'tortie.dev/v1', kind: 'AgentStatus', metadata: { name }, status },
  ]);
  return new Map(entries);
}

test('a node enforces what it has applied at that revision or later, and has not refused', () => {
  const kind = 'NetworkPolicy.projectcalico.org';
  const all = agents({
    there: { appliedRevisions: { [kind]: '1000' } },
    exactly: { appliedRevisions: { [kind]: '100' } },
    behind: { appliedRevisions: { [kind]: '99' }, errors: ['the kernel is full'] },
    otherKind: { appliedRevisions: { 'NetworkPolicy.networking.k8s.io': '500' } },
    refuses: {
      appliedRevisions: { [kind]: '100' },
      refusedPolicies: [{ key: 'NetworkPolicy/shop/web', message: 'refused' }],
    },
    refusesAnother: {
      appliedRevisions: { [kind]: '100' },
      refusedPolicies: [{ key: 'KubernetesNetworkPolicy/shop/web', message: 'refused' }],
    },
  });
  assert.deepEqual(enforcementOf(policy, [...all.keys(), 'silent'], all), [
    { node: 'there', enforced: true },
    { node: 'exactly', enforced: true },
    { node: 'behind', enforced: false, error: 'the kernel is full' },
    { node: 'otherKind', enforced: false },
    { node: 'refuses', enforced: false, error: 'refused' },
    { node: 'refusesAnother', enforced: true },
    { node: 'silent', enforced: false, error: 'its agent has not reported' },
  ]);
});

test('a host endpoint is in force when its node has that revision of it on an interface', () => {
  const kind = 'HostEndpoint.projectcalico.org';
  const endpoint = (node: string) => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'HostEndpoint',
    metadata: { name: 'eth0', resourceVersion: '100' },
    spec: { node, interfaceName: 'eth0' },
  });
  const here = { name: 'eth0', interfaceName: 'eth0', enforced: true };
  const lost = { name: 'eth0', enforced: false, error: 'cannot find an interface' };
  const all = agents({
    there: { appliedRevisions: { [kind]: '100' }, hostEndpoints: [here] },
    behind: { appliedRevisions: { [kind]: '99' }, hostEndpoints: [here] },
    unplaced: { appliedRevisions: { [kind]: '100' }, hostEndpoints: [lost], errors: ['other'] },
    unaware: { appliedRevisions: { [kind]: '100' }, hostEndpoints: [] },
  });
  const of = (node: string) => enforcementOf(endpoint(node), all.keys(), all);
  assert.deepEqual(of('there'), [{ node: 'there', enforced: true }]);
  assert.deepEqual(of('behind'), [{ node: 'behind', enforced: false }]);
  assert.deepEqual(of('unplaced'), [
    { node: 'unplaced', enforced: false, error: 'cannot find an interface' },
  ]);
  assert.deepEqual(of('unaware'), [{ node: 'unaware', enforced: false }]);
  assert.deepEqual(of('nowhere'), [
    { node: 'nowhere', enforced: false, error: 'there is no such node' },
  ]);
});

// Pods as endpoints: where addresses come from, what makes a pod no endpoint, what is only ignored.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '../kubernetes.ts';
import {
  isFinishedPod,
  podInterfaceName,
  podProblems,
  podToWorkloadEndpoint,
} from './pod-endpoint.ts';

interface Parts {
  annotations?: Record<string, string>;
  labels?: Record<string, string>;
  deletionTimestamp?: string;
  spec?: Partial<Pod['spec']>;
  status?: Pod['status'];
}

const UNSCHEDULED = { unscheduled: true } as const;

function pod({ spec, status, ...metadata }: Parts): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web-1', namespace: 'shop', ...metadata },
    spec: { containers: [], ...spec },
    ...(status ? { status } : {}),
  };
}

const cni = (name: string): string => `cni.projectcalico.org/${name}`;

function networksOf(parts: Parts): readonly string[] | undefined {
  return podToWorkloadEndpoint(pod(parts), UNSCHEDULED)?.spec.ipNetworks;
}

test("addresses: status before annotations, the plugin's before the asked for", () => {
  const asked = { [cni('ipAddrs')]: '["10.0.0.4", "2001:db8::4"]' };
  assert.deepEqual(networksOf({ annotations: asked }), ['10.0.0.4/32', '2001:db8::4/128']);
  const single = { ...asked, [cni('podIP')]: '10.0.0.3/32' };
  assert.deepEqual(networksOf({ annotations: single }), ['10.0.0.3/32']);
  const both = { ...single, [cni('podIPs')]: '10.0.0.2/32,2001:db8::2/128' };
  assert.deepEqual(networksOf({ annotations: both }), ['10.0.0.2/32', '2001:db8::2/128']);
  const status = { podIP: '10.0.0.1', podIPs: [{ ip: '10.0.0.1' }, { ip: '2001:db8::1' }] };
  assert.deepEqual(networksOf({ annotations: both, status }), ['10.0.0.1/32', '2001:db8::1/128']);
  assert.deepEqual(networksOf({ annotations: both, status: { podIP: '10.0.0.9' } }), [
    '10.0.0.9/32',
  ]);
});

test('a finished pod keeps no address', () => {
  const status = { phase: 'Failed', podIP: '10.0.0.1' };
  assert.equal(isFinishedPod(pod({ status })), true);
  assert.equal(networksOf({ status }), undefined);
  assert.ok(podToWorkloadEndpoint(pod({ status }), UNSCHEDULED));
});

test("a pod without node is an endpoint without one; one on the host's network is none", () => {
  const endpoint = podToWorkloadEndpoint(pod({}), UNSCHEDULED);
  assert.equal(endpoint?.spec.node, undefined);
  assert.equal(endpoint?.metadata.name, 'k8s-web--1-eth0');
  assert.equal(podToWorkloadEndpoint(pod({ spec: { hostNetwork: true } }), UNSCHEDULED), undefined);
});

test("labels of the system win over the pod's own", () => {
  const labels = { 'projectcalico.org/namespace': 'other', 'projectcalico.org/orchestrator': 'x' };
  const { metadata } = podToWorkloadEndpoint(pod({ labels }), UNSCHEDULED) ?? {};
  assert.equal(metadata?.labels?.['projectcalico.org/namespace'], 'shop');
  assert.equal(metadata?.labels?.['projectcalico.org/orchestrator'], 'k8s');
});

test('a pod cannot give itself what its namespace or account would lend it', () => {
  const account = { 'projectcalico.org/serviceaccount': 'admin' };
  const labels = { 'pcns.team': 'blue', 'pcsa.role': 'x', pcns: 'y', app: 'web', ...account };
  const { metadata } = podToWorkloadEndpoint(pod({ labels }), UNSCHEDULED) ?? {};
  assert.deepEqual(metadata?.labels, {
    pcns: 'y',
    app: 'web',
    'projectcalico.org/namespace': 'shop',
    'projectcalico.org/orchestrator': 'k8s',
  });
});

test('malformed addresses make it no endpoint, malformed limits are ignored', () => {
  const bad: Record<string, string>[] = [
    { [cni('podIPs')]: '10.0.0.0/24' },
    { [cni('ipAddrs')]: '10.0.0.1' },
    { [cni('ipAddrs')]: '[1]' },
    { [cni('allowedSourcePrefixes')]: '["all"]' },
    { [cni('ipAddrs')]: '["10.0.0.1"]', [cni('floatingIPs')]: '["x"]' },
  ];
  for (const annotations of bad) {
    assert.equal(
      podToWorkloadEndpoint(pod({ annotations }), UNSCHEDULED),
      undefined,
      JSON.stringify(annotations),
    );
    assert.equal(podProblems(pod({ annotations }), UNSCHEDULED)[0]?.severity, 'error');
  }
  const annotations = {
    'qos.projectcalico.org/ingressBandwidth': 'fast',
    'qos.projectcalico.org/egressBandwidth': '1.5M',
    'qos.projectcalico.org/dscp': '64',
  };
  const limited = podToWorkloadEndpoint(pod({ annotations }), UNSCHEDULED);
  assert.deepEqual(limited?.spec.qosControls, { egressBandwidth: 1_500_000 });
  assert.deepEqual(
    podProblems(pod({ annotations }), UNSCHEDULED).map(({ severity }) => severity),
    ['warning', 'warning'],
  );
});

test("interface names are Calico's", () => {
  assert.equal(podInterfaceName('default', 'podA'), 'cali7f94ce7c295');
});

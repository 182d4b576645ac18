// The resources that Calico's documentation shows: what a reader pastes is accepted as it stands.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { validateResource } from '#api';
import { corpusMissing, readCorpus } from './corpora.ts';

const skip = corpusMissing('docs-examples');

interface Row {
  id: string;
  source: string;
  placeholders?: boolean;
  resource: object;
}

const FRAGMENT = "a fragment without spec, which Calico's own CRD requires";
const COMMENT_LOST = 'the page\'s comment lost its "#", so it is part of the value';
const PLACEHOLDER = 'a placeholder that is not marked as one';
const NO_PROTOCOL = 'a numeric port without protocol, which Calico refuses too';
const CLIENT = "the configuration of Calico's own client, not a resource of the API";

/** Examples without marked placeholders that are refused, each with its reason. */
const REFUSED: Readonly<Record<string, readonly [field: string, reason: string]>> = {
  'calico-labels.mdx:15': ['spec.ingress[0].destination.ports[0]', NO_PROTOCOL],
  'calico-labels.mdx:84': ['spec.ingress[0].destination.ports[0]', NO_PROTOCOL],
  'calico-network-policy.mdx:35': ['spec', FRAGMENT],
  'calico-network-policy.mdx:45': ['spec', FRAGMENT],
  'icmp-ping.mdx:80': ['spec.ingress[0].icmp.type', COMMENT_LOST],
  'icmp-ping.mdx:108': ['spec.ingress[0].icmp.type', COMMENT_LOST],
  'services-cluster-ips.mdx:73': ['spec.ingress[0].destination.nets[0]', COMMENT_LOST],
  'services-cluster-ips.mdx:107': ['spec.ingress[0].destination.nets[0]', COMMENT_LOST],
  'services-cluster-ips.mdx:130': ['spec.types[1]', 'the page lists rules under types'],
  'kubernetes-node-ports.mdx:86': ['spec.expectedIPs[0]', PLACEHOLDER],
  'advertise-service-ips.mdx:149': ['spec.serviceExternalIPs[0].cidr', PLACEHOLDER],
  'advertise-service-ips.mdx:188': ['spec.serviceLoadBalancerIPs[0].cidr', PLACEHOLDER],
  'etcd.mdx:69': ['kind', CLIENT],
  'etcd.mdx:82': ['kind', CLIENT],
  'kdd.mdx:67': ['kind', CLIENT],
  'kubecontrollersconfig.mdx:13': [
    'spec.controllers.loadbalancer',
    'the field is called loadBalancer',
  ],
  'workloadendpoint.mdx:33': ['spec.containerID', 'digits without quotes are a number in YAML'],
};

test('docs-examples: all decided', { skip }, () => {
  const rows = readCorpus<Row>('docs-examples/resources.json');
  let accepted = 0;
  let refused = 0;
  for (const row of rows) {
    const { problems } = validateResource(row.resource);
    const errors = problems.filter(({ severity }) => severity === 'error');
    const page = row.source.slice(row.source.lastIndexOf('/') + 1);
    const [field] = REFUSED[page] ?? [];
    const placeholders = row.placeholders === true && errors.length > 0;
    if (placeholders || field !== undefined) refused++;
    else accepted++;
    if (placeholders) continue;
    assert.equal(errors[0]?.path, field, `${row.source}: ${JSON.stringify(errors)}`);
  }
  console.log(
    `docs-examples: ${accepted} accepted, ${refused} refused, ${rows.length} of 199 decided`,
  );
  assert.deepEqual([accepted, refused, rows.length], [169, 30, 199]);
});

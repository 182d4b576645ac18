// What clients of a Kubernetes API expect beyond resources: discovery in one answer, unknown fields, YAML.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { globalNetworkPolicyKind, networkSetKind, SERVED_KINDS } from '#api';
import { isObject } from '#lib';
import { getJson, type ServerFixture, startServer } from './server-fixture.ts';

const V2 = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

interface Discovered {
  readonly metadata: { readonly name?: string };
  readonly versions: readonly {
    readonly version: string;
    readonly resources: readonly {
      readonly resource: string;
      readonly responseKind: { readonly kind: string };
      readonly scope: string;
      readonly subresources?: readonly { readonly subresource: string }[];
    }[];
  }[];
}

/** A write with a body as it is; the status, the warnings and the answer. */
async function send(
  { url, ca, adminToken }: ServerFixture,
  method: string,
  path: string,
  { type, body }: { type: string; body: string },
): Promise<{ status: number; warnings: string; answer: Record<string, unknown> }> {
  const headers = { authorization: `Bearer ${adminToken}`, 'content-type': type };
  const sent = request(`${url}${path}`, { method, ca, headers });
  sent.end(body);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  const answer: unknown = JSON.parse(await text(response));
  assert.ok(isObject(answer));
  const { warning = '' } = response.headers;
  return { status: response.statusCode ?? 0, warnings: String(warning), answer };
}

test('[AP20] discovery in one answer says what the older one says', async (context) => {
  const server = await startServer(context);
  const found = new Set<string>();
  for (const path of ['/api', '/apis']) {
    const list = await getJson(server, path, { accept: `${V2},application/json` });
    assert.deepEqual(
      [list['kind'], list['apiVersion']],
      ['APIGroupDiscoveryList', 'apidiscovery.k8s.io/v2'],
    );
    for (const { metadata, versions } of list['items'] as Discovered[]) {
      for (const { version, resources } of versions) {
        for (const { resource, responseKind, scope, subresources = [] } of resources) {
          const subs = subresources.map(({ subresource }) => subresource).join(',');
          const place = `${metadata.name ?? ''}/${version}/${resource}`;
          found.add(`${place} ${responseKind.kind} ${scope} ${subs}`);
        }
      }
    }
  }
  for (const kind of SERVED_KINDS) {
    const place = `${kind.group}/${kind.version}/${kind.plural}`;
    const scope = kind.namespaced ? 'Namespaced' : 'Cluster';
    const wanted = `${place} ${kind.kind} ${scope} ${kind.hasStatus ? 'status' : ''}`;
    assert.ok(
      [...found].some((line) => line.startsWith(wanted)),
      wanted,
    );
  }
  const beta = await getJson(server, '/apis', { accept: V2.replace('v=v2', 'v=v2beta1') });
  assert.equal(beta['apiVersion'], 'apidiscovery.k8s.io/v2beta1');
  assert.equal((await getJson(server, '/apis'))['kind'], 'APIGroupList');
});

test('[AP21] fields that a kind does not have: refused, left out with a warning, left out', async (context) => {
  const server = await startServer(context);
  const policy = (name: string) => ({
    type: 'application/json',
    body: JSON.stringify({
      apiVersion: 'projectcalico.org/v3',
      kind: 'GlobalNetworkPolicy',
      metadata: { name },
      spec: { selectr: 'a', selector: 'all()', ingress: [{ action: 'Allow', extra: 1 }] },
    }),
  });
  const path = '/apis/projectcalico.org/v3/globalnetworkpolicies';
  for (const query of ['', '?fieldValidation=Strict']) {
    const { status, answer } = await send(server, 'POST', `${path}${query}`, policy('a'));
    assert.equal(status, 422);
    assert.match(String(answer['message']), /selectr: unknown field.*extra: unknown field/s);
  }
  const warned = await send(server, 'POST', `${path}?fieldValidation=Warn`, policy('b'));
  assert.equal(warned.status, 201);
  assert.match(warned.warnings, /299 - "spec\.selectr: unknown field.*spec\.ingress\[0\]\.extra/s);
  const ignored = await send(server, 'POST', `${path}?fieldValidation=Ignore`, policy('c'));
  assert.deepEqual([ignored.status, ignored.warnings], [201, '']);
  for (const name of ['b', 'c']) {
    const kept = await server.admin.get(globalNetworkPolicyKind, { name });
    assert.doesNotMatch(JSON.stringify(kept), /selectr|extra/);
  }
  const wrong = await send(server, 'POST', `${path}?fieldValidation=Maybe`, policy('d'));
  assert.equal(wrong.status, 422);
});

test('[AP22] what is applied may be YAML, read as kubectl reads it', async (context) => {
  const server = await startServer(context);
  const path = '/apis/projectcalico.org/v3/namespaces/default/networksets/made?fieldManager=m';
  const body = [
    'apiVersion: projectcalico.org/v3',
    'kind: NetworkSet',
    'metadata:',
    '  name: made',
    '  labels: {e1: e1, time: 2026-01-01, port: "80:90"}',
    'spec: {nets: [192.0.2.0/24]}',
  ].join('\n');
  const type = 'application/apply-patch+yaml';
  const applied = await send(server, 'PATCH', path, { type, body });
  assert.equal(applied.status, 422, '"80:90" is no label');
  const good = await send(server, 'PATCH', path, { type, body: body.replace('"80:90"', '8090x') });
  assert.equal(good.status, 201, JSON.stringify(good.answer));
  const kept = await server.admin.get(networkSetKind, { namespace: 'default', name: 'made' });
  assert.deepEqual(kept?.metadata.labels, { e1: 'e1', time: '2026-01-01', port: '8090x' });
  const on = body.replace('"80:90"', 'on');
  assert.equal((await send(server, 'PATCH', path, { type, body: on })).status, 422, 'on is true');
});

// An IPPool that overlaps another is refused, whichever contains the other.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clusterInformationKind, ipPoolKind, type Resource } from '#api';
import { ApiError } from '#datastore/client';
import { startServer } from './server-fixture.ts';

function pool(name: string, cidr: string): Resource & { spec: object } {
  const spec = { cidr };
  return { apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata: { name }, spec };
}

test('[AP24] a pool that overlaps another is refused, unless the datastore is locked', async (context) => {
  const { admin } = await startServer(context);
  await admin.create(ipPoolKind, pool('first', '10.1.0.0/16'));
  for (const cidr of ['10.1.2.0/24', '10.0.0.0/8', '10.1.0.0/16']) {
    await assert.rejects(admin.create(ipPoolKind, pool('second', cidr)), (error: unknown) => {
      assert.ok(error instanceof ApiError);
      assert.equal(error.status, 422);
      assert.match(error.message, /spec\.cidr: .* overlaps IPPool ".*" with 10\./);
      return true;
    });
  }
  await admin.create(ipPoolKind, pool('beside', '10.2.0.0/16'));
  await admin.create(ipPoolKind, pool('six', 'fd00:1::/64'));
  await assert.rejects(admin.create(ipPoolKind, pool('first', '10.1.0.0/16')), /already exists/);
  const information: Resource & { spec: object } = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'ClusterInformation',
    metadata: { name: 'default' },
    spec: { datastoreReady: false },
  };
  await admin.create(clusterInformationKind, information);
  await admin.create(ipPoolKind, pool('part', '10.1.0.0/17'));
});

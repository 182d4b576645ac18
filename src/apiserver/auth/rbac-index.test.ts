// The roles in force follow the store, also through a watch that broke.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { clusterRoleBindingKind, clusterRoleKind, SERVED_KINDS } from '#api';
import { openSqliteStore, RevisionTooOld, type Store, type StoreWatch } from '#datastore';
import { Resources } from '../resources.ts';
import { RbacIndex } from './rbac-index.ts';

test('[AZ7] a binding that was deleted while a watch was broken counts no more', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-rbac-'));
  const real = await openSqliteStore({ path: join(folder, 'store.db') });
  const watches: StoreWatch[] = [];
  let mute = false;
  const store: Store = new Proxy(real, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      if (name !== 'watch') return member.bind(target) as unknown;
      return (watch: StoreWatch) => {
        watches.push(watch);
        const isMute = mute;
        const onEvent: StoreWatch['onEvent'] = (event) => {
          if (mute === isMute) watch.onEvent(event);
        };
        return target.watch({ ...watch, onEvent });
      };
    },
  });
  const errors: unknown[] = [];
  const onError = (error: unknown): void => void errors.push(error);
  const resources = new Resources({ store, kinds: SERVED_KINDS, onError });
  const index = await RbacIndex.open(resources, onError);
  context.after(async () => {
    await index.close();
    await resources.close();
    await real.close();
    await rm(folder, { recursive: true, force: true });
  });
  const rules = [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }];
  const create = (kind: typeof clusterRoleKind, name: string, rest: object): Promise<unknown> =>
    resources.create({ kind, namespace: '' }, { metadata: { name }, ...rest }, { dryRun: false });
  await create(clusterRoleKind, 'r', { rules });
  const roleRef = { kind: 'ClusterRole', name: 'r' };
  const subjects = [{ kind: 'User', name: 'bob' }];
  await create(clusterRoleBindingKind, 'b', { roleRef, subjects });
  const bob = { name: 'bob', groups: [] };
  const asked = {
    verb: 'get',
    group: '',
    resource: 'pods',
    subresource: '',
    namespace: '',
    name: '',
  };
  const allowed = (): boolean => index.authorizer.decide(bob, asked).allowed;
  assert.equal(allowed(), true);

  mute = true;
  const target = { kind: clusterRoleBindingKind, namespace: '', name: 'b' };
  await resources.delete(target, { dryRun: false });
  assert.equal(allowed(), true, 'nobody has told it');
  const broken = watches.find(({ kind }) => kind.startsWith('clusterrolebindings'));
  broken?.onEnd?.(new RevisionTooOld(1, 2));
  for (let tries = 0; allowed(); tries++) {
    assert.ok(tries < 500, 'the index did not notice');
    await setTimeout(10);
  }
  assert.equal(errors.length, 1);
  await create(clusterRoleBindingKind, 'b', { roleRef, subjects });
  assert.equal(allowed(), true, 'the new watch tells again');
});

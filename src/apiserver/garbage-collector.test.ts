// The garbage collector over a store: after a restart, and at random against what ought to be left.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { globalNetworkSetKind, type Resource, SERVED_KINDS } from '#api';
import { openSqliteStore, type Store } from '#datastore';
import type { PropagationPolicy } from './deletion-options.ts';
import { Resources } from './resources.ts';

const kind = globalNetworkSetKind;
const at = (name: string) => ({ kind, namespace: '', name });

interface World {
  readonly store: Store;
  /** What a server has of the store; ends with the test. */
  readonly serve: () => Resources;
}

async function openWorld(context: TestContext): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-garbage-'));
  const store = await openSqliteStore({ path: join(folder, 'store.db') });
  const served: Resources[] = [];
  const failures: unknown[] = [];
  context.after(async () => {
    for (const resources of served) await resources.close();
    await store.close();
    await rm(folder, { recursive: true, force: true });
    assert.deepEqual(failures, []);
  });
  const serve = (): Resources => {
    const onError = (error: unknown): void => void failures.push(error);
    const resources = new Resources({ store, kinds: SERVED_KINDS, onError });
    served.push(resources);
    return resources;
  };
  return { store, serve };
}

async function create(
  resources: Resources,
  name: string,
  owners: readonly { resource: Resource; block: boolean }[],
): Promise<Resource> {
  const ownerReferences = owners.map(({ resource: { apiVersion, kind: of, metadata }, block }) => ({
    apiVersion,
    kind: of,
    name: metadata.name,
    uid: metadata.uid,
    blockOwnerDeletion: block,
  }));
  const metadata = { name, ...(owners.length > 0 ? { ownerReferences } : {}) };
  const body = { metadata, spec: { nets: [] } };
  return (await resources.create({ kind, namespace: '' }, body, { dryRun: false })).resource;
}

/** What is there once exactly `wanted` is, none of it being deleted, or 20 s have passed. */
async function settled(
  resources: Resources,
  prefix: string,
  wanted: readonly string[],
): Promise<string[]> {
  for (let n = 0; ; n++) {
    const { items } = await resources.list(kind, undefined);
    const left = items
      .map(({ value }) => (value as unknown as Resource).metadata)
      .filter(({ name }) => name.startsWith(prefix));
    const names = left.map(({ name, deletionTimestamp }) =>
      deletionTimestamp === undefined ? name : `${name} (being deleted)`,
    );
    if (n === 4000 || isDeepStrictEqual(names, wanted)) return names;
    await setTimeout(5);
  }
}

test('[AP4] what lost its owners while no server ran is collected at the start', async (context) => {
  const { serve } = await openWorld(context);
  const before = serve();
  const owner = await create(before, 'owner', []);
  await create(before, 'left', [{ resource: owner, block: false }]);
  await create(before, 'waits', []);
  const waiting = await create(before, 'last', []);
  await create(before, 'of-last', [{ resource: waiting, block: true }]);
  await before.delete(at('owner'), { dryRun: false });
  await before.delete(at('last'), { dryRun: false, propagationPolicy: 'Foreground' });
  assert.equal((await before.list(kind, undefined)).items.length, 4, 'nobody has collected yet');
  const after = serve();
  await after.resume();
  assert.deepEqual(await settled(after, '', ['waits']), ['waits']);
});

interface Step {
  readonly owners: readonly number[];
  readonly block: boolean;
  /** Which of those that are there is deleted after this one was made, and how. */
  readonly deleted: number;
  readonly policy: PropagationPolicy;
}

const step: fc.Arbitrary<Step> = fc.record({
  owners: fc.array(fc.nat(20), { maxLength: 3 }),
  block: fc.boolean(),
  deleted: fc.nat(20),
  policy: fc.constantFrom('Background', 'Foreground', 'Orphan'),
});

/** By index: which objects are left when the steps have been done and all garbage is gone. */
function leftOver(steps: readonly Step[]): Set<number> {
  const owners = new Map<number, Set<number>>();
  const collect = (): void => {
    for (let again = true; again; ) {
      again = false;
      for (const [index, own] of owners) {
        const left = [...own].filter((owner) => owners.has(owner));
        if (own.size === 0 || left.length > 0) continue;
        owners.delete(index);
        again = true;
      }
    }
    for (const own of owners.values())
      for (const owner of own) if (!owners.has(owner)) own.delete(owner);
  };
  for (const [index, { owners: wanted, deleted, policy }] of steps.entries()) {
    const there = [...owners.keys()];
    owners.set(index, new Set(wanted.flatMap((at) => there[at] ?? [])));
    const victim = [...owners.keys()][deleted];
    if (victim === undefined) continue;
    owners.delete(victim);
    if (policy === 'Orphan') for (const own of owners.values()) own.delete(victim);
    collect();
  }
  return new Set(owners.keys());
}

test('[AP4] [AP5] [AP6] at random: what is left is what ought to be', async (context) => {
  const resources = (await openWorld(context)).serve();
  await resources.resume();
  let run = 0;
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  context.diagnostic(`seed ${seed}`);
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 1, maxLength: 12 }),
    async (steps) => {
      const prefix = `r${run++}-`;
      const nameOf = (index: number): string => `${prefix}${String(index).padStart(2, '0')}`;
      const made: Resource[] = [];
      let there: number[] = [];
      for (const [index, { owners, block, deleted, policy }] of steps.entries()) {
        const own = new Set(owners.flatMap((at) => made[there[at] ?? -1] ?? []));
        const references = [...own].map((resource) => ({ resource, block }));
        made.push(await create(resources, nameOf(index), references));
        const victim = [...there, index][deleted];
        if (victim !== undefined) {
          const options = { dryRun: false, propagationPolicy: policy };
          await resources.delete(at(nameOf(victim)), options);
        }
        there = [...leftOver(steps.slice(0, index + 1))];
        const wanted = there.map(nameOf);
        assert.deepEqual(await settled(resources, prefix, wanted), wanted);
      }
      // Nothing else goes later on.
      await setTimeout(50);
      const wanted = there.map(nameOf);
      assert.deepEqual(await settled(resources, prefix, wanted), wanted);
    },
  );
  await fc.assert(property, {
    numRuns: Number(process.env['GARBAGE_RUNS'] ?? 8),
    seed,
    endOnFailure: true,
  });
});

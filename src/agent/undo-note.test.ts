// The note of what to go back to: there before the change is enforced, whole, true, and gone with the change.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { kindOf, pendingChangeKind, type Resource } from '#api';
import { CalcGraph } from '#calc';
import { resourceKey, type SyncerUpdate } from '#datastore/syncer';
import { GuardedCalculation } from './guarded-calculation.ts';
import { PendingChanges } from './pending-changes.ts';
import { UndoNoteFile } from './undo-note.ts';

function updateOf(resource: Resource, isThere = true): SyncerUpdate {
  const kind = kindOf(resource.apiVersion, resource.kind);
  assert.ok(kind);
  const key = resourceKey(kind, resource.metadata);
  return { kind, key, resource: isThere ? resource : undefined };
}

const calico = (kind: string, name: string, spec: object): Resource =>
  ({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec }) as Resource;

const hostEndpoint = calico('HostEndpoint', 'node-1-eth0', {
  node: 'node-1',
  interfaceName: 'eth0',
});
const nets = (...list: string[]) => ({
  ...calico('GlobalNetworkSet', 'nets', { nets: list }),
  metadata: { name: 'nets', labels: { nets: 'yes' } },
});
const open = calico('GlobalNetworkPolicy', 'open', {
  selector: 'all()',
  ingress: [{ action: 'Allow', source: { selector: 'nets == "yes"' } }],
});
const shut = calico('GlobalNetworkPolicy', 'open', { selector: 'all()', ingress: [] });

function change(uid: string, ...objects: readonly (readonly [Resource, before: boolean])[]) {
  return updateOf({
    apiVersion: 'tortie.dev/v1',
    kind: pendingChangeKind.kind,
    metadata: { name: uid, uid },
    spec: {
      confirmWithinSeconds: 60,
      objects: objects.map(([{ apiVersion, kind, metadata, ...rest }, before]) => ({
        apiVersion,
        kind,
        name: metadata.name,
        ...(before && { before: { apiVersion, kind, metadata, ...rest } }),
      })),
    },
  } as Resource);
}

function node(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-note-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'undo.json');
  const told: string[] = [];
  const log = (message: string) => void told.push(message);
  const file = new UndoNoteFile({ path, version: '1', log });
  const begin = () => {
    const calc = new CalcGraph('node-1');
    const pending: PendingChanges = new PendingChanges({
      deliver: (updates) => calc.onUpdates(updates),
      log,
      ...(file.read() && { dueTimes: file.read()?.dueTimes ?? {} }),
    });
    t.after(() => pending.stop());
    const guarded = new GuardedCalculation({
      calculation: calc,
      undoing: () => pending.undoing(),
      file,
      log,
    });
    const take = (...updates: SyncerUpdate[]) => guarded.onUpdates(pending.onUpdates(updates));
    return { pending, guarded, take };
  };
  return { path, file, told, begin };
}

/** Whatever the classes of its maps and sets. */
function text(value: unknown): string {
  return JSON.stringify(value, (_, item: unknown) =>
    typeof item === 'object' && item !== null && Symbol.iterator in item
      ? [...(item as Iterable<unknown>)]
      : item,
  );
}

test('[AG3] the note holds the state as if the change were undone, and is gone when it is settled', (t) => {
  const { path, file, begin } = node(t);
  const { guarded, take } = begin();
  take(updateOf(nets('10.0.0.0/8')), updateOf(open));
  const before = guarded.state();
  assert.equal(existsSync(path), false);
  take(change('a', [open, true], [hostEndpoint, false]));
  take(updateOf(shut), updateOf(hostEndpoint));
  const now = guarded.state();
  assert.equal(now.hostEndpoints.size, 1, 'the change is enforced');
  assert.equal(text(file.read()?.state), text(before));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(guarded.state(), now, 'nothing changed, nothing is new');
  take(change('b', [nets('10.0.0.0/8'), true]), updateOf(nets('192.0.2.0/24')));
  guarded.state();
  assert.equal(text(file.read()?.state), text(before), 'two changes are undone together');
  for (const uid of ['a', 'b']) {
    take({ ...change(uid, [open, true]), resource: undefined });
    assert.equal(guarded.state().hostEndpoints.size, 1);
  }
  assert.equal(existsSync(path), false);
});

test('[AG3] a process that begins anew counts on from when the change was first seen', (t) => {
  const { file, begin, path } = node(t);
  const first = begin();
  first.take(change('a', [hostEndpoint, false]), updateOf(hostEndpoint));
  first.guarded.state();
  const due = file.read()?.dueAt ?? 0;
  assert.ok(due > Date.now() + 30_000 && due <= Date.now() + 70_000);
  const then = begin();
  assert.equal(existsSync(path), true, 'as long as the server says nothing, it stays');
  then.take(change('a', [hostEndpoint, false]), updateOf(hostEndpoint));
  assert.equal(then.pending.undoing()?.dueAt, due);
  const last = begin();
  last.take(updateOf(hostEndpoint));
  last.guarded.state();
  assert.equal(existsSync(path), false, 'it was confirmed while no agent was there');
});

test('[AG3] what is no note of this program is told and not used', (t) => {
  const { path, file, told, begin } = node(t);
  assert.equal(file.read(), undefined);
  assert.deepEqual(told, []);
  const { guarded, take } = begin();
  take(change('a', [hostEndpoint, false]), updateOf(hostEndpoint));
  guarded.state();
  const whole = readFileSync(path, 'utf8');
  const broken = [
    whole.slice(0, 100),
    whole.replace('"version":"1"', '"version":"2"'),
    whole.replace('"settings"', '"others"'),
    '[]',
  ];
  for (const [index, one] of broken.entries()) {
    writeFileSync(path, one);
    assert.equal(file.read(), undefined);
    assert.equal(told.length, index + 1);
    assert.match(told[index] ?? '', /Cannot use .*undo.json/);
  }
});

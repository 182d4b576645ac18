// One drift is repaired at once and timed, an endless one ever more seldom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriftWatch } from './drift-watch.ts';

test('[AG5] changes that come together are one repair, made at once', async () => {
  let repairs = 0;
  const watch = new DriftWatch({ repair: () => repairs++, againMs: 10_000 });
  for (let n = 0; n < 50; n++) watch.onChange();
  while (repairs === 0) await sleep(1);
  await sleep(50);
  assert.equal(repairs, 1);
  watch.onChange();
  await sleep(50);
  assert.equal(repairs, 1, 'the next one in a row waits');
  watch.stop();
});

test('[AG5] a change after a quiet time is the first of a row again', async (t) => {
  let repairs = 0;
  const watch = new DriftWatch({ repair: () => repairs++, againMs: 60_000, quietMs: 20 });
  t.after(() => watch.stop());
  for (let n = 1; n <= 3; n++) {
    watch.onChange();
    while (repairs < n) await sleep(1);
    await sleep(40);
  }
});

test('[AG5] who undoes every repair makes them seldom', async (t) => {
  let repairs = 0;
  const watch = new DriftWatch({
    repair: () => {
      repairs++;
      // Undone at once.
      watch.onChange();
    },
    againMs: 4,
    mostMs: 10_000,
  });
  t.after(() => watch.stop());
  watch.onChange();
  await sleep(400);
  assert.ok(repairs >= 2 && repairs <= 9, `${repairs} repairs, not a hundred`);
});

test('[AG5] the time from hearing a change to its repair is told, once', async (t) => {
  const watch = new DriftWatch({ repair: () => {} });
  t.after(() => watch.stop());
  assert.equal(watch.onApplied(true), undefined, 'nothing was heard of it');
  watch.onChange();
  assert.equal(watch.onApplied(false), undefined, 'an apply that did not look');
  await sleep(30);
  const open = watch.onApplied(true);
  assert.ok(open !== undefined && open >= 25, `${open} ms`);
  assert.equal(watch.onApplied(true), undefined);
  watch.onChange();
  await sleep(200);
  assert.equal(watch.onApplied(false), undefined, 'it was looked at, and was no drift');
  assert.equal(watch.onApplied(true), undefined);
});

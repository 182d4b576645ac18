// One drift is repaired soon, an endless one ever more seldom.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriftWatch } from './drift-watch.ts';

test('changes that come together are one repair', async () => {
  let repairs = 0;
  const watch = new DriftWatch({ repair: () => repairs++, firstMs: 10 });
  for (let n = 0; n < 50; n++) watch.onChange();
  await sleep(100);
  assert.equal(repairs, 1);
  watch.onChange();
  watch.stop();
  await sleep(100);
  assert.equal(repairs, 1);
});

test('who undoes every repair makes them seldom', async (t) => {
  let repairs = 0;
  const watch = new DriftWatch({
    repair: () => {
      repairs++;
      // Undone at once.
      watch.onChange();
    },
    firstMs: 4,
    mostMs: 10_000,
  });
  t.after(() => watch.stop());
  watch.onChange();
  await sleep(400);
  assert.ok(repairs >= 2 && repairs <= 8, `${repairs} repairs, not a hundred`);
});

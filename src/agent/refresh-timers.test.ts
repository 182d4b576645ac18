// Each part of the kernel is looked at at its own interval, which can change, and 0 is never.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RefreshTimers } from './refresh-timers.ts';

test('each part is due at its interval; a new one counts from now, 0 is never', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const due: string[] = [];
  const timers = new RefreshTimers((part) => due.push(part));
  timers.set({ table: 180, routes: 90, host: 0, announcements: 0 });
  t.mock.timers.tick(180);
  assert.deepEqual(due.splice(0).toSorted(), ['routes', 'routes', 'table']);
  t.mock.timers.tick(80);
  timers.set({ table: 0, routes: 90, host: 30, announcements: 0 });
  t.mock.timers.tick(29);
  assert.deepEqual(due.splice(0), ['routes'], 'what stays goes on');
  t.mock.timers.tick(1);
  assert.deepEqual(due.splice(0), ['host']);
  timers.set({ table: 0, routes: Number.MAX_SAFE_INTEGER, host: 0, announcements: 0 });
  t.mock.timers.tick(10_000);
  assert.deepEqual(due, []);
  timers.stop();
});

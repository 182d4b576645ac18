// The MTU's file has the present number alone, or is said to be missing.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { MtuFile } from './mtu-file.ts';

test('[AG22] the file has the MTU of now; where it cannot be written that is told once', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-mtu-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const told: string[] = [];
  const path = join(folder, 'calico', 'mtu');
  writeFileSync(join(folder, 'calico'), '');
  const file = new MtuFile(path, (message) => told.push(message));
  file.write(1450);
  file.write(1450);
  assert.equal(file.isThere, false);
  assert.deepEqual(told.length, 1);
  rmSync(join(folder, 'calico'));
  file.write(1450);
  assert.equal(file.isThere, true);
  file.write(1400);
  assert.equal(readFileSync(path, 'utf8'), '1400');
  assert.deepEqual(readdirSync(join(folder, 'calico')), ['mtu']);
});

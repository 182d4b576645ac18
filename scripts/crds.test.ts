// The CRDs in deploy/crds are what the kinds' definitions give now.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { crdFiles } from './crds.ts';

const FOLDER = join(import.meta.dirname, '..', 'deploy', 'crds');

test('deploy/crds is current; else run node scripts/crds.ts', () => {
  const files = crdFiles();
  assert.deepEqual(readdirSync(FOLDER).sort(), [...files.keys()].sort());
  for (const [name, text] of files) {
    assert.equal(readFileSync(join(FOLDER, name), 'utf8'), text, name);
  }
});

// Members come back as they went in, also through another program; damage is noticed.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { readZip, ZipWriter } from './zip-file.ts';

type Pieces = readonly (readonly [name: string, pieces: readonly Uint8Array[]])[];

function zipOf(members: Pieces): Uint8Array {
  const writer = new ZipWriter();
  const parts = members.flatMap(([name, pieces]) => [
    writer.begin(name),
    ...pieces.map((piece) => writer.add(piece)),
    writer.end(),
  ]);
  return Buffer.concat([...parts, writer.finish()]);
}

test('members come back, whatever the pieces', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 5 });
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), pieces)), (members) => {
      assert.deepEqual(
        readZip(zipOf(members)).map(({ name, bytes }) => [name, Buffer.from(bytes)]),
        members.map(([name, list]) => [Buffer.from(name).toString(), Buffer.concat(list)]),
      );
    }),
  );
});

const python = spawnSync('python3', ['--version']).status === 0;

test('another program reads it', { skip: python ? false : 'python3 is not installed' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-zip-'));
  try {
    const path = join(folder, 'files.zip');
    writeFileSync(path, zipOf([['node-1/wéb.pcap', [Buffer.from('one'), Buffer.from('two')]]]));
    const said = execFileSync('python3', ['-m', 'zipfile', '-t', path], { encoding: 'utf8' });
    assert.match(said, /Done testing/);
    execFileSync('python3', ['-m', 'zipfile', '-e', path, folder]);
    assert.equal(execFileSync('cat', [join(folder, 'node-1', 'wéb.pcap')]).toString(), 'onetwo');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('what is damaged, cut off or no ZIP file is refused', () => {
  const file = zipOf([['a', [Buffer.from('hello')]]]);
  const changed = Buffer.from(file);
  changed[32] = 0;
  assert.throws(() => readZip(changed), /no whole ZIP file/);
  for (let length = 0; length < file.length; length++) {
    assert.throws(() => readZip(file.subarray(0, length)), RangeError);
  }
  assert.throws(() => new ZipWriter().add(new Uint8Array(1)), /no member is open/);
});

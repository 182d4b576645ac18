// tshark reads every file exactly as it was written: at random, after its writer was killed, on a full disk.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import {
  interfaceDescription,
  LINK_TYPE,
  packetBlock,
  RingFile,
  RingWriteError,
  sectionHeader,
} from '#capture';
import { noTshark, tsharkFields, tsharkPackets } from './tshark.ts';

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tortie-capture-files-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const ON = { linkType: LINK_TYPE.ETHERNET, name: 'cali0123456789a', description: 'shop/web-1' };
const HEADER = Buffer.concat([sectionHeader('tortie', 'Linux'), interfaceDescription(ON)]);
const skip = noTshark;
const seed = Number(process.env['CAPTURE_SEED'] ?? Date.now() % 1_000_000);

const packets = fc.record({
  timestampNs: fc.bigInt({ min: 0n, max: 4_000_000_000_000_000_000n }),
  data: fc.uint8Array({ minLength: 14, maxLength: 1600 }),
  comment: fc.constantFrom(undefined, 'verdict=deny', 'wéb'),
});

test('tshark reads every packet, byte for byte, with interface and pod', { skip }, (t) => {
  t.diagnostic(`seed ${seed}`);
  const lists = fc.sample(fc.array(packets, { minLength: 1, maxLength: 200 }), {
    seed,
    numRuns: 4,
  });
  for (const [index, list] of lists.entries()) {
    const path = join(folder, `${index}.pcap`);
    const blocks = list.map((one) => packetBlock(0, { ...one, length: one.data.length + 7 }));
    writeFileSync(path, Buffer.concat([HEADER, ...blocks]));
    const read = tsharkPackets(path);
    assert.equal(read.length, list.length);
    for (const [at, { timestampNs, data }] of list.entries()) {
      const { data: bytes, ...rest } = read[at] ?? assert.fail();
      assert.deepEqual(new Uint8Array(bytes), data);
      assert.deepEqual(rest, { timestampNs, length: data.length + 7 });
    }
    const columns = ['frame.interface_name', 'frame.interface_description', 'frame.comment'];
    const rows = tsharkFields(path, ...columns);
    assert.deepEqual(
      rows,
      list.map(({ comment }) => [ON.name, ON.description, comment ?? '']),
    );
  }
});

test('a writer that is killed leaves files that tshark reads to their end', { skip }, async () => {
  const script = fileURLToPath(new URL('capture-writer.ts', import.meta.url));
  for (let round = 0; round < 3; round++) {
    const directory = join(folder, `killed-${round}`);
    const child = spawn(process.execPath, [script, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    await sleep(20 * round);
    child.kill('SIGKILL');
    await once(child, 'exit');
    const names = readdirSync(directory).sort();
    assert.ok(names.length >= 1 && names.length <= 3, names.join());
    for (const name of names) {
      const read = tsharkPackets(join(directory, name));
      for (const { data, timestampNs } of read) {
        assert.equal(data.length, 64 + (Number(timestampNs) % 900));
      }
    }
  }
});

test('[CT5] on a full disk the file stays whole, and goes on when there is room', { skip }, (t) => {
  const disk = join(folder, 'disk');
  execFileSync('mkdir', [disk]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=65536', 'tmpfs', disk]);
  t.after(() => execFileSync('umount', [disk]));
  const file = new RingFile({
    directory: join(disk, 'shop'),
    stem: 'web_cali0',
    limits: { maxBytes: 10_000_000, rotationMs: 3_600_000, maxFiles: 2 },
    header: () => HEADER,
    trailer: () => new Uint8Array(0),
  });
  const data = new Uint8Array(1000).fill(7);
  const block = packetBlock(0, { timestampNs: 1n, data, length: 1000 });
  let written = 0;
  writeFileSync(join(disk, 'other'), new Uint8Array(20_000));
  assert.throws(
    () => {
      for (let count = 0; count < 100; count++) written += file.write([block], 0);
    },
    (error) => error instanceof RingWriteError && /ENOSPC/.test(error.message),
  );
  const path = join(disk, 'shop', 'web_cali0.pcap');
  assert.ok(written > 10);
  assert.equal(tsharkPackets(path).length, written);
  rmSync(join(disk, 'other'));
  written += file.write([block, block], 0);
  file.close();
  assert.equal(tsharkPackets(path).length, written);
});

// Whatever is written comes back in order, files keep to their limits, and what a dead writer left is kept.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import {
  type CapturedPacket,
  interfaceDescription,
  interfaceStatistics,
  LINK_TYPE,
  packetBlock,
  sectionHeader,
} from './pcapng.ts';
import { type ReadPacket, readCapture } from './pcapng-reader.ts';
import { oldFiles, RingFile, type RingLimits, RingWriteError } from './ring-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'tortie-ring-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let count = 0;
const freshFolder = (): string => join(folder, String(++count));

const ON = { linkType: LINK_TYPE.ETHERNET, name: 'cali0123456789a', description: 'shop/wéb' };
const HEADER = Buffer.concat([sectionHeader('tortie', 'Linux'), interfaceDescription(ON)]);
const trailer = (): Uint8Array =>
  interfaceStatistics(0, { timestampNs: 1n, received: 9, dropped: 3 });

function ring(directory: string, limits: Partial<RingLimits> = {}): RingFile {
  return new RingFile({
    directory,
    stem: 'web_cali0',
    limits: { maxBytes: 10_000_000, rotationMs: 3_600_000, maxFiles: 2, ...limits },
    header: () => HEADER,
    trailer,
  });
}

function filesOf(directory: string): string[] {
  return [...oldFiles(directory, 'web_cali0'), 'web_cali0.pcap'];
}

function readAll(directory: string): ReadPacket[] {
  return filesOf(directory).flatMap(
    (name) => readCapture(readFileSync(join(directory, name))).packets,
  );
}

const packets: fc.Arbitrary<CapturedPacket> = fc
  .record({
    timestampNs: fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }),
    data: fc.uint8Array({ maxLength: 200 }),
    more: fc.nat(1000),
    direction: fc.constantFrom('inbound' as const, 'outbound' as const, undefined),
    comment: fc.option(fc.string({ unit: 'binary', maxLength: 40 }), { nil: undefined }),
  })
  .map(({ more, ...packet }) => ({ ...packet, length: packet.data.length + more }));

test('[CT1] packets come back with time, bytes, length, direction, comment and interface', () => {
  fc.assert(
    fc.property(fc.array(packets, { minLength: 1, maxLength: 30 }), (list) => {
      const directory = freshFolder();
      const file = ring(directory);
      file.write(
        list.map((packet) => packetBlock(0, packet)),
        0,
      );
      file.close();
      const read = readAll(directory);
      assert.equal(read.length, list.length);
      for (const [index, { data, ...rest }] of list.entries()) {
        const { data: bytes, ...found } = read[index] ?? assert.fail();
        assert.deepEqual(new Uint8Array(bytes), data);
        assert.deepEqual(found, {
          ...rest,
          comment:
            rest.comment === undefined ? undefined : Buffer.from(rest.comment, 'utf8').toString(),
          interfaceName: ON.name,
          interfaceDescription: ON.description,
          linkType: ON.linkType,
        });
      }
    }),
    { numRuns: 50 },
  );
});

test('a text that is too long is cut between characters', () => {
  const comment = 'é'.repeat(5000);
  const block = packetBlock(0, { timestampNs: 0n, data: new Uint8Array(3), length: 3, comment });
  const [packet] = readCapture(Buffer.concat([HEADER, block])).packets;
  assert.equal(packet?.comment, 'é'.repeat(2048));
});

test('[CT2] no file is over its size, old ones beyond the limit go, the newest packets stay in order', () => {
  const limits = fc.record({
    maxBytes: fc.integer({ min: 400, max: 3000 }),
    maxFiles: fc.integer({ min: 0, max: 3 }),
  });
  const writes = fc.array(fc.array(packets, { maxLength: 12 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(limits, writes, (limit, list) => {
      const directory = freshFolder();
      const file = ring(directory, limit);
      for (const [index, batch] of list.entries()) {
        const blocks = batch.map((packet) => packetBlock(0, { ...packet, comment: undefined }));
        assert.equal(file.write(blocks, index), blocks.length);
      }
      file.close();
      const written = list.flat();
      if (written.length === 0) return;
      const names = filesOf(directory);
      assert.ok(names.length <= limit.maxFiles + 1);
      assert.equal(readdirSync(directory).length, names.length);
      const read = readAll(directory);
      for (const [index, packet] of read.toReversed().entries()) {
        assert.deepEqual(
          new Uint8Array(packet.data),
          written[written.length - 1 - index]?.data ?? assert.fail(),
        );
      }
      if (names.length <= limit.maxFiles) assert.equal(read.length, written.length);
      for (const name of names) {
        const { size } = statSync(join(directory, name));
        const { packets: inside } = readCapture(readFileSync(join(directory, name)));
        assert.ok(size <= limit.maxBytes || inside.length === 1, `${size} of ${limit.maxBytes}`);
      }
    }),
    { numRuns: 100 },
  );
});

test('[CT3] a file with packets is replaced when it is old enough; an empty one is never made', () => {
  const directory = freshFolder();
  const file = ring(directory, { rotationMs: 1000 });
  file.onTime(5000);
  const block = packetBlock(0, { timestampNs: 0n, data: new Uint8Array(60), length: 60 });
  file.write([block], 10_000);
  file.onTime(10_999);
  assert.deepEqual(readdirSync(directory), ['web_cali0.pcap']);
  file.onTime(11_000);
  assert.deepEqual(readdirSync(directory), ['web_cali0-19700101T000011000Z.pcap']);
  file.write([block], 12_000);
  file.close();
  assert.equal(readAll(directory).length, 2);
});

test('[CT4] what an earlier process left is kept as an old file, and only files of the stem go', () => {
  const directory = freshFolder();
  const block = packetBlock(0, { timestampNs: 0n, data: new Uint8Array(60), length: 60 });
  ring(directory).write([block, block], 1);
  for (const name of ['web_cali0-other.pcap', 'web_cali01.pcap']) {
    writeFileSync(join(directory, name), '');
  }
  const next = ring(directory, { maxFiles: 1 });
  next.write([block], 1);
  next.close();
  assert.equal(readAll(directory).length, 3);
  const third = ring(directory, { maxFiles: 1 });
  third.write([block], 1);
  third.close();
  assert.equal(readAll(directory).length, 2);
  assert.equal(readdirSync(directory).length, 4);
});

test('[CT5] a disk that takes no more leaves a whole file, and says how much is in it', () => {
  const block = packetBlock(0, { timestampNs: 0n, data: new Uint8Array(60), length: 60 });
  const blocked = join(freshFolder(), 'file');
  const directory = freshFolder();
  ring(directory).write([block], 1);
  // A folder that is a file cannot be made.
  assert.throws(
    () => ring(join(directory, 'web_cali0.pcap', blocked)).write([block], 1),
    (error) =>
      error instanceof RingWriteError && error.written === 0 && /ENOTDIR/.test(error.message),
  );
});

test('statistics say what was lost', () => {
  assert.equal(readCapture(Buffer.concat([HEADER, trailer()])).dropped, 3);
});

test('[CT2] a name that became free is not given again: the newest file stays the newest', () => {
  const directory = freshFolder();
  const file = ring(directory, { maxBytes: 400, maxFiles: 1 });
  const block = (byte: number): Uint8Array =>
    packetBlock(0, { timestampNs: 0n, data: new Uint8Array(150).fill(byte), length: 150 });
  // All within one millisecond, and then by a clock that was set back.
  for (let byte = 1; byte <= 5; byte++) file.write([block(byte)], 1_000);
  file.write([block(6)], 0);
  file.close();
  assert.deepEqual(
    readAll(directory).map(({ data }) => data[0]),
    [5, 6],
  );
});

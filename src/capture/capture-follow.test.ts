// A capture's files are followed as they grow and are set aside: nothing twice, nothing missing, or it is said.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { PcapngMerge } from '#lib';
import { CaptureFollower, FollowerTooSlow } from './capture-follow.ts';
import {
  interfaceDescription,
  interfaceStatistics,
  LINK_TYPE,
  packetBlock,
  sectionHeader,
} from './pcapng.ts';
import { readCapture } from './pcapng-reader.ts';
import { RingFile, type RingLimits } from './ring-file.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'tortie-follow-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function ring(directory: string, pod: string, limits: Partial<RingLimits> = {}): RingFile {
  const on = { linkType: LINK_TYPE.ETHERNET, name: `cali-${pod}`, description: `shop/${pod}` };
  const section = sectionHeader('tortie', 'Linux');
  return new RingFile({
    directory,
    stem: `${pod}_cali`,
    limits: { maxBytes: 1_500, rotationMs: 3_600_000, maxFiles: 1_000, ...limits },
    header: () => Buffer.concat([section, interfaceDescription(on)]),
    trailer: () => interfaceStatistics(0, { timestampNs: 1n, received: 1, dropped: 0 }),
  });
}

const packet = (number: number): Uint8Array => {
  const data = new Uint8Array(60).fill(number & 0xff);
  return packetBlock(0, { timestampNs: BigInt(number), data, length: 60 });
};

/** `pod number` of each packet that is read, through the merging of both pods' streams. */
class Reader {
  readonly #merge = new PcapngMerge();
  readonly #chunks: Uint8Array[] = [];
  readonly #follower: CaptureFollower;

  constructor(follower: CaptureFollower) {
    this.#follower = follower;
  }

  read(): void {
    for (;;) {
      const pieces = this.#follower.read();
      if (pieces.length === 0) return;
      for (const { file, bytes } of pieces) this.#chunks.push(...this.#merge.add(file, bytes));
    }
  }

  get packets(): string[] {
    const { packets } = readCapture(Buffer.concat(this.#chunks));
    return packets.map((one) => `${one.interfaceDescription} ${one.timestampNs}`);
  }
}

test('[CT12] whatever is written and set aside between looks is read, of each pod in order', (t) => {
  const root = folder(t);
  let run = 0;
  const step = fc.record({
    pod: fc.constantFrom('a', 'b'),
    packets: fc.nat(30),
    look: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const directory = join(root, String(++run));
      const rings = { a: ring(directory, 'a'), b: ring(directory, 'b') };
      const follower = new CaptureFollower(directory, { all: true });
      const reader = new Reader(follower);
      const wanted: Record<string, string[]> = { a: [], b: [] };
      let number = 0;
      for (const { pod, packets, look } of steps) {
        const numbers = Array.from({ length: packets }, () => ++number);
        rings[pod === 'a' ? 'a' : 'b'].write(numbers.map(packet), 1_000 + number);
        wanted[pod]?.push(...numbers.map((each) => `shop/${pod} ${each}`));
        if (look) reader.read();
      }
      for (const each of Object.values(rings)) each.close();
      reader.read();
      follower.close();
      const told = reader.packets;
      for (const pod of ['a', 'b']) {
        const own = told.filter((one) => one.startsWith(`shop/${pod} `));
        assert.deepEqual(own, wanted[pod]);
      }
    }),
  );
});

test('[CT12] from now on: what describes the interface, and the packets that come', (t) => {
  const directory = folder(t);
  const file = ring(directory, 'a');
  file.write([1, 2, 3].map(packet), 0);
  const follower = new CaptureFollower(directory, { all: false });
  const reader = new Reader(follower);
  reader.read();
  assert.deepEqual(reader.packets, []);
  file.write([4, 5].map(packet), 0);
  // A pod that comes later has been captured from its beginning on.
  ring(directory, 'b').write([6].map(packet), 0);
  reader.read();
  assert.deepEqual(new Set(reader.packets), new Set(['shop/a 4', 'shop/a 5', 'shop/b 6']));
  follower.close();
});

test('[CT12] files that went before they were read end the stream', (t) => {
  const directory = folder(t);
  const file = ring(directory, 'a', { maxFiles: 1 });
  const follower = new CaptureFollower(directory, { all: true });
  t.after(() => follower.close());
  file.write([1].map(packet), 0);
  follower.read();
  file.write(
    Array.from({ length: 60 }, (_, index) => packet(index)),
    0,
  );
  assert.throws(() => {
    for (let look = 0; look < 10; look++) follower.read();
  }, FollowerTooSlow);
});

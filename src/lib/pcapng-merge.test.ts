// Streams of pcapng become one, however they are cut: packets keep their bytes and their interface.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { emptyPcapngBlock, measurePcapng, PcapngMerge } from './pcapng-merge.ts';

function block(type: number, ...words: number[]): Uint8Array {
  const bytes = new Uint8Array(12 + words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of [type, bytes.length, ...words, bytes.length].entries()) {
    view.setUint32(index * 4, word, true);
  }
  return bytes;
}

const section = block(0x0a0d0d0a, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff);
const describe = (name: number): Uint8Array => block(1, 1, 0, name);
const packet = (on: number, content: number): Uint8Array => block(6, on, 0, 0, 4, 4, content);
const statistics = (on: number): Uint8Array => block(5, on, 0, 0);

function joined(blocks: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(blocks.flatMap((one) => [...one]));
}

/** Of a merged stream: names of the interfaces, and `name content` of each packet. */
function read(bytes: Uint8Array): { names: number[]; packets: string[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [names, packets]: [number[], string[]] = [[], []];
  for (let at = 0; at < bytes.length; at += view.getUint32(at + 4, true)) {
    const type = view.getUint32(at, true);
    if (type === 1) names.push(view.getUint32(at + 16, true));
    const on = type === 6 ? names[view.getUint32(at + 8, true)] : undefined;
    if (type === 6) packets.push(`${on} ${view.getUint32(at + 28, true)}`);
  }
  return { names, packets };
}

test('two streams in pieces of any size: each packet once, in its order, on its interface', () => {
  const stream = fc.array(fc.record({ on: fc.nat(1), content: fc.nat(1_000) }), { maxLength: 8 });
  fc.assert(
    fc.property(stream, stream, fc.infiniteStream(fc.nat(40)), (one, other, sizes) => {
      const merge = new PcapngMerge();
      // Both know two interfaces, of which they share the second.
      const streams = [one, other].map((packets, index) => ({
        names: [index, 9],
        packets,
        bytes: joined([
          section,
          describe(index),
          describe(9),
          ...packets.map(({ on, content }) => packet(on, content)),
          statistics(1),
          section,
          describe(9),
          packet(0, 7),
        ]),
        at: 0,
      }));
      const told: Uint8Array[] = [];
      while (streams.some(({ at, bytes }) => at < bytes.length)) {
        for (const [index, each] of streams.entries()) {
          const size = sizes.next().value + 1;
          told.push(...merge.add(String(index), each.bytes.slice(each.at, each.at + size)));
          each.at += size;
        }
      }
      const { names, packets } = read(joined(told));
      assert.deepEqual(
        names.toSorted((a, b) => a - b),
        [0, 1, 9],
      );
      assert.equal(packets.length, one.length + other.length + 2);
      for (const [index, { packets: sent, names: own }] of streams.entries()) {
        for (const on of [0, 1]) {
          const wanted = sent.filter((it) => it.on === on).map((it) => `${own[on]} ${it.content}`);
          const got = packets.filter((it) => it.startsWith(`${own[on]} `));
          if (on === 0) assert.deepEqual(got, wanted, String(index));
          else for (const it of wanted) assert.ok(got.includes(it));
        }
      }
    }),
  );
});

test('what is no stream of this order is refused, and a block that tells nothing is passed on', () => {
  const merge = new PcapngMerge();
  assert.throws(() => merge.add('a', new Uint8Array(12)), RangeError);
  assert.throws(() => merge.add('b', packet(0, 1)), /interface 0 was not described/);
  assert.throws(() => merge.add('c', block(0x0a0d0d0a, 0x4d3c2b1a)), RangeError);
  assert.deepEqual(merge.add('d', emptyPcapngBlock()), [emptyPcapngBlock()]);
  const all = joined([section, describe(1), packet(0, 1), describe(2), packet(1, 1).slice(0, 20)]);
  assert.deepEqual(measurePcapng(all), { whole: all.length - 20, head: section.length + 24 });
});

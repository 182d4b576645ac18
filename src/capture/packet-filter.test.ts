// The kernel's program and the plain matcher agree on every frame; the program is run here by an interpreter.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BpfInstruction, parsePacket } from '#linux';
import { filterProgram, type PacketFilter, wantsPacket } from './packet-filter.ts';

/** As `Documentation/networking/filter.rst` has it, for the instructions that are used. */
function run(program: readonly BpfInstruction[], frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const memory: number[] = [];
  let [a, x] = [0, 0];
  for (let at = 0; ; at++) {
    const { code, k, jumpTrue, jumpFalse } = program[at] ?? assert.fail('past the end');
    const load = (place: number, size: number): number | undefined => {
      if (place + size > frame.length) return undefined;
      return size === 1 ? view.getUint8(place) : view.getUint16(place);
    };
    const branch = (taken: boolean): number => (taken ? jumpTrue : jumpFalse);
    let loaded: number | undefined;
    switch (code) {
      case 0x30:
      case 0x28:
      case 0x50:
      case 0x48:
        loaded = load((code & 0x40) === 0 ? k : x + k, (code & 0x10) === 0 ? 2 : 1);
        if (loaded === undefined) return 0;
        a = loaded;
        break;
      case 0x80:
        a = frame.length;
        break;
      case 0x60:
        a = memory[k] ?? assert.fail('memory that was never set');
        break;
      case 0x02:
        memory[k] = a;
        break;
      case 0x03:
        memory[k] = x;
        break;
      case 0x01:
        x = k;
        break;
      case 0xb1:
        loaded = load(k, 1);
        if (loaded === undefined) return 0;
        x = (loaded & 0xf) * 4;
        break;
      case 0x04:
        a += k;
        break;
      case 0x0c:
        a += x;
        break;
      case 0x24:
        a *= k;
        break;
      case 0x07:
        x = a;
        break;
      case 0x05:
        at += k;
        break;
      case 0x15:
        at += branch(a === k);
        break;
      case 0x25:
        at += branch(a > k);
        break;
      case 0x35:
        at += branch(a >= k);
        break;
      case 0x45:
        at += branch((a & k) !== 0);
        break;
      case 0x06:
        return k;
      default:
        assert.fail(`instruction ${code}`);
    }
  }
}

const protocols = fc.constantFrom(1, 6, 17, 58, 132, 136, 33, 47, 0, 43, 44, 51, 60);
/** What may follow IPv6's extensions. */
const uppers = fc.constantFrom(1, 6, 17, 58, 132, 136, 33, 47);
const ports = fc.constantFrom(0, 1, 53, 79, 80, 81, 443, 8080, 65535);
const transport = fc
  .tuple(ports, ports, fc.uint8Array({ minLength: 4, maxLength: 16 }))
  .map(([source, destination, rest]) => {
    const head = Buffer.alloc(4);
    head.writeUInt16BE(source, 0);
    head.writeUInt16BE(destination, 2);
    return Buffer.concat([head, rest]);
  });

const v4 = fc
  .tuple(
    protocols,
    fc.constantFrom(0, 0, 0x2000, 0x0001, 0x1fff),
    fc.integer({ min: 5, max: 15 }),
    transport,
  )
  .map(([protocol, fragment, words, rest]) => {
    const header = Buffer.alloc(words * 4);
    header[0] = 0x40 | words;
    header.writeUInt16BE(words * 4 + rest.length, 2);
    header.writeUInt16BE(fragment, 6);
    header[9] = protocol;
    return Buffer.concat([header, rest]);
  });

const extension = fc.record({
  type: fc.constantFrom(0, 43, 60, 44, 51, 135, 139, 140),
  units: fc.nat(2),
  fragment: fc.constantFrom(0, 0, 0, 8),
});

const v6 = fc
  .tuple(fc.array(extension, { maxLength: 10 }), uppers, transport)
  .map(([extensions, protocol, rest]) => {
    const header = Buffer.alloc(40);
    header[0] = 0x60;
    const next = [...extensions.map(({ type }) => type), protocol];
    header[6] = next[0] ?? 59;
    const parts = extensions.map(({ type, units, fragment }, index) => {
      const size = type === 44 ? 8 : type === 51 ? (units + 2) * 4 : (units + 1) * 8;
      const bytes = Buffer.alloc(size);
      bytes[0] = next[index + 1] ?? 59;
      if (type === 44) bytes.writeUInt16BE(fragment, 2);
      else bytes[1] = units;
      return bytes;
    });
    const payload = Buffer.concat([...parts, rest, Buffer.alloc(16)]);
    header.writeUInt16BE(payload.length, 4);
    return Buffer.concat([header, payload]);
  });

const frames = fc
  .tuple(fc.constantFrom(0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806), v4, v6, fc.uint8Array())
  .map(([type, four, six, noise]) => {
    const header = Buffer.alloc(14);
    header.writeUInt16BE(type, 12);
    const payload = type === 0x0800 ? four : type === 0x86dd ? six : Buffer.from(noise);
    return { type, payload, frame: new Uint8Array(Buffer.concat([header, payload])) };
  });

const range = fc
  .tuple(ports, ports)
  .map(([one, other]): [number, number] => [Math.min(one, other), Math.max(one, other)]);
const filters: fc.Arbitrary<PacketFilter[]> = fc.array(
  fc.record({
    protocol: fc.option(protocols, { nil: undefined }),
    ports: fc.array(range, { maxLength: 4 }),
  }),
  { maxLength: 4 },
);

const parsed = ({ type, payload }: { type: number; payload: Uint8Array }) =>
  type === 0x0800 || type === 0x86dd ? parsePacket(payload) : undefined;

test('[CT6] the program keeps a frame exactly where the plain matcher wants it', () => {
  let kept = 0;
  let refused = 0;
  fc.assert(
    fc.property(filters, fc.array(frames, { minLength: 1, maxLength: 10 }), (list, some) => {
      const program = filterProgram(list);
      for (const one of some) {
        const keeps = program === undefined || run(program, one.frame) > 0;
        assert.equal(keeps, wantsPacket(list, parsed(one)));
        if (keeps) kept++;
        else refused++;
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(kept > 1000 && refused > 1000, `${kept} kept, ${refused} refused`);
});

test('any of several filters, all parts of one, either port', () => {
  const web: PacketFilter = { protocol: 6, ports: [[80, 90]] };
  const packet = {
    family: 4,
    source: '10.0.0.1',
    destination: '10.0.0.2',
    protocol: 6,
    sourcePort: 40000,
    destinationPort: 85,
    length: 60,
  } as const;
  const answer = { ...packet, sourcePort: 85, destinationPort: 40000 };
  assert.ok(wantsPacket([web], packet));
  assert.ok(wantsPacket([web], answer));
  assert.ok(!wantsPacket([web], { ...packet, protocol: 17 }));
  assert.ok(!wantsPacket([web], { ...packet, destinationPort: 91 }));
  assert.ok(wantsPacket([web, { protocol: 17, ports: [] }], { ...packet, protocol: 17 }));
  assert.ok(wantsPacket([], undefined));
  assert.ok(!wantsPacket([web], undefined));
});

test('too many ports are refused in words', () => {
  const many = Array.from({ length: 2000 }, (_, index): [number, number] => [index, index]);
  assert.throws(() => filterProgram([{ ports: many }]), /takes \d+ instructions, more than 4096/);
});

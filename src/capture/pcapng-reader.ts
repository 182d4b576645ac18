// Reads what `pcapng.ts` wrote, for its tests: a second, independent reading of the format's draft.
import assert from 'node:assert/strict';

export interface ReadPacket {
  readonly interfaceName: string;
  readonly interfaceDescription: string;
  readonly linkType: number;
  readonly timestampNs: bigint;
  readonly data: Buffer;
  readonly length: number;
  readonly comment: string | undefined;
  readonly direction: 'inbound' | 'outbound' | undefined;
}

interface ReadInterface {
  readonly name: string;
  readonly description: string;
  readonly linkType: number;
}

/** Every packet of a file of one section; fails an assertion at whatever is not as the draft has it. */
export function readCapture(file: Buffer): {
  packets: ReadPacket[];
  dropped: number;
} {
  const interfaces: ReadInterface[] = [];
  const packets: ReadPacket[] = [];
  let dropped = 0;
  let at = 0;
  while (at < file.length) {
    const type = file.readUInt32LE(at);
    const length = file.readUInt32LE(at + 4);
    assert.equal(length % 4, 0);
    assert.equal(file.readUInt32LE(at + length - 4), length);
    const body = file.subarray(at + 8, at + length - 4);
    assert.equal(at === 0, type === 0x0a0d0d0a, 'one section, first');
    if (type === 1) interfaces.push(readInterface(body));
    if (type === 5) dropped += Number(readOptions(body.subarray(12)).get(5)?.readBigUInt64LE());
    if (type === 6) packets.push(readPacket(body, interfaces));
    at += length;
  }
  assert.equal(at, file.length);
  return { packets, dropped };
}

function readInterface(body: Buffer): ReadInterface {
  const options = readOptions(body.subarray(8));
  assert.equal(options.get(9)?.[0], 9, 'nanoseconds');
  return {
    linkType: body.readUInt16LE(0),
    name: String(options.get(2)),
    description: String(options.get(3)),
  };
}

function readPacket(body: Buffer, interfaces: readonly ReadInterface[]): ReadPacket {
  const on = interfaces[body.readUInt32LE(0)];
  assert.ok(on, 'an interface that was described before');
  const kept = body.readUInt32LE(12);
  const options = readOptions(body.subarray(20 + Math.ceil(kept / 4) * 4));
  const flags = options.get(2)?.readUInt32LE() ?? 0;
  return {
    interfaceName: on.name,
    interfaceDescription: on.description,
    linkType: on.linkType,
    timestampNs: (BigInt(body.readUInt32LE(4)) << 32n) | BigInt(body.readUInt32LE(8)),
    data: body.subarray(20, 20 + kept),
    length: body.readUInt32LE(16),
    comment: options.get(1)?.toString(),
    direction: flags === 1 ? 'inbound' : flags === 2 ? 'outbound' : undefined,
  };
}

function readOptions(bytes: Buffer): Map<number, Buffer> {
  const options = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length; ) {
    const code = bytes.readUInt16LE(at);
    const length = bytes.readUInt16LE(at + 2);
    if (code === 0) {
      assert.equal(at + 4, bytes.length, 'nothing follows the end of options');
      return options;
    }
    options.set(code, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + Math.ceil(length / 4) * 4;
  }
  assert.equal(bytes.length, 0, 'options have an end');
  return options;
}

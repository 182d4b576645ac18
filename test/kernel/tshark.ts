// What tshark reads in a capture file: every packet's bytes and times, and the fields that are asked for.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A reason to skip, or false. */
export const noTshark =
  spawnSync('tshark', ['--version']).status === 0 ? false : 'tshark is not installed';

export interface TsharkPacket {
  readonly timestampNs: bigint;
  readonly data: Buffer;
  readonly length: number;
}

/** The packets as tshark writes them into a plain capture file with nanoseconds. */
export function tsharkPackets(file: string): TsharkPacket[] {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-tshark-'));
  try {
    const plain = join(folder, 'plain.pcap');
    run('-r', file, '-F', 'nsecpcap', '-w', plain);
    return plainPackets(readFileSync(plain));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One row a packet, one column a field such as `frame.interface_name`. */
export function tsharkFields(file: string, ...fields: string[]): string[][] {
  const columns = fields.flatMap((field) => ['-e', field]);
  const text = run('-r', file, '-n', '-T', 'fields', ...columns);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));
}

function run(...words: string[]): string {
  return execFileSync('tshark', words, {
    encoding: 'utf8',
    timeout: 60_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function plainPackets(file: Buffer): TsharkPacket[] {
  const packets: TsharkPacket[] = [];
  if (file.readUInt32LE(0) !== 0xa1b23c4d) throw new Error('no capture file with nanoseconds');
  for (let at = 24; at < file.length; ) {
    const kept = file.readUInt32LE(at + 8);
    packets.push({
      timestampNs:
        BigInt(file.readUInt32LE(at)) * 1_000_000_000n + BigInt(file.readUInt32LE(at + 4)),
      data: file.subarray(at + 16, at + 16 + kept),
      length: file.readUInt32LE(at + 12),
    });
    at += 16 + kept;
  }
  return packets;
}

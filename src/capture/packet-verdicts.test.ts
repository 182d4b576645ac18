// What the policy log says of packets is found again in captured ones, over both families and through NAT.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAMILIES, type Family } from '#lib';
import type { LogPacket } from '#linux';
import { PacketVerdicts } from './packet-verdicts.ts';

interface Crafted {
  readonly from: readonly [host: number, port: number];
  readonly to: readonly [host: number, port: number];
  readonly sequence: number;
  readonly flags?: number;
  readonly ttl?: number;
}

const TCP = 6;
const SYN = 2;
const ACK = 16;

/** The headers of a TCP packet. */
function packet(family: Family, crafted: Crafted): Uint8Array {
  const { from, to, sequence, flags = ACK, ttl = 64 } = crafted;
  const header = family === 4 ? 20 : 40;
  const bytes = new Uint8Array(header + 20);
  const view = new DataView(bytes.buffer);
  if (family === 4) {
    bytes.set([0x45, 0, 0, 40, 0, sequence & 0xff, 0, 0, ttl, TCP, 0, 0, 10, 0, 0, from[0]]);
    bytes.set([10, 0, 0, to[0]], 16);
  } else {
    bytes.set([0x60, 0, 0, 1, 0, 20, TCP, ttl]);
    bytes[23] = from[0];
    bytes[39] = to[0];
  }
  view.setUint16(header, from[1]);
  view.setUint16(header + 2, to[1]);
  view.setUint32(header + 4, sequence);
  bytes[header + 13] = flags;
  return bytes;
}

for (const family of FAMILIES) {
  const craft = (crafted: Crafted): Uint8Array => packet(family, crafted);
  const logged = (prefix: string, crafted: Crafted): LogPacket => {
    const payload = craft({ ...crafted, ttl: 63 });
    return { prefix, payload, length: payload.length, hook: 2 };
  };
  const client = [1, 4000] as const;
  const server = [2, 80] as const;
  const first = { from: client, to: server, sequence: 7, flags: SYN };

  test(`[CT11] IPv${family}: the first packet by its message, the others by their connection`, () => {
    const verdicts = new PacketVerdicts();
    verdicts.onLogged([logged('APE0|a', first), logged('API1|b', first)], 0);
    const by = 'a, egress rule 0; b, ingress rule 1';
    assert.equal(verdicts.commentOf(craft(first)), `verdict=allow by ${by}`);
    const answer = { from: server, to: client, sequence: 1 };
    assert.equal(verdicts.commentOf(craft(answer)), `verdict=allow (established) by ${by}`);
    assert.equal(verdicts.commentOf(craft({ ...answer, from: [3, 80] })), undefined);
    const again = { ...first, sequence: 9 };
    assert.equal(verdicts.commentOf(craft(again)), undefined, 'another connection of these ends');
    verdicts.onLogged([logged('DTI|default', again)], 1);
    const denied = 'verdict=deny by the end of tier default, ingress';
    assert.equal(verdicts.commentOf(craft(again)), denied);
    assert.equal(verdicts.commentOf(craft(answer)), undefined, 'which is denied now');
  });

  test(`[CT11] IPv${family}: one end that denies decides, until the same bytes are allowed there`, () => {
    const verdicts = new PacketVerdicts();
    // The two ends' messages come in any order.
    verdicts.onLogged([logged('DPI1|b', first), logged('APE0|a', first)], 0);
    assert.equal(verdicts.commentOf(craft(first)), 'verdict=deny by b, ingress rule 1');
    verdicts.onLogged([logged('API2|b', first)], 1);
    const both = 'verdict=allow by a, egress rule 0; b, ingress rule 2';
    assert.equal(verdicts.commentOf(craft(first)), both);
    verdicts.onTime(60_000);
    assert.equal(verdicts.commentOf(craft(first)), undefined, 'too long ago to be the same packet');
  });

  test(`[CT11] IPv${family}: a packet is known before destination NAT, its connection by that`, () => {
    const verdicts = new PacketVerdicts();
    verdicts.onLogged([logged('APE0|a', first)], 0);
    const service = [9, 443] as const;
    assert.match(verdicts.commentOf(craft({ ...first, to: service })) ?? '', /^verdict=allow by a/);
    const answer = craft({ from: service, to: client, sequence: 1 });
    assert.match(verdicts.commentOf(answer) ?? '', /^verdict=allow \(established\) by a/);
    verdicts.onUnseen();
    assert.equal(verdicts.commentOf(answer), undefined, 'a lost message may have been of it');
    assert.equal(verdicts.commentOf(new Uint8Array(3)), undefined);
  });
}

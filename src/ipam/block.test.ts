// Properties of a block as a value: whatever happens to it, every address is free, held or resting, once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IPAMBlock } from '#api';
import { parseAddress, parsePrefix } from '#lib';
import {
  addressesOf,
  allocate,
  allocateAddress,
  allocationsIn,
  entriesOf,
  freeEntries,
  freeRested,
  handleCounts,
  newBlock,
  releaseHandle,
} from './block.ts';

type Step =
  | { readonly kind: 'allocate' | 'release'; readonly handle: number; readonly pod: number }
  | { readonly kind: 'address' | 'free'; readonly ordinal: number; readonly handle: number }
  | { readonly kind: 'warm' };

const small = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constantFrom('allocate' as const, 'release' as const),
    handle: small,
    pod: small,
  }),
  fc.record({
    kind: fc.constantFrom('address' as const, 'free' as const),
    ordinal: fc.nat(7),
    handle: small,
  }),
  fc.record({ kind: fc.constant('warm' as const) }),
);

const prefix = parsePrefix('fd00::8/125');
const REST_MS = 5000;

/** One step; `restsSince` where released addresses rest. */
function take(block: IPAMBlock, { step: each, nowMs, rests }: Turn): IPAMBlock {
  const restsSince = rests ? new Date(nowMs).toISOString() : undefined;
  if (each.kind === 'warm') return freeRested(block, nowMs, REST_MS);
  const handle = `h${each.handle}`;
  if ('pod' in each) {
    if (each.kind === 'release') return releaseHandle(block, handle, restsSince).block;
    const attributes = { namespace: 'd', pod: `p${each.pod}` };
    return allocate(block, { handle, attributes })?.block ?? block;
  }
  const text = `fd00::${(8 + each.ordinal).toString(16)}`;
  if (each.kind === 'free') return freeEntries(block, (e) => e.address === text, restsSince).block;
  const address = parseAddress(text);
  assert.ok(address);
  return allocateAddress(block, address, { handle, attributes: {} })?.block ?? block;
}

interface Turn {
  readonly step: Step;
  readonly nowMs: number;
  readonly rests: boolean;
}

test('[IP5] [IP6] [IP11] [IP18] every address is in one place, attributes are used, numbers rise', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, rests) => {
      assert.ok(prefix);
      let block = newBlock(prefix, 'host:a', 1);
      let nowMs = 0;
      for (const each of steps) {
        const before = block;
        nowMs += 1000;
        block = take(before, { step: each, nowMs, rests });
        const { spec } = block;
        const held = entriesOf(block).map(({ ordinal }) => ordinal);
        const all = [...spec.unallocated, ...held].toSorted((a, b) => a - b);
        assert.deepEqual(all, [0, 1, 2, 3, 4, 5, 6, 7]);
        const used = new Set(spec.allocations.filter((index) => index !== null));
        assert.equal(used.size, spec.attributes.length, 'each attribute is used by an address');
        assert.ok([...used].every((index) => index < spec.attributes.length));
        const counted = [...handleCounts(block).values()].reduce((sum, count) => sum + count, 0);
        assert.equal(counted, allocationsIn(block).length);
        if (block !== before) {
          assert.ok((spec.sequenceNumber ?? 0) > (before.spec.sequenceNumber ?? 0));
        }
        // Who was free before stays in its place in the queue; who comes, comes at its end.
        const waiting = before.spec.unallocated.filter((it) => spec.unallocated.includes(it));
        assert.deepEqual(spec.unallocated.slice(0, waiting.length), waiting);
        if (each.kind === 'release') assert.deepEqual(addressesOf(block, `h${each.handle}`), []);
      }
    }),
    { numRuns: 300 },
  );
});

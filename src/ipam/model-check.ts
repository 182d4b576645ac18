// For the model test: numbers from a seed, and what must hold once everything has come to rest.
import assert from 'node:assert/strict';
import type { Resource } from '#api';
import { compareCodePoints, parsePrefix } from '#lib';
import { addressesOf, entriesOf } from './block.ts';
import { overlaps } from './pools.ts';
import type { StoreContents } from './store-fixture.ts';

/** Numbers in [0, bound) from a seed, so that a run can be had again (mulberry32). */
export function draws(seed: number): (bound: number) => number {
  let state = seed >>> 0;
  return (bound) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  };
}

/** Who there is. */
export interface Alive {
  readonly nodes: ReadonlySet<string>;
  readonly handles: ReadonlySet<string>;
  /** Handle by address. */
  readonly inUse: ReadonlyMap<string, string>;
}

/** Nothing is leaked, nothing that is alive is missing, and all objects agree. */
export function checkAgreement(store: StoreContents, { nodes, handles, inUse }: Alive): void {
  const blocks = store.blocks();
  for (const { address, handle, releasedAt } of blocks.flatMap(entriesOf)) {
    assert.ok(releasedAt === undefined, `${address} still rests`);
    assert.ok(handles.has(handle ?? ''), `${address} of ${handle} is leaked`);
  }
  for (const [address, handle] of inUse) {
    const isHeld = blocks.some((block) => addressesOf(block, handle).includes(address));
    assert.ok(isHeld, `${address} of ${handle}, which is alive, is not allocated`);
  }
  const prefixes = blocks.flatMap(({ spec }) => parsePrefix(spec.cidr) ?? []);
  assert.ok(prefixes.every((a, i) => prefixes.every((b, j) => i === j || !overlaps(a, b))));
  const owned = blocks.flatMap(({ spec }) =>
    spec.affinity ? `${spec.affinity} ${spec.cidr}` : [],
  );
  const confirmed = store.of('BlockAffinity').map((item) => {
    const { spec } = item as Resource & { spec: Record<string, string> };
    assert.equal(spec['state'], 'confirmed');
    return `${spec['type']}:${spec['node']} ${spec['cidr']}`;
  });
  assert.deepEqual(confirmed.toSorted(compareCodePoints), owned.toSorted(compareCodePoints));
  for (const item of owned) {
    assert.ok(nodes.has(item.slice('host:'.length).split(' ')[0] ?? ''), `${item} is gone`);
  }
  for (const handle of store.of('IPAMHandle')) {
    const { spec } = handle as Resource & { spec: { handleID: string } };
    assert.ok(handles.has(spec.handleID), `handle object ${spec.handleID} is leaked`);
  }
}

// Tests of the numbers that `ipam show` prints, and of how a pool is split.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IPReservation } from '#api';
import { parsePrefix } from '#lib';
import { allocate, newBlock, releaseHandle } from './block.ts';
import { splitPrefix } from './pools.ts';
import { Reservations } from './settings.ts';
import { pool } from './store-fixture.ts';
import { utilizationOf } from './utilization.ts';

function reserving(...reservedCIDRs: string[]): Reservations {
  const metadata = { name: 'r' };
  const kind = 'IPReservation';
  const spec = { reservedCIDRs };
  const reservation: IPReservation = { apiVersion: 'projectcalico.org/v3', kind, metadata, spec };
  return new Reservations([reservation]);
}

test('[IP17] what is in use and reserved counts as both, nested reservations once, free as neither', () => {
  const prefix = parsePrefix('10.0.0.0/30');
  assert.ok(prefix);
  const owner = (handle: string) => ({ handle, attributes: {} });
  let block = newBlock(prefix, 'host:a', 1);
  for (const handle of ['x', 'y']) block = allocate(block, owner(handle))?.block ?? block;
  block = releaseHandle(block, 'y', '2026-01-01T00:00:00Z').block;
  const stray = newBlock({ ...prefix, bits: prefix.bits + 256n }, 'host:a', 1);
  const reservations = reserving('10.0.0.0/32', '10.0.0.2/31', '10.0.0.3/32', '10.0.0.16/28');
  const [first, orphans] = utilizationOf([pool('p', '10.0.0.0/27')], [block, stray], reservations);
  const counts = { capacity: 4n, inUse: 2n, reserved: 3n, free: 0n, cooling: 1n };
  assert.deepEqual(first, {
    pool: 'p',
    cidr: '10.0.0.0/27',
    capacity: 32n,
    inUse: 2n,
    reserved: 19n,
    free: 12n,
    cooling: 1n,
    blocks: [{ cidr: '10.0.0.0/30', ...counts }],
  });
  assert.equal(orphans?.pool, undefined);
  assert.deepEqual(
    orphans?.blocks.map(({ cidr }) => cidr),
    ['10.0.1.0/30'],
  );
  const six = utilizationOf([pool('six', 'fd00::/64')], [], reserving('fd00::/65'));
  assert.deepEqual([six[0]?.capacity, six[0]?.free], [1n << 64n, 1n << 63n]);
});

test('[IP21] a pool is split into parts that do not overlap and are a block at least', () => {
  assert.deepEqual(splitPrefix('fd00::/120', 4), [
    'fd00::/122',
    'fd00::40/122',
    'fd00::80/122',
    'fd00::c0/122',
  ]);
  for (const parts of [0, 1, 3, -2]) assert.ok('problem' in splitPrefix('10.0.0.0/24', parts));
  assert.ok('problem' in splitPrefix('10.0.0.0/26', 2));
  assert.deepEqual(splitPrefix('10.0.0.0/26', 2, 28), ['10.0.0.0/27', '10.0.0.32/27']);
});

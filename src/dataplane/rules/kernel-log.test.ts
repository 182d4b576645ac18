// What the kernel's log says of a rule.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyId } from '#calc/dataplane-update';
import { kernelLogChain, kernelLogPrefix } from './kernel-log.ts';

const web: PolicyId = { kind: 'NetworkPolicy', namespace: 'shop', name: 'web' };
const edge: PolicyId = { kind: 'GlobalNetworkPolicy', namespace: null, name: 'edge' };
const profile: PolicyId = { kind: 'Profile', namespace: null, name: 'kns.shop' };

test('[DP50] the prefix says tier, kind and name, and ends with a colon', () => {
  assert.equal(kernelLogPrefix('calico-packet', 'default', web), 'calico-packet: ');
  assert.equal(kernelLogPrefix('%t %k %n %p %x%', 'first', web), 'first np web shop/web %x%: ');
  assert.equal(kernelLogPrefix('%k/%p', 'first', edge), 'gnp/edge: ');
  assert.equal(kernelLogPrefix('%t|%k %p', 'default', profile), '|pro kns.shop: ');
});

test('[DP50] what the kernel would not take is cut off, by whole characters', () => {
  const long = kernelLogPrefix('%n%n', 'default', { ...edge, name: 'x'.repeat(100) });
  assert.equal(long, `${'x'.repeat(125)}: `);
  assert.equal(kernelLogPrefix(`${'x'.repeat(124)}é`, 'default', web), `${'x'.repeat(124)}: `);
});

test('[DP50] rules have chains of their own, so that each has its own rate', () => {
  const rate = { packets: 1, per: 'minute', burst: 5 } as const;
  const chainOf = (index: number, direction: 'ingress' | 'egress' = 'ingress') =>
    kernelLogChain({ policy: web, tier: 'default', direction, index }, { prefix: 'p', rate });
  const names = [chainOf(0), chainOf(1), chainOf(0, 'egress')].map(({ name }) => name);
  assert.equal(new Set(names).size, 3);
  assert.deepEqual(chainOf(0).rules, [
    {
      matches: [],
      actions: [
        { action: 'limit', rate },
        { action: 'log-kernel', prefix: 'p: ' },
      ],
    },
  ]);
});

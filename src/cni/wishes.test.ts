// Tests of what pod, namespace and network configuration say of a pod's addresses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CniError } from './cni-error.ts';
import { timestampText, wishesOf } from './wishes.ts';

const key = (name: string) => `cni.projectcalico.org/${name}`;

function refusal(work: () => unknown): { code: number; message: string } {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof CniError);
    return error;
  }
  throw new Error('nothing was refused');
}

test("[CNI20] pools: the pod's word, then its namespace's, then the configuration's, for each family", () => {
  const ipam = { ipv4_pools: ['conf4'], ipv6_pools: ['conf6'] };
  const inherited = { [key('ipv4pools')]: '["ns4"]' };
  const own = { [key('ipv4pools')]: '["pod4","10.0.0.0/24"]' };
  assert.deepEqual(wishesOf(own, inherited, { ipam }).pools, {
    4: ['pod4', '10.0.0.0/24'],
    6: ['conf6'],
  });
  assert.deepEqual(wishesOf({}, inherited, { ipam }).pools, { 4: ['ns4'], 6: ['conf6'] });
  assert.deepEqual(wishesOf({}, {}, { ipam }).pools, { 4: ['conf4'], 6: ['conf6'] });
  assert.equal(wishesOf({}, {}, { ipam: { ipv4_pools: [] } }).pools, undefined);
  assert.match(refusal(() => wishesOf({}, { [key('ipv6pools')]: 'p' }, {})).message, /JSON list/);
  assert.match(
    refusal(() => wishesOf({}, {}, { ipam: { ipv4_pools: 'p' } })).message,
    /ipv4_pools/,
  );
});

test('[CNI20] families: the configuration says which, the pod narrows them', () => {
  const narrow = { [key('ipFamilies')]: '["IPv6"]' };
  const families = (ipam: unknown, annotations = {}) =>
    wishesOf(annotations, {}, { ipam }).families;
  assert.equal(families({}), undefined);
  assert.deepEqual(families({ assign_ipv4: 'true' }), [4]);
  assert.deepEqual(families({ assign_ipv6: 'true' }), [4, 6]);
  assert.deepEqual(families({ assign_ipv4: 'false', assign_ipv6: 'true' }), [6]);
  assert.deepEqual(families({ assign_ipv6: 'true' }, narrow), [6]);
  assert.deepEqual(families(undefined, narrow), [6]);
  assert.match(refusal(() => families({ assign_ipv4: 'true' }, narrow)).message, /leaves none/);
  assert.match(refusal(() => families({ assign_ipv4: 'false' })).message, /both false/);
  assert.match(refusal(() => families({ assign_ipv4: 'yes' })).message, /"yes" is not/);
});

test('[CNI18] chosen addresses: one a family; without IPAM only where the configuration allows it', () => {
  const chosen = { [key('ipAddrs')]: '["fd00::0:1","10.0.0.1"]' };
  assert.deepEqual(wishesOf(chosen, {}, {}).addresses, ['10.0.0.1', 'fd00::1']);
  const free = { [key('ipAddrsNoIpam')]: '["10.0.0.1"]' };
  const features = { ip_addrs_no_ipam: true };
  assert.deepEqual(wishesOf(free, {}, { features }).withoutIpam, ['10.0.0.1']);
  const refused: [Record<string, string>, unknown, RegExp][] = [
    [free, {}, /needs feature_control\.ip_addrs_no_ipam/],
    [{ ...free, ...chosen }, features, /excludes/],
    [{ [key('ipAddrs')]: '["10.0.0.1","10.0.0.2"]' }, {}, /more than one address of a family/],
    [{ [key('ipAddrs')]: '["10.0.0.0/24"]' }, {}, /"10\.0\.0\.0\/24" is no address/],
    [{ [key('networks')]: 'n' }, {}, /networks is not supported/],
  ];
  for (const [annotations, given, message] of refused) {
    const fault = refusal(() => wishesOf(annotations, {}, { features: given }));
    assert.match(fault.message, message);
  }
});

test('[CNI20] times are kept as upstream keeps them', () => {
  assert.equal(
    timestampText(new Date('2026-01-02T03:04:05.600Z')),
    '2026-01-02 03:04:05.6 +0000 UTC',
  );
  assert.equal(
    timestampText(new Date('2026-01-02T03:04:50.000Z')),
    '2026-01-02 03:04:50 +0000 UTC',
  );
});

// Flow offload wanted of this machine's kernel, whether it has flowtables or not: policy holds either way.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BARE_STATE } from '#calc/dataplane-update';
import {
  endpoint,
  makeRouter,
  podAddress,
  policy,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

void test('[DP64] where the kernel has no flowtables that is said once, and policy is enforced', async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const web = policy('web', { ingress: [rule('Allow', { protocol: 6 })] });
  const settings = { ...BARE_STATE.settings, flowOffload: { hostInterfacePattern: '' } };
  const endpoints = [endpoint(1), endpoint(2, { ingress: [tierOf(web)] })];
  const state = stateOf(endpoints, [web], { settings });
  const told: string[] = [];
  const dataplane = router.start((message) => told.push(message));
  const report = dataplane.apply(state);
  assert.deepEqual([report.errors, report.pending], [[], []]);
  const isMade = router.machine.run('nft', 'list', 'tables').includes('tortie-offload');
  assert.equal(report.warnings.length, isMade ? 0 : 1);
  if (!isMade) assert.match(report.warnings.join(), /nftablesFlowTableOffload has no effect/);
  dataplane.apply(state);
  assert.deepEqual(told, report.warnings, 'once');
  assert.equal(router.start().apply(state).writes, 0);
  for (const family of [4, 6] as const) {
    assert.equal(await one.probe('tcp', podAddress(2, family), 80), 'open');
    assert.equal(await one.probe('udp', podAddress(2, family), 53), 'silent');
  }
});

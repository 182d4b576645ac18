// Decisions as the flow log hears of them: one packet a connection, whose prefix names the rule.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuleHit } from '#dataplane';
import { LogReader, parsePacket } from '#linux';
import {
  endpoint,
  makeRouter,
  podAddress,
  podInterface,
  policy,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

const TCP = 6;

void test('[DP12] each decision is logged once a connection, in the group of its direction', async (t) => {
  const router = await makeRouter(t, 3);
  const [one, , three] = router.pods;
  assert.ok(one && three);
  const readers = [1, 2].map((group) =>
    LogReader.open({ group, namespace: router.machine.fd, queueThreshold: 1 }),
  );
  t.after(() => {
    for (const reader of readers) reader.close();
  });
  const gate = policy('gate', {
    tier: 'high',
    ingress: [rule('Pass', { index: 7, protocol: 6 })],
  });
  const web = policy('web', {
    ingress: [
      rule('Allow', { index: 2, destination: { ipSets: [], notIpSets: [], ports: [[80, 80]] } }),
    ],
  });
  const target = endpoint(2, {
    ingress: [{ ...tierOf(gate), name: 'high' }, tierOf(web)],
  });
  const dataplane = router.start();
  dataplane.apply(stateOf([endpoint(1), target], [gate, web]));
  const heard = (): string[] =>
    readers.flatMap((reader, index) =>
      reader
        .read()
        .filter((packet) => parsePacket(packet.payload)?.protocol === TCP)
        .map((packet) => `${index + 1} ${textOf(dataplane.hitOf(packet.prefix))}`),
    );

  assert.equal(await one.probe('tcp', podAddress(2, 6), 80), 'open');
  assert.deepEqual(heard(), [
    '1 Pass ingress high gate 7',
    '1 Allow ingress default web 2',
    '2 Allow egress null kns.default 0',
  ]);
  await one.probe('tcp', podAddress(2, 4), 8080, 200);
  assert.deepEqual(heard(), [
    '1 Pass ingress high gate 7',
    '1 Deny ingress default null -1',
    '2 Allow egress null kns.default 0',
  ]);
  await three.probe('tcp', podAddress(2, 4), 80, 200);
  assert.deepEqual(heard(), [], 'spoofing protection drops before');
  router.machine.run('ip', 'route', 'add', podAddress(3, 4), 'dev', podInterface(3));
  await three.probe('tcp', podAddress(2, 4), 80, 200);
  assert.deepEqual(heard(), ['2 Deny egress null null -1'], 'an interface that nobody knows');
});

function textOf(hit: RuleHit | undefined): string {
  if (!hit) return 'unknown prefix';
  return `${hit.action} ${hit.direction} ${hit.tier} ${hit.policy?.name ?? null} ${hit.rule}`;
}

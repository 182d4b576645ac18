// Decisions as the flow log hears of them, one packet a connection, and what Log rules write to the kernel's log.
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
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

void test("[DP50] Log rules write to the kernel's log, at their rate, and staged ones do not", async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const kernelLog = openKernelLog(t);
  const name = `log-${process.pid}`;
  const web = policy(name, {
    ingress: [rule('Log', { protocol: 6 }), rule('Allow', { index: 1 })],
  });
  const trial = policy('trial', { ingress: [rule('Log')], staged: true });
  const target = endpoint(2, { ingress: [tierOf(trial, web)] });
  const state = stateOf([endpoint(1), target], [trial, web]);
  const dataplane = router.start();
  const set = (logRate: typeof state.settings.logRate) => {
    const settings = { ...state.settings, logPrefix: '%t|%k|%p', logRate };
    assert.deepEqual(dataplane.apply({ ...state, settings }).errors, []);
  };
  const lines = async (count: number) => {
    kernelLog.skip();
    for (let index = 0; index < count; index++) {
      assert.equal(await one.probe('tcp', podAddress(2, index % 2 === 0 ? 4 : 6), 80), 'open');
    }
    return kernelLog.read().filter((line) => /(trial|log-\d+): /.test(line));
  };

  set(null);
  const found = await lines(2);
  assert.equal(found.length, 2, found.join('\n'));
  assert.match(
    found[0] ?? '',
    new RegExp(`default\\|np\\|default/${name}: .*DST=10\\.65\\.0\\.2 .*DPT=80`),
  );
  assert.match(found[1] ?? '', new RegExp(`default\\|np\\|default/${name}: .*DPT=80`));
  set({ packets: 1, per: 'day', burst: 3 });
  assert.equal((await lines(6)).length, 3);
});

/**
 * The kernel's log, of every network namespace while the test lasts. Log rules of other namespaces may write there
 * too, so lines are told apart by what they say.
 */
function openKernelLog(t: TestContext) {
  const switchFile = '/proc/sys/net/netfilter/nf_log_all_netns';
  const before = readFileSync(switchFile, 'utf8');
  writeFileSync(switchFile, '1');
  const fd = openSync('/dev/kmsg', constants.O_RDONLY | constants.O_NONBLOCK);
  t.after(() => {
    closeSync(fd);
    writeFileSync(switchFile, before);
  });
  const read = (): string[] => {
    const lines: string[] = [];
    const buffer = Buffer.alloc(8_192);
    for (;;) {
      try {
        lines.push(buffer.toString('utf8', 0, readSync(fd, buffer)));
      } catch (error) {
        // EPIPE: older lines were overwritten; reading goes on behind them.
        if (error instanceof Error && 'code' in error && error.code === 'EPIPE') continue;
        if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return lines;
        throw error;
      }
    }
  };
  return { read, skip: () => void read() };
}

// Decisions as the flow log hears of them, one packet a connection, and what Log rules write to the kernel's log.
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import type { DataplanePolicy, HostEndpoint, LocalEndpoint } from '#calc/dataplane-update';
import { BARE_STATE, policyKey } from '#calc/dataplane-update';
import type { Dataplane, RuleHit } from '#dataplane';
import { LogReader, parsePacket } from '#linux';
import { hostEndpoint, makeEdge, NO_FAILSAFE, NODE_ADDRESS } from './dataplane-outside.ts';
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

void test('[DP12] [DP42] decisions of hosts in each stage, of tiers and profiles are logged and counted', async (t) => {
  const { machine, pods, outside, start } = await makeEdge(t, 1);
  const [one] = pods;
  assert.ok(one);
  const readers = [1, 2].map((group) =>
    LogReader.open({ group, namespace: machine.fd, queueThreshold: 1 }),
  );
  t.after(() => {
    for (const reader of readers) reader.close();
  });
  const web = { destination: { ipSets: [], notIpSets: [], ports: [[80, 80]] as const } };
  const guard = policy('guard', { ingress: [rule('Deny', { protocol: 6, ...web })] });
  const trial = policy('trial', { ingress: [rule('Allow', { index: 4 })], staged: true });
  const gate = policy('gate', { ingress: [rule('Pass', { index: 5 })] });
  const denied: DataplanePolicy = {
    id: { kind: 'Profile', namespace: null, name: 'closed' },
    tier: '',
    ingress: [rule('Deny', { index: 6 })],
    egress: [],
  };
  const passing = (...list: DataplanePolicy[]) =>
    ({ ...tierOf(...list), defaultAction: 'Pass' }) as const;
  const all = [guard, trial, gate, denied];
  const dataplane = start();
  /** What is heard of a connection from outside to port 80: the hook's group and the decision. */
  const heard = async (
    host: Partial<HostEndpoint> | undefined,
    pod: Partial<LocalEndpoint>,
    to: string,
  ): Promise<string[]> => {
    const hosts = host ? [hostEndpoint(host)] : [];
    const settings = { ...BARE_STATE.settings, failsafeInbound: NO_FAILSAFE };
    const hostEndpoints = new Map(hosts.map((it) => [it.id, it]));
    const state = stateOf([endpoint(1, pod)], all, { hostEndpoints, settings });
    assert.deepEqual(dataplane.apply(state).errors, []);
    const before = counts(dataplane);
    for (const reader of readers) reader.read();
    await outside.probe('tcp', to, 80, 200);
    const after = counts(dataplane);
    return readers.flatMap((reader, index) =>
      reader
        .read()
        .filter((packet) => parsePacket(packet.payload)?.protocol === TCP)
        .map(({ prefix }) => {
          const text = textOf(dataplane.hitOf(prefix) ?? dataplane.stagedHitOf(prefix));
          assert.equal((after.get(text) ?? 0) - (before.get(text) ?? 0), 1, `${text} is counted`);
          return `${index + 1} ${text}`;
        }),
    );
  };
  for (const family of [4, 6] as const) {
    const [node, pod] = [NODE_ADDRESS[family], podAddress(1, family)];
    const deny = ['1 Deny ingress default guard 0'];
    const early = { ingress: [passing(guard)], egress: [] };
    assert.deepEqual(await heard({ untracked: early }, {}, node), deny);
    assert.deepEqual(await heard({ preDnat: early.ingress }, {}, node), deny);
    assert.deepEqual(await heard({ forward: early }, {}, pod), deny);
    assert.deepEqual(await heard({ normal: early }, {}, node), deny);
    const nobody = ['1 Deny ingress null null -1'];
    assert.deepEqual(await heard({}, {}, node), nobody);
    const both = { ingress: [tierOf(trial, gate)], egress: [] };
    const staged = '1 Allow ingress default trial 4 staged';
    assert.deepEqual(await heard({ normal: both }, {}, node), [
      staged,
      '1 Pass ingress default gate 5',
      ...nobody,
    ]);
    const closed = { profiles: [policyKey(denied.id)] };
    assert.deepEqual(await heard(undefined, closed, pod), ['1 Deny ingress null closed 6']);
    const end = { ingress: [tierOf(trial, gate)] };
    assert.deepEqual(await heard(undefined, { ...closed, ...end }, pod), [
      staged,
      '1 Pass ingress default gate 5',
      '1 Deny ingress null closed 6',
    ]);
    const tier = { ingress: [tierOf(trial)] };
    assert.deepEqual(await heard(undefined, tier, pod), [staged, '1 Deny ingress default null -1']);
  }
});

function textOf(hit: RuleHit | undefined): string {
  if (!hit) return 'unknown prefix';
  const { action, direction, tier, policy: by, rule: index, staged } = hit;
  return `${action} ${direction} ${tier} ${by?.name ?? null} ${index}${staged ? ' staged' : ''}`;
}

/** Packets by what decided. */
function counts(dataplane: Dataplane): Map<string, number> {
  return new Map(dataplane.readRuleCounters().map((one) => [textOf(one), one.packets]));
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

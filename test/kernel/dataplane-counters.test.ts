// What rules have counted, staged rules among them, and what a change of set members writes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DataplaneRule, DataplaneState, IpSet } from '#calc/dataplane-update';
import type { Dataplane, RuleCounter } from '#dataplane';
import {
  endpoint,
  makeRouter,
  podAddress,
  policy,
  rule,
  stateOf,
  tierOf,
} from './dataplane-router.ts';

const TCP = 6;
const to = (...ports: number[]) => ({
  ipSets: [],
  notIpSets: [],
  ports: ports.map((port) => [port, port] as const),
});
const from = (set: string) => ({ ipSets: [set], notIpSets: [] });

/** `tier policy rule packets`, of ingress, without what has counted nothing. */
function counted(dataplane: Dataplane): string[] {
  return dataplane
    .readRuleCounters()
    .filter(({ direction, packets }) => direction === 'ingress' && packets > 0)
    .map((one) => {
      const who = one.policy?.name ?? 'end';
      return `${one.tier} ${who} ${one.rule} ${one.action}${one.staged ? ' staged' : ''} ${one.packets}`;
    })
    .toSorted();
}

void test('[DP42] each rule counts what it decided, and goes on counting when other rules change', async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const web = policy('web', {
    ingress: [
      rule('Deny', { index: 0, protocol: TCP, destination: to(8080) }),
      rule('Allow', { index: 3, protocol: TCP, destination: to(80) }),
    ],
  });
  const others = Array.from({ length: 20 }, (_, index) =>
    policy(`z${index}`, {
      ingress: [rule('Allow', { protocol: TCP, destination: to(1000 + index) })],
    }),
  );
  const dataplane = router.start();
  const apply = (count: number) => {
    const policies = [web, ...others.slice(0, count)];
    const target = endpoint(2, { ingress: [tierOf(...policies)] });
    assert.deepEqual(dataplane.apply(stateOf([endpoint(1), target], policies)).errors, []);
  };
  apply(20);
  for (let count = 0; count < 3; count++) {
    assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  }
  await one.probe('udp', podAddress(2, 6), 53, 100);
  assert.deepEqual(counted(dataplane), ['default end -1 Deny 1', 'default web 3 Allow 3']);
  apply(10);
  assert.equal(await one.probe('tcp', podAddress(2, 6), 80), 'open');
  assert.deepEqual(counted(dataplane), ['default end -1 Deny 1', 'default web 3 Allow 4']);
  await one.probe('tcp', podAddress(2, 4), 8080, 100);
  const [denied] = dataplane
    .readRuleCounters()
    .filter(({ policy: id, rule: index }) => id?.name === 'web' && index === 0);
  assert.deepEqual(denied?.policy, web.id);
  assert.ok(denied.packets >= 1 && denied.bytes >= 40 * denied.packets);
});

void test('[DP41] a staged policy is counted and decides nothing', async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const staged = (name: string, ...ingress: DataplaneRule[]) =>
    policy(name, { staged: true, ingress });
  const deny = staged('deny', rule('Deny', { protocol: TCP, destination: to(80) }));
  const pass = staged('pass', rule('Pass'), rule('Deny', { index: 1 }));
  const web = policy('web', { ingress: [rule('Allow', { protocol: TCP, destination: to(80) })] });
  const late = staged('late', rule('Allow'));
  const alone = {
    ...tierOf(staged('alone', rule('Allow'))),
    name: 'first',
    defaultAction: 'Pass',
  } as const;
  const policies = [deny, pass, web, late, staged('alone', rule('Allow'))];
  const target = endpoint(2, { ingress: [alone, tierOf(deny, pass, web, late)] });
  const dataplane = router.start();
  assert.deepEqual(dataplane.apply(stateOf([endpoint(1), target], policies)).errors, []);
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  assert.deepEqual(counted(dataplane), [
    'default alone 0 Allow staged 1',
    'default deny 0 Deny staged 1',
    'default pass 0 Pass staged 1',
    'default web 0 Allow 1',
    'first end -1 Pass 1',
  ]);
  assert.equal(await one.probe('udp', podAddress(2, 4), 53, 100), 'silent');
  const after = counted(dataplane);
  assert.ok(after.includes('default late 0 Allow staged 1'), 'where nothing decided it is met');
  assert.ok(after.includes('default end -1 Deny 1'), 'and does not allow');
  assert.equal(dataplane.hitOf('DSI0|NetworkPolicy/default/deny'), undefined);
  assert.equal(dataplane.stagedHitOf('DSI0|NetworkPolicy/default/deny')?.action, 'Deny');
});

void test('[DP43] members of sets come and go as elements: no chain is written', async (t) => {
  const router = await makeRouter(t, 2);
  const sets = Array.from({ length: 30 }, (_, index): IpSet => {
    const size = index === 0 ? 3000 : 5;
    const members = Array.from(
      { length: size },
      (__, member) => `10.${100 + index}.${member >> 7}.${(member & 127) * 2}/32`,
    );
    return { id: `s${index}`, type: 'net', members: new Set(members) };
  });
  const policies = sets.map(({ id }, index) =>
    policy(`p${index}`, {
      ingress: [
        rule('Allow', { protocol: TCP, source: from(id), destination: to(80, 1000 + (index % 9)) }),
      ],
    }),
  );
  const dataplane = router.start();
  const target = endpoint(2, { ingress: [tierOf(...policies)] });
  const state = (members: readonly IpSet[]): DataplaneState =>
    stateOf([endpoint(1), target], policies, {
      ipSets: new Map(members.map((set) => [set.id, set])),
    });
  assert.deepEqual(dataplane.apply(state(sets)).errors, []);
  const chains = () =>
    router.machine
      .run('nft', '-s', 'list', 'table', 'inet', 'tortie')
      .split('\n')
      .filter((line) => line.includes('comment'));
  const before = chains();
  const [one] = router.pods;
  for (const [index, set] of sets.slice(0, 4).entries()) {
    const grown = { ...set, members: new Set([...set.members, `${podAddress(1, 4)}/32`]) };
    const { writes, errors } = dataplane.apply(
      state(sets.map((each) => (each === set ? grown : each))),
    );
    assert.deepEqual(errors, []);
    assert.ok(writes >= 1 && writes <= (index === 0 ? 1 : 4), `${set.id}: ${writes} writes`);
    assert.equal(await one?.probe('tcp', podAddress(2, 4), 80), 'open');
    const back = dataplane.apply(state(sets));
    assert.ok(back.writes >= 1 && back.writes <= 4);
  }
  assert.deepEqual(chains(), before);
});

void test('[DP68] counters are read in slices, in between which others have their turn', async (t) => {
  const router = await makeRouter(t, 2);
  const [one] = router.pods;
  assert.ok(one);
  const dataplane = router.start();
  const many = Array.from({ length: 1_500 }, (_, index) =>
    policy(`p${index}`, {
      ingress: [rule('Allow', { protocol: TCP, destination: to(80 + index) })],
    }),
  );
  const state = stateOf([endpoint(1), endpoint(2, { ingress: [tierOf(...many)] })], many);
  assert.deepEqual(dataplane.apply(state).errors, []);
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  let turns = 0;
  let counters: readonly RuleCounter[] | undefined;
  void dataplane.readRuleCountersInSlices().then((read) => (counters = read));
  while (!counters) {
    await new Promise(setImmediate);
    turns++;
  }
  assert.ok(turns > 1, `${turns} turns of the event loop`);
  assert.deepEqual(counters, dataplane.readRuleCounters());
  const allowed = counters.find(({ policy: id }) => id?.name === 'p0');
  assert.equal(allowed?.packets, 1);
  assert.equal(counters.filter(({ policy: id }) => id?.kind === 'NetworkPolicy').length, 1_500);
});

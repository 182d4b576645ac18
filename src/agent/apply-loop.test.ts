// The loop's promises: nothing before in-sync, coalescing, retry from the kernel, honest waiters.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BARE_STATE, type DataplaneState, type LocalEndpoint } from '#calc/dataplane-update';
import { ApplyLoop, type ApplyReport } from './apply-loop.ts';

const endpoint: LocalEndpoint = {
  id: 'shop/cart',
  interfaceName: 'cali1',
  addresses: ['10.0.0.1/32'],
  allowedSources: [],
  floatingAddresses: [],
  ingress: [],
  egress: [],
  profiles: [],
};

function stateWith(endpoints: readonly LocalEndpoint[]): DataplaneState {
  return { ...BARE_STATE, endpoints: new Map(endpoints.map((one) => [one.id, one])) };
}

function world(reports: ApplyReport[] = []) {
  const calls: string[] = [];
  const it = { state: stateWith([]), calls, enforced: true };
  const loop = new ApplyLoop({
    calculation: { onUpdates: () => calls.push('update'), state: () => it.state },
    enforcer: {
      apply: () => {
        calls.push('apply');
        return (
          reports.shift() ?? {
            writes: 0,
            errors: [],
            repaired: [],
            stuck: false,
            unfiltered: [],
            warnings: [],
          }
        );
      },
      isEnforced: () => it.enforced,
      resync: () => calls.push('resync'),
    },
    onApplied: () => {},
  });
  return {
    ...it,
    loop,
    set: (state: DataplaneState) => (it.state = state),
    enforce: (enforced: boolean) => (it.enforced = enforced),
  };
}

/** Time goes on when the test says so, however busy the machine is. */
function stoppedClock(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.mock.method(performance, 'now', () => Date.now());
  return {
    tick: (ms: number) => {
      for (let passed = 0; passed < ms; passed++) t.mock.timers.tick(1);
    },
  };
}

test('nothing is applied before in-sync, whatever arrives', async (t) => {
  const { loop, calls } = world();
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  loop.onUpdates([]);
  loop.onStatus('resync');
  clock.tick(30);
  assert.deepEqual(calls, ['update']);
  loop.onStatus('in-sync');
  clock.tick(30);
  assert.deepEqual(calls, ['update', 'apply']);
  assert.equal(loop.ready, true);
});

test('a burst of updates is one apply', async (t) => {
  const { loop, calls } = world();
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  loop.onStatus('in-sync');
  clock.tick(20);
  for (let n = 0; n < 100; n++) loop.onUpdates([]);
  clock.tick(50);
  assert.equal(calls.filter((call) => call === 'apply').length, 2);
});

test('a failed apply is tried again, from what the kernel holds', async (t) => {
  const { loop, calls } = world([
    {
      writes: 0,
      errors: [{ what: 'chain', message: 'no' }],
      repaired: [],
      stuck: false,
      unfiltered: [],
      warnings: [],
    },
  ]);
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  loop.onStatus('in-sync');
  clock.tick(20);
  assert.equal(loop.ready, false);
  clock.tick(200);
  assert.deepEqual(calls, ['apply', 'resync', 'apply']);
  assert.equal(loop.ready, true);
});

test('while something is refused changes go through, and are no tries of what was refused', async (t) => {
  const refusal = {
    writes: 0,
    errors: [{ what: 'chain', message: 'no' }],
    repaired: [],
    stuck: false,
    unfiltered: [],
    warnings: [],
  };
  const { loop, calls } = world([refusal, refusal, refusal]);
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  loop.onStatus('in-sync');
  clock.tick(10);
  for (let n = 0; n < 2; n++) {
    loop.onUpdates([]);
    clock.tick(20);
  }
  assert.deepEqual(calls, ['apply', 'update', 'apply', 'update', 'apply']);
});

test('a kernel that takes nothing is left alone until the next try, whatever arrives', async (t) => {
  const { loop, calls } = world([
    {
      writes: 0,
      errors: [{ what: 'table', message: 'no' }],
      repaired: [],
      stuck: true,
      unfiltered: [],
      warnings: [],
    },
  ]);
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  loop.onStatus('in-sync');
  clock.tick(10);
  for (let n = 0; n < 5; n++) loop.onUpdates([]);
  clock.tick(40);
  assert.deepEqual(
    calls.filter((call) => call !== 'update'),
    ['apply'],
  );
  clock.tick(200);
  assert.deepEqual(
    calls.filter((call) => call !== 'update'),
    ['apply', 'resync', 'apply'],
  );
  assert.equal(loop.ready, true);
});

test('an apply that throws is a failure like any other', async (t) => {
  const reports: ApplyReport[] = [];
  let thrown = 0;
  const loop = new ApplyLoop({
    calculation: { onUpdates: () => {}, state: () => stateWith([]) },
    enforcer: {
      apply: () => {
        if (thrown++ === 0) throw new Error('no buffer space');
        return { writes: 1, errors: [], repaired: [], stuck: false, unfiltered: [], warnings: [] };
      },
      isEnforced: () => true,
      resync: () => {},
    },
    onApplied: (_, report) => reports.push(report),
  });
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  loop.onStatus('in-sync');
  clock.tick(250);
  assert.deepEqual(
    reports.map(({ errors }) => errors),
    [[{ what: 'apply', message: 'no buffer space' }], []],
  );
  assert.equal(loop.ready, true);
});

test('a waiter is told only when an apply holds its endpoint', async (t) => {
  const { loop, set } = world();
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  loop.onStatus('in-sync');
  clock.tick(20);
  let told = false;
  const signal = AbortSignal.timeout(5_000);
  const waiting = loop
    .waitEnforced({ id: 'shop/cart', interfaceName: 'cali1', addresses: ['10.0.0.1'] }, signal)
    .then(() => (told = true));
  clock.tick(30);
  assert.equal(told, false);
  set(stateWith([endpoint]));
  loop.onUpdates([]);
  clock.tick(10);
  await waiting;
  assert.equal(told, true);
});

test('a waiter is held up by what its own endpoint lacks, not by what others lack', async (t) => {
  const refusal = {
    writes: 0,
    errors: [{ what: 'chain of another', message: 'refused' }],
    repaired: [],
    stuck: false,
    unfiltered: [],
    warnings: [],
  };
  const { loop, set, enforce } = world([refusal, refusal, refusal]);
  t.after(() => loop.stop());
  const clock = stoppedClock(t);
  set(stateWith([endpoint]));
  enforce(false);
  loop.onStatus('in-sync');
  let told = false;
  const waiting = loop
    .waitEnforced(
      { id: 'shop/cart', interfaceName: 'cali1', addresses: ['10.0.0.1'] },
      AbortSignal.timeout(5_000),
    )
    .then(() => (told = true));
  clock.tick(30);
  assert.equal(told, false);
  enforce(true);
  loop.onUpdates([]);
  clock.tick(10);
  await waiting;
  assert.equal(loop.ready, false);
});

test('a waiter gives up with the reason of its signal', async (t) => {
  const { loop } = world();
  t.after(() => loop.stop());
  const wait = loop.waitEnforced(
    { id: 'a/b', interfaceName: 'c', addresses: [] },
    AbortSignal.timeout(20),
  );
  await assert.rejects(wait, { name: 'TimeoutError' });
});

test('where applies take long, what arrives meanwhile shares the next one', async (t) => {
  const blockFor = (ms: number) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  };
  const applies: number[] = [];
  const loop = new ApplyLoop({
    calculation: { onUpdates: () => undefined, state: () => stateWith([]) },
    enforcer: {
      apply: () => {
        const begun = performance.now();
        blockFor(30);
        applies.push(begun, performance.now());
        return { writes: 0, errors: [], repaired: [], stuck: false, unfiltered: [], warnings: [] };
      },
      isEnforced: () => true,
      resync: () => undefined,
    },
    onApplied: () => undefined,
  });
  t.after(() => loop.stop());
  loop.onStatus('in-sync');
  while (applies.length < 8) {
    loop.onUpdates([]);
    await sleep(2);
  }
  for (let at = 2; at < applies.length; at += 2) {
    const pause = (applies[at] ?? 0) - (applies[at - 1] ?? 0);
    assert.ok(pause >= 28, `${pause} ms between two applies of 30 ms`);
  }
});

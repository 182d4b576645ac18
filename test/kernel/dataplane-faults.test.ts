// Death at every step of an apply, restarts under load, connections of workloads that have gone.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { StaleConnections } from '#agent';
import { ConntrackSocket } from '#linux';
import type { ChildTask } from './dataplane-child.ts';
import { type FaultState, faultState } from './dataplane-fault-states.ts';
import { endpoint, makeRouter, podAddress, type Router, stateOf } from './dataplane-router.ts';

const CHILD = fileURLToPath(new URL('dataplane-child.ts', import.meta.url));
/** As many as wanted by name: RESTARTS=1000. */
const RESTARTS = Number(process.env['RESTARTS'] ?? 20);
const SILENCE_MS = 150;
/** Between two connections of a talker: an outage of a millisecond meets some. */
const PACE_MS = 1;
/** Processes that have loaded their code and wait: how long that takes is no part of a restart. */
const SPARE = 2;
const compiled = mkdtempSync(join(tmpdir(), 'tortie-compiled-'));
after(() => rmSync(compiled, { recursive: true, force: true }));

interface ChildReport {
  readonly errors: readonly unknown[];
  readonly writes: number;
  readonly changes: number;
}

function start(task: ChildTask): ChildProcess {
  return spawn(process.execPath, [CHILD, JSON.stringify(task)], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_COMPILE_CACHE: compiled },
  });
}

/** What a process that lives says, or undefined when it died. */
async function reportOf(child: ChildProcess): Promise<ChildReport | undefined> {
  if (!child.stdout) throw new Error('the output is not read');
  for await (const line of createInterface({ input: child.stdout })) {
    return JSON.parse(line) as ChildReport;
  }
  return undefined;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** The rules of the table, without what was counted. */
function listed(router: Router): string {
  return router.machine.run('nft', '-s', 'list', 'table', 'inet', 'tortie');
}

function routes(router: Router): string {
  return ['-4', '-6']
    .map((family) => router.machine.run('ip', family, 'route', 'show', 'proto', '80'))
    .join('');
}

/** What must hold whichever of the two states the router has, or between them. */
async function mustHold(router: Router, when: string): Promise<void> {
  const [one, , three, , , six] = router.pods;
  assert.ok(one && three && six);
  const silent = (probe: Promise<string>) => probe.then((outcome) => outcome === 'silent');
  const held = await Promise.all([
    one.probe('tcp', podAddress(2, 4), 80).then((outcome) => outcome === 'open'),
    one.probe('tcp', podAddress(2, 6), 80).then((outcome) => outcome === 'open'),
    silent(three.probe('tcp', podAddress(2, 4), 80, SILENCE_MS)),
    silent(three.probe('tcp', podAddress(2, 6), 80, SILENCE_MS)),
    silent(three.probe('udp', podAddress(2, 4), 53, SILENCE_MS)),
    silent(one.probe('tcp', podAddress(5, 4), 80, SILENCE_MS)),
    silent(one.probe('tcp', podAddress(6, 4), 80, SILENCE_MS)),
    silent(six.probe('tcp', podAddress(2, 4), 80, SILENCE_MS)),
  ]);
  assert.deepEqual(
    held,
    held.map(() => true),
    when,
  );
}

void test('[DP44] wherever an apply is killed, what both states say holds, and the next completes it', async (t) => {
  const router = await makeRouter(t, 6);
  const apply = (state: FaultState) => router.start().apply(faultState(state));
  apply('after');
  const [wantedRules, wantedRoutes] = [listed(router), routes(router)];
  let deaths = 0;
  for (let step = 0; ; step++) {
    assert.ok(step < 100, 'an apply has not so many steps');
    assert.deepEqual(apply('before').errors, []);
    const child = start({ namespace: router.machine.path, state: 'after', dieBefore: step });
    const report = await reportOf(child);
    await end(child);
    await mustHold(router, `died before change ${step}`);
    assert.deepEqual(apply('after').errors, []);
    assert.equal(sorted(listed(router)), sorted(wantedRules), `after death before change ${step}`);
    assert.equal(sorted(routes(router)), sorted(wantedRoutes));
    assert.equal(apply('after').writes, 0);
    if (report) break;
    deaths++;
  }
  process.stdout.write(`# died before each of ${deaths} changes of an apply\n`);
  assert.ok(deaths >= 5);
});

/** The order of chains and elements is that of their making. */
function sorted(text: string): string {
  return text
    .split(/[\n,]/)
    .map((line) => line.replaceAll(/[{}=]|elements/g, '').trim())
    .toSorted()
    .join('\n');
}

/** Opens connections, one after the other, until told to stop; how many were as wanted. */
function traffic(wanted: 'open' | 'silent', probe: () => Promise<string>) {
  let [asked, wrong, stopped] = [0, 0, false];
  const done = (async () => {
    while (!stopped) {
      asked++;
      if ((await probe()) !== wanted) wrong++;
      await sleep(PACE_MS);
    }
  })();
  const stop = async () => {
    stopped = true;
    await done;
    return { asked, wrong };
  };
  return stop;
}

void test('[DP45] restarts under load lose nothing, let nothing through and write nothing', async (t) => {
  const router = await makeRouter(t, 6);
  const [one, two, three, , , six] = router.pods;
  assert.ok(one && two && three && six);
  assert.deepEqual(router.start().apply(faultState('after')).errors, []);
  const running = [
    traffic('open', () => one.probe('tcp', podAddress(2, 4), 80, 5_000)),
    traffic('open', () => one.probe('tcp', podAddress(2, 6), 80, 5_000)),
    traffic('open', () => two.probe('udp', podAddress(3, 4), 53, 5_000)),
    traffic('silent', () => three.probe('tcp', podAddress(2, 4), 80, SILENCE_MS)),
    traffic('silent', () => three.probe('udp', podAddress(2, 6), 53, SILENCE_MS)),
    traffic('silent', () => six.probe('tcp', podAddress(2, 4), 80, SILENCE_MS)),
  ];
  const next = () => start({ namespace: router.machine.path, state: 'after', waits: true });
  const spares = Array.from({ length: SPARE }, next);
  t.after(() => Promise.all(spares.map(end)));
  let written = 0;
  for (let restart = 0; restart < RESTARTS; restart++) {
    const child = spares.shift() ?? next();
    if (restart + SPARE < RESTARTS) spares.push(next());
    child.stdin?.write('go\n');
    const report = await reportOf(child);
    assert.deepEqual(report?.errors, []);
    written += report.writes;
    await end(child);
  }
  const sums = await Promise.all(running.map((stop) => stop()));
  const asked = sums.reduce((sum, each) => sum + each.asked, 0);
  process.stdout.write(
    `# ${RESTARTS} restarts, ${asked} new connections: ${JSON.stringify(sums)}\n`,
  );
  assert.deepEqual(
    sums.map(({ wrong }) => wrong),
    sums.map(() => 0),
  );
  assert.ok(sums.every((each) => each.asked > 0));
  assert.equal(written, 0);
});

void test('connections of a workload that has gone are forgotten, those of others are not', async (t) => {
  const router = await makeRouter(t, 3);
  const [one] = router.pods;
  assert.ok(one);
  const connections = ConntrackSocket.open({ events: [], namespace: router.machine.fd });
  t.after(() => connections.close());
  const stale = new StaleConnections(connections);
  const dataplane = router.start();
  const apply = (...pods: number[]) => {
    const state = stateOf(pods.map((pod) => endpoint(pod)));
    assert.deepEqual(dataplane.apply(state).errors, []);
    return stale.onApplied(state);
  };
  apply(1, 2, 3);
  for (const family of [4, 6] as const) {
    for (const pod of [2, 3]) {
      assert.equal(await one.probe('udp', podAddress(pod, family), 53), 'open');
      assert.equal(await one.probe('tcp', podAddress(pod, family), 80), 'open');
    }
  }
  const of = (pod: number) =>
    connections.dump().filter(({ original }) =>
      [4, 6].some((family) => {
        return original.destination === podAddress(pod, family as 4 | 6);
      }),
    ).length;
  assert.ok(of(2) >= 4 && of(3) >= 4);
  const kept = of(3);
  assert.ok(apply(1, 3) >= 4);
  assert.equal(of(2), 0);
  assert.equal(of(3), kept);
  assert.equal(apply(1, 3), 0);
});

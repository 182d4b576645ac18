// Flows read by a thread of their own from a real kernel: both ends, NAT, and an agent that is busy elsewhere.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { podAddress } from './dataplane-router.ts';
import { LOCALS, read, sum } from './flow-reading.ts';

void test('both ends report a connection with its rule, its NAT and its end; a denied one is denied', async (t) => {
  const { router, reports, until, forget } = await read(t);
  const [one] = router.pods;
  assert.ok(one);
  const dnat = `ip daddr 10.96.0.1 tcp dport 8000 dnat to ${podAddress(2, 4)}:80;`;
  const nat = `table ip service { chain c { type nat hook prerouting priority dstnat; ${dnat} }; }`;
  execFileSync('nsenter', [`--net=${router.machine.path}`, 'nft', nat]);
  assert.equal(await one.probe('tcp', '10.96.0.1', 8000), 'open');
  assert.equal(await one.probe('tcp', podAddress(2, 6), 8080, 200), 'silent');
  const ends = () => reports.filter((report) => report.tuple.destinationPort === 80);
  await forget();
  await until('both ends have completed', () =>
    (['egress', 'ingress'] as const).every(
      (way) =>
        sum(
          ends().filter(({ direction }) => direction === way),
          (r) => r.connections.completed,
        ) === 1,
    ),
  );
  for (const way of ['egress', 'ingress'] as const) {
    const own = ends().filter(({ direction }) => direction === way);
    assert.deepEqual(own.find(({ translation }) => translation)?.translation, {
      calledAddress: '10.96.0.1',
      calledPort: 8000,
    });
    assert.ok(sum(own, ({ packets }) => packets.out) >= 4);
    const [step] = own[0]?.policies ?? [];
    const expected = way === 'egress' ? ['kns.default', 0] : ['web', 1];
    assert.deepEqual([step?.name, step?.rule], expected);
  }
  await until('the denial', () => reports.some(({ verdict }) => verdict === 'deny'));
  const denied = reports.find(({ verdict }) => verdict === 'deny');
  assert.equal(denied?.tuple.destination, podAddress(2, 6));
  assert.deepEqual([denied?.policies[0]?.tier, denied?.policies[0]?.rule], ['default', -1]);
});

void test('while the agent does something else for long, nothing is lost and nothing waits for it', async (t) => {
  const { router, worker, reports, until, forget } = await read(t);
  const [one] = router.pods;
  assert.ok(one);
  let opened = 0;
  for (let round = 0; round < 3; round++) {
    const probes = Array.from({ length: 10 }, () => one.probe('tcp', podAddress(2, 4), 80, 3_000));
    const busyUntil = performance.now() + 300;
    while (performance.now() < busyUntil);
    opened += (await Promise.all(probes)).filter((outcome) => outcome === 'open').length;
  }
  assert.equal(opened, 30);
  await forget();
  const completed = (way: string) =>
    sum(
      reports.filter(({ direction }) => direction === way),
      (r) => r.connections.completed,
    );
  await until('all ends', () => completed('egress') === 30 && completed('ingress') === 30);
  assert.equal(
    sum(
      reports.filter(({ direction }) => direction === 'egress'),
      (r) => r.connections.started,
    ),
    30,
  );
  const { groups = [], dropped, unnamed, overruns } = worker.state ?? {};
  assert.deepEqual([groups.map(({ lost }) => lost), dropped, unnamed, overruns], [[0, 0], 0, 0, 0]);
});

void test('what is not reported yet is said when the thread is stopped', async (t) => {
  const { router, worker, reports, until } = await read(t);
  const [one] = router.pods;
  assert.ok(one);
  assert.equal(await one.probe('udp', podAddress(2, 4), 53, 200), 'silent', 'UDP is denied');
  await until('its egress', () => reports.some(({ tuple }) => tuple.destinationPort === 53));
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  await worker.stop();
  const tcp = reports.filter(
    ({ tuple, direction }) => tuple.destinationPort === 80 && direction === 'ingress',
  );
  assert.equal(
    sum(tcp, ({ connections }) => connections.started),
    1,
  );
  assert.equal(tcp[0]?.policies[0]?.name, 'web');
});

void test('connection events that did not fit are counted, and a listing makes the sums exact again', async (t) => {
  const { router, worker, reports, until, forget } = await read(t, { conntrackBufferBytes: 1 });
  const [one] = router.pods;
  assert.ok(one);
  let opened = 0;
  for (let round = 0; round < 8; round++) {
    const probes = Array.from({ length: 10 }, () => one.probe('tcp', podAddress(2, 4), 80, 3_000));
    opened += (await Promise.all(probes)).filter((outcome) => outcome === 'open').length;
  }
  const ingress = () => reports.filter(({ direction }) => direction === 'ingress');
  const started = () => sum(ingress(), ({ connections }) => connections.started);
  await until('all beginnings', () => started() === opened);
  await forget();
  await until('all ends', () => sum(ingress(), (r) => r.connections.completed) === opened);
  assert.equal(started(), opened);
  assert.ok((worker.state?.overruns ?? 0) > 0, 'the buffer was too small');
});

void test('with room for few connections, those that must go are reported and none is counted twice', async (t) => {
  const { router, worker, reports, until, forget } = await read(t, { maxConnections: 3 });
  const [one] = router.pods;
  assert.ok(one);
  for (let round = 0; round < 20; round++) {
    assert.equal(await one.probe('tcp', podAddress(2, 4), 80, 3_000), 'open');
  }
  await forget();
  const egress = () => reports.filter(({ direction }) => direction === 'egress');
  await until('all ends', () => sum(egress(), (r) => r.connections.completed) >= 20);
  await until('no more', () => (worker.state?.connections ?? 0) === 0);
  assert.equal(
    sum(egress(), ({ connections }) => connections.completed),
    20,
  );
  assert.equal(
    sum(egress(), ({ connections }) => connections.started),
    20,
  );
  assert.equal(worker.state?.dropped, 0);
});

void test('another reader counts on from where it came, whenever it learns whose addresses are here', async (t) => {
  const { router, worker, reports, until, forget, again } = await read(t);
  const [one] = router.pods;
  assert.ok(one);
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  await worker.stop();
  const told = reports.length;
  const second = again();
  await until('the second reader', () => second.state !== undefined);
  await sleep(300);
  assert.equal(second.state?.connections, 0);
  second.setLocals(LOCALS);
  await until('the old connection', () => second.state?.older.connections === 1);
  assert.equal(await one.probe('tcp', podAddress(2, 4), 80), 'open');
  await forget();
  const later = () => reports.slice(told).filter(({ direction }) => direction === 'egress');
  const ended = () => sum(later(), ({ connections }) => connections.completed);
  await until('the end of the new one', () => ended() >= 1);
  assert.equal(
    sum(later(), ({ connections }) => connections.started),
    1,
  );
});

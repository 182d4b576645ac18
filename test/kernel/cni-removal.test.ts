// Many interfaces removed at once, by processes that are killed meanwhile: none is left, and none too many is gone.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type TestContext, test } from 'node:test';
import { VethDriver } from '#cni';
import { makeNamespace, run, type TestNamespace } from './linux-namespaces.ts';

const CHILD = fileURLToPath(new URL('cni-removal-child.ts', import.meta.url));
const PODS = 24;
const KILLS = 6;

interface Place {
  readonly hostName: string;
  readonly netns: string;
  readonly ifname: string;
  readonly addresses: readonly string[];
}

function places(space: TestNamespace, count: number): Place[] {
  return Array.from({ length: count }, (_, index) => ({
    hostName: `cali${String(index).padStart(11, '0')}`,
    netns: space.path,
    ifname: `eth${index}`,
    addresses: [`10.65.1.${index}/32`],
  }));
}

function driverOf(t: TestContext, host: TestNamespace): VethDriver {
  const driver = new VethDriver({ namespace: host.fd, mtu: () => 1500 });
  t.after(() => driver.close());
  return driver;
}

const present = (host: TestNamespace) =>
  host.route
    .links()
    .map(({ name }) => name)
    .filter((name) => name.startsWith('cali'));

async function removeAndDie(host: TestNamespace, names: readonly string[], afterMs: number) {
  const child: ChildProcess = spawn(process.execPath, [CHILD, host.path, ...names], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const gone = once(child, 'exit');
  await once(child, 'message');
  child.send('go');
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  child.kill('SIGKILL');
  await gone;
}

void test('[CNI22] a removal of many that is killed is completed by the next, and touches no other', async (t) => {
  const [host, space] = [makeNamespace(t), makeNamespace(t)];
  const all = places(space, PODS);
  const driver = driverOf(t, host);
  const stays = all.slice(0, 4);
  const goes = all.slice(4);
  for (let turn = 0; turn < KILLS; turn++) {
    for (const place of all) if (!driver.find(place)) driver.attach(place);
    await removeAndDie(
      host,
      goes.map(({ hostName }) => hostName),
      turn * 4,
    );
    assert.ok(stays.every((place) => driver.find(place)));
    await Promise.all(goes.map(({ hostName }) => driver.detach(hostName)));
    assert.deepEqual(
      present(host).toSorted(),
      stays.map(({ hostName }) => hostName),
    );
  }
  assert.equal(await driver.detach(goes[0]?.hostName ?? ''), false, 'there is none any more');
});

void test('[CNI22] an interface that was about to go is not used again', async (t) => {
  const [host, space] = [makeNamespace(t), makeNamespace(t)];
  const [first, second] = places(space, 2);
  assert.ok(first && second);
  const driver = driverOf(t, host);
  driver.attach(first);
  driver.attach(second);
  const before = host.route.link(first.hostName)?.index;
  // What is left of a removal that was killed before its second half.
  run(host, 'ip', 'link', 'set', first.hostName, 'group', String(0x746f_7274));
  assert.equal(driver.find(first), undefined);
  driver.attach(first);
  assert.notEqual(host.route.link(first.hostName)?.index, before);
  await driver.detach(second.hostName);
  assert.deepEqual(present(host), [first.hostName]);
});

// Many interfaces removed at once, by processes that are killed meanwhile: none is left, and none too many is gone.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type TestContext, test } from 'node:test';
import { VethDriver } from '#cni';
import { ROUTE_PROTOCOL, ROUTE_TABLE } from '#linux';
import { makeNamespace, run, type TestNamespace } from './linux-namespaces.ts';

const CHILD = fileURLToPath(new URL('cni-removal-child.ts', import.meta.url));
const PODS = 24;
const KILLS = 6;
/** Of interfaces that are to go (src/cni). */
const DOOMED_GROUP = 0x746f_7274;

interface Place {
  readonly hostName: string;
  readonly netns: string;
  readonly ifname: string;
  readonly addresses: readonly string[];
}

/** Each in a namespace of its own. */
function places(t: TestContext, count: number): Place[] {
  return Array.from({ length: count }, (_, index) => ({
    hostName: `cali${String(index).padStart(11, '0')}`,
    netns: makeNamespace(t).path,
    ifname: 'eth0',
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
    .filter(({ name }) => name.startsWith('cali'))
    .map(({ name, index, group }) => ({ name, index, isDoomed: group === DOOMED_GROUP }));

/** What the dataplane does when it knows the pod. */
function route(host: TestNamespace, { hostName, addresses }: Place): void {
  for (const destination of addresses) {
    host.route.replaceRoute({
      family: 4,
      destination,
      interface: hostName,
      table: ROUTE_TABLE.MAIN,
      protocol: ROUTE_PROTOCOL.TORTIE,
      type: 'unicast',
    });
  }
}

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
  const host = makeNamespace(t);
  const all = places(t, PODS);
  const driver = driverOf(t, host);
  const stays = all.slice(0, 4);
  const goes = all.slice(4);
  const attachAll = async () => {
    const made = await Promise.all(all.map((place) => driver.ensure(place)));
    for (const place of all) route(host, place);
    return made.map(({ stood }) => stood);
  };
  await attachAll();
  for (let turn = 0; turn < KILLS; turn++) {
    const before = present(host).slice(0, stays.length);
    await removeAndDie(
      host,
      goes.map(({ hostName }) => hostName),
      turn * 4,
    );
    // Those that the killed one has only begun with are not used again, those it left are.
    const left = present(host);
    const usable = all.map(({ hostName }) =>
      left.some(({ name, isDoomed }) => name === hostName && !isDoomed),
    );
    if (turn % 2 === 1) assert.deepEqual(await attachAll(), usable);
    await Promise.all(goes.map((place) => driver.remove(place, true)));
    assert.deepEqual(present(host), before);
    await attachAll();
  }
  const [gone] = goes;
  assert.ok(gone);
  assert.equal(await driver.remove(gone, true), 'removed');
  assert.equal(await driver.remove(gone, true), 'absent');
  assert.equal(await driver.remove(gone, false), 'absent');
});

void test('[CNI22] an interface that was about to go is not used again', async (t) => {
  const host = makeNamespace(t);
  const [first, second] = places(t, 2);
  assert.ok(first && second);
  const driver = driverOf(t, host);
  for (const place of [first, second]) {
    assert.equal((await driver.ensure(place)).stood, false);
    route(host, place);
    assert.equal((await driver.ensure(place)).stood, true);
  }
  const before = host.route.link(first.hostName)?.index;
  // What is left of a removal that was killed before its second half.
  run(host, 'ip', 'link', 'set', first.hostName, 'group', String(DOOMED_GROUP));
  assert.equal(await driver.remove(first, false), 'kept', 'it leads nowhere that is in use');
  assert.equal((await driver.ensure(first)).stood, false);
  assert.notEqual(host.route.link(first.hostName)?.index, before);
  assert.equal(await driver.remove(second, false), 'removed');
  assert.deepEqual(
    present(host).map(({ name }) => name),
    [first.hostName],
  );
});

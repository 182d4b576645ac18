// Sockets of a namespace as the kernel lists them, with what TCP measures.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DestroyedSockets, LinkedNamespaces, SocketDiag, socketsOfProcess } from '#linux';
import { makeNamespace, makePair, type TestNamespace } from './linux-namespaces.ts';

async function start(t: TestContext, where: TestNamespace, program: string): Promise<number> {
  const argv = [`--net=${where.path}`, process.execPath, '-e', program];
  const child = spawn('nsenter', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

for (const [family, address] of [
  [4, '10.99.0.2'],
  [6, 'fd99::2'],
] as const) {
  void test(`a connection over IPv${family} is found at both ends, with its process and measures`, async (t) => {
    const { left, right } = makePair(t);
    const serve = `require('net').createServer((s) => s.pipe(s)).listen(7777, '::', () => console.log(1));
      require('dgram').createSocket('udp6').bind(5353)`;
    const server = await start(t, right, serve);
    const call = `const s = require('net').connect(7777, '${address}', () => s.write('x'.repeat(100000)));
      let n = 0; s.on('data', (d) => { n += d.length; if (n === 100000) console.log(2) })`;
    const client = await start(t, left, call);
    const [near, far] = [left, right].map(({ fd }) => {
      const diag = SocketDiag.open({ namespace: fd });
      t.after(() => diag.close());
      return diag;
    });
    const mine = near?.sockets(6).find(({ remotePort }) => remotePort === 7777);
    assert.equal(mine?.remote, address);
    assert.ok(mine && socketsOfProcess(client, 100).includes(mine.inode));
    const theirs = far?.sockets(6).find(({ remotePort }) => remotePort === mine.localPort);
    assert.deepEqual(
      [theirs?.local, theirs?.localPort, theirs?.remote],
      [address, 7777, mine.local],
    );
    assert.ok(theirs && socketsOfProcess(server, 100).includes(theirs.inode));
    const { tcp } = mine;
    assert.ok(tcp && tcp.rtt > 0 && tcp.minRtt > 0 && tcp.minRtt <= tcp.rtt * 2);
    assert.ok(tcp.mss > 500 && tcp.mss <= 1500 && tcp.congestionWindow >= 1);
    assert.equal(tcp.lost, 0);
    const listening = far
      ?.sockets(6)
      .find(({ localPort, remotePort }) => localPort === 7777 && !remotePort);
    assert.ok(listening && listening.tcp === undefined);
    assert.ok(far?.sockets(17).some(({ localPort }) => localPort === 5353));
    assert.equal(near?.connected(mine)?.inode, mine.inode);
    assert.equal(near?.connected({ ...mine, localPort: 1 }), undefined);
    assert.equal(
      far?.connected({ ...theirs, remotePort: 1 }),
      undefined,
      'one that listens is another',
    );
    const ends = DestroyedSockets.open({ namespace: left.fd });
    t.after(() => ends.close());
    process.kill(client, 'SIGKILL');
    let last: ReturnType<DestroyedSockets['read']> = [];
    for (let look = 0; look < 200 && last.length === 0; look++) {
      await sleep(25);
      last = ends.read();
    }
    assert.deepEqual(
      last.map(({ localPort, remote, remotePort }) => ({ localPort, remote, remotePort })),
      [{ localPort: mine.localPort, remote: address, remotePort: 7777 }],
    );
    assert.ok(last[0]?.tcp && last[0].tcp.rtt > 0 && ends.overruns === 0);
  });
}

void test('a namespace knows those that its links lead to, and no others', (t) => {
  const { left, right } = makePair(t);
  const other = makeNamespace(t);
  const linked = LinkedNamespaces.open({ namespace: left.fd });
  t.after(() => linked.close());
  assert.deepEqual(
    [right, other].map(({ fd }) => linked.has(fd)),
    [true, false],
  );
});

// Network namespaces against the kernel: making, entering, leaving and deleting them.

import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test from 'node:test';
import { Worker } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  NetlinkSocket,
  NETLINK_PROTOCOL,
  RouteSocket,
  SystemError,
  createNamespace,
  currentNamespace,
  deleteNamespace,
  ensureSysctlsInNamespace,
  listenInNamespace,
  openNamespace,
  readSysctlInNamespace,
  withNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { makeNamespace, run } from './linux-namespaces.ts';

const here = () => readlinkSync('/proc/thread-self/ns/net');
/** Where the descriptors lead that are open. */
const openPaths = () =>
  readdirSync('/proc/self/fd').flatMap((fd) => {
    const path = `/proc/self/fd/${fd}`;
    return existsSync(path) ? [readlinkSync(path)] : [];
  });
const namespaceMounts = (path: string) =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(` ${path} `)).length;

void test('a namespace is made where asked, and deleting it leaves nothing', () => {
  const path = `/run/netns/tortie-t-${process.pid}-life`;
  const before = here();
  createNamespace(path);
  try {
    assert.equal(here(), before, 'the thread is back');
    assert.equal(namespaceMounts(path), 1);
    assert.throws(() => createNamespace(path), { code: 'EEXIST' });
    assert.equal(namespaceMounts(path), 1, 'the failed attempt left the first alone');
  } finally {
    deleteNamespace(path);
  }
  assert.equal(existsSync(path), false);
  assert.equal(namespaceMounts(path), 0);
  deleteNamespace(path);
});

void test('work runs inside the namespace and returns, also when it throws or is not synchronous', (t) => {
  const { fd } = makeNamespace(t);
  const before = here();
  const inside = withNamespace(fd, here);
  assert.notEqual(inside, before);
  assert.equal(here(), before);
  const boom = () => withNamespace(fd, () => assert.fail('boom'));
  assert.throws(boom, /boom/);
  assert.equal(here(), before);
  assert.throws(() => withNamespace(fd, () => Promise.resolve(1)), /must be synchronous/);
  assert.equal(here(), before);
  const own = currentNamespace();
  assert.equal(
    withNamespace(fd, () => withNamespace(own, here)),
    before,
    'nesting works',
  );
  closeSync(own);
});

void test('a descriptor that is no namespace is refused with a clear text', () => {
  assert.throws(
    () => withNamespace(1, here),
    (error: unknown) =>
      error instanceof SystemError &&
      /cannot enter the network namespace.*EINVAL/.test(error.message),
  );
  assert.throws(() => openNamespace('/run/netns/tortie-t-absent'), { code: 'ENOENT' });
});

void test('the thread pool stays outside, though its first use is inside a namespace', (t) => {
  const { path } = makeNamespace(t);
  const script = `
    const { openNamespace, withNamespace } = require(process.argv[1]);
    const { readlink, readlinkSync } = require('node:fs');
    const link = '/proc/thread-self/ns/net';
    withNamespace(openNamespace(process.argv[2]), () => {
      readlink(link, (error, pool) => console.log(pool === readlinkSync(link)));
    });`;
  const door = fileURLToPath(import.meta.resolve('#linux'));
  const args = ['-e', script, door, path];
  assert.equal(execFileSync(process.execPath, args, { encoding: 'utf8' }), 'true\n');
});

void test('sysctls are written in the namespace and nowhere else', (t) => {
  const { fd } = makeNamespace(t);
  const read = () => readFileSync('/proc/sys/net/ipv4/ip_default_ttl', 'utf8').trim();
  const before = read();
  writeSysctlInNamespace(fd, 'net/ipv4/ip_default_ttl', 77);
  assert.equal(withNamespace(fd, read), '77');
  assert.equal(read(), before);
  for (const path of ['kernel/panic', 'net/../kernel/panic', 'net//x', 'net/./x']) {
    assert.throws(() => writeSysctlInNamespace(fd, path, 0), RangeError);
  }
});

void test('sysctls are ensured: what is as wanted is not written, the first refusal ends it', (t) => {
  const { fd } = makeNamespace(t);
  const count = 'net/netfilter/nf_conntrack_count';
  const wanted = [
    // Nobody may write it.
    [count, '0'],
    ['net/ipv4/conf/lo/rp_filter', '1'],
    ['net/ipv4/ip_local_port_range', '20000\t30000'],
    ['net/ipv6/conf/lo/accept_ra', '0'],
    ['net/ipv6/conf/all/forwarding', '1'],
  ] as const;
  ensureSysctlsInNamespace(fd, wanted);
  const before = readdirSync('/proc/self/fd').length;
  ensureSysctlsInNamespace(fd, wanted);
  const read = ([path]: readonly [string, string]) => readSysctlInNamespace(fd, path).trim();
  assert.deepEqual(
    wanted.map(read),
    wanted.map(([, value]) => value),
  );
  assert.notEqual(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), '20000\t30000\n');
  const ttl = ['net/ipv4/ip_default_ttl', '77'] as const;
  for (const [refused, why] of [
    [[count, '1'], /cannot set sysctl net\/netfilter\/nf_conntrack_count to "1": EACCES/],
    [['net/ipv4/conf/absent/rp_filter', '1'], /absent\/rp_filter to "1": ENOENT/],
    [['net/absent/file', '1'], /net\/absent\/file to "1": ENOENT/],
    [['net/ipv4/ip_forward', 'many'], /ip_forward to "many": EINVAL/],
    [['net/ipv4/../../kernel/panic', '1'], /is not the path of a network sysctl/],
    [['net/ipv4', '1'], /net\/ipv4 to "1": (EISDIR|EACCES)/],
    [['net', '1'], /is not the path of a network sysctl/],
  ] as const) {
    assert.throws(() => ensureSysctlsInNamespace(fd, [refused, ttl]), why);
  }
  assert.notEqual(read(ttl), '77');
  assert.equal(readdirSync('/proc/self/fd').length, before);
});

void test('sysctls of many namespaces are ensured, and nothing of it is mounted or stays open', (t) => {
  const [one, other] = [makeNamespace(t), makeNamespace(t)];
  ensureSysctlsInNamespace(one.fd, [['net/ipv4/ip_forward', '0']]);
  const before = readdirSync('/proc/self/fd').length;
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  const path = 'net/ipv6/neigh/lo/app_solicit';
  for (let turn = 0; turn < 300; turn++) {
    ensureSysctlsInNamespace(one.fd, [[path, String(turn)]]);
    ensureSysctlsInNamespace(other.fd, [[path, String(turn + 1)]]);
    if (turn % 50 !== 0) continue;
    const values = [one, other].map(({ fd }) => Number(readSysctlInNamespace(fd, path)));
    assert.deepEqual(values, [turn, turn + 1]);
    one.route.createBridge(`later${turn}`);
    ensureSysctlsInNamespace(one.fd, [[`net/ipv4/conf/later${turn}/rp_filter`, '2']]);
  }
  assert.equal(readdirSync('/proc/self/fd').length, before);
  assert.equal(readFileSync('/proc/self/mountinfo', 'utf8'), mounts);
  assert.ok(openPaths().includes('/'), 'a file system of its own');
});

void test('sysctls are ensured where no file system may be mounted', () => {
  // The user namespace owns the network, but not the mounts.
  const script = `
    const { ensureSysctlsInNamespace, openNamespace } = require(process.argv[1]);
    const { readFileSync, readdirSync, existsSync, readlinkSync } = require('node:fs');
    ensureSysctlsInNamespace(openNamespace('/proc/self/ns/net'), [['net/ipv4/ip_forward', '1']]);
    const files = readdirSync('/proc/self/fd').map((fd) => '/proc/self/fd/' + fd);
    const isShared = files.some((file) => existsSync(file) && readlinkSync(file) === '/proc');
    console.log(isShared, readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim());`;
  const door = fileURLToPath(import.meta.resolve('#linux'));
  const argv = ['--user', '--map-root-user', '--net', process.execPath, '-e', script, door];
  assert.equal(execFileSync('unshare', argv, { encoding: 'utf8' }), 'true 1\n');
});

for (const address of ['127.0.0.1', '::1']) {
  void test(`a server listens on ${address} of another namespace`, async (t) => {
    const { fd, path } = makeNamespace(t);
    const listener = listenInNamespace(fd, address, 0);
    const server = createServer((socket) => socket.end('hello'));
    t.after(() => server.close());
    server.listen({ fd: listener });
    await once(server, 'listening');
    const bound = server.address();
    assert.ok(bound && typeof bound === 'object');
    const script = `exec 3<>/dev/tcp/${address}/${bound.port}; cat <&3`;
    const client = await promisify(execFile)('nsenter', [`--net=${path}`, 'bash', '-c', script]);
    assert.equal(client.stdout, 'hello');
  });
}

void test('a child process inherits a listening socket', async (t) => {
  const namespace = makeNamespace(t);
  const listener = listenInNamespace(namespace.fd, '127.0.0.1', 4567);
  t.after(() => closeSync(listener));
  const script =
    "require('net').createServer((s) => s.end('child')).listen({ fd: 3 }, () => console.log('up'))";
  const child = spawn(process.execPath, ['-e', script], {
    stdio: ['ignore', 'pipe', 'inherit', listener],
  });
  t.after(() => child.kill('SIGKILL'));
  assert.ok(child.stdout);
  await once(child.stdout, 'data');
  const answer = run(namespace, 'bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/4567; cat <&3');
  assert.equal(answer, 'child');
});

void test('sockets stay in the namespace in which they were opened', (t) => {
  const { fd } = makeNamespace(t);
  const outside = RouteSocket.open();
  t.after(() => outside.close());
  const name = `tt${process.pid % 100000}`;
  const inside = RouteSocket.open({ namespace: fd });
  t.after(() => inside.close());
  inside.createBridge(name);
  assert.ok(inside.link(name));
  assert.equal(outside.link(name), undefined);
  assert.throws(() => NetlinkSocket.open(99), /protocol 99/);
  assert.equal(NETLINK_PROTOCOL.ROUTE, 0);
});

void test('a worker that cannot return from a namespace ends, and only it', async (t) => {
  const { fd } = makeNamespace(t);
  const url = new URL('stranded-thread.ts', import.meta.url);
  const worker = new Worker(url, { workerData: fd });
  const said: unknown[] = [];
  worker.on('message', (message) => said.push(message));
  const [exitCode] = await once(worker, 'exit');
  assert.deepEqual({ said, exitCode }, { said: [], exitCode: 1 });
});

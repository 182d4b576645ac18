// A client that opens a thousand watches at once, while the server is busy and itself is slow: all are answered.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { connect as secure } from 'node:tls';
import { loadKubeconfig } from '#datastore/client';
import { type ServerProcess, startServerProcess, temporaryFolder } from './server-process.ts';

const CONNECTIONS = 1000;
/** More than servers often give for a handshake; milliseconds. */
const HESITATION = 11_000;

/** A connection on which nothing is sent yet. */
async function connected({ url }: ServerProcess): Promise<Socket> {
  const { hostname: host, port } = new URL(url);
  const socket = connect({ host, port: Number(port) });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

/** Makes the handshake, asks for a watch, and gives the first line of the answer. */
async function askWatch(server: ServerProcess, socket: Socket): Promise<string> {
  const { ca, token } = loadKubeconfig(server.kubeconfig);
  const { hostname } = new URL(server.url);
  const channel = secure({ socket, ca, host: hostname });
  const failed = socket.closed ? 'closed' : once(socket, 'close').then(() => 'closed');
  const path = '/api/v1/configmaps?watch=1&timeoutSeconds=300';
  channel.on('error', () => undefined);
  channel.write(
    `GET ${path} HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${token}\r\n\r\n`,
  );
  const answered = once(channel, 'data').then(([data]) => String(data).split('\r\n')[0] ?? '');
  return Promise.race([answered, failed]);
}

const allowed = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));
const skip = allowed < CONNECTIONS && `net.core.somaxconn is ${allowed}`;

test('[AP28] a thousand watches at once are all answered', {
  skip,
  timeout: 180_000,
}, async (context) => {
  const server = await startServerProcess(context, join(await temporaryFolder(context), 'data'));
  const late = await connected(server);
  const hesitation = setTimeout(HESITATION);
  process.kill(server.pid, 'SIGSTOP');
  const sockets: Socket[] = [];
  context.after(() => [late, ...sockets].forEach((socket) => socket.destroy()));
  try {
    // The kernel takes them all while the server takes none.
    const wanted = Array.from({ length: CONNECTIONS }, () => connected(server));
    const all = Promise.all(wanted).then((made) => sockets.push(...made));
    await Promise.race([all, setTimeout(30_000)]);
    assert.equal(sockets.length, CONNECTIONS, 'some were not taken');
  } finally {
    process.kill(server.pid, 'SIGCONT');
  }
  const answers = await Promise.all(sockets.map((socket) => askWatch(server, socket)));
  assert.deepEqual(new Set(answers), new Set(['HTTP/1.1 200 OK']));
  await hesitation;
  assert.equal(await askWatch(server, late), 'HTTP/1.1 200 OK');
});

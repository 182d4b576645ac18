// Captured files through the server: in order and whole, from the right node alone, for who may; nodes' status entries.
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { type CaptureFiles, packetCaptureKind } from '#api';
import type { ApiClient } from '#datastore';
import { isObject, readZip } from '#lib';
import { type ServerFixture, startServer } from './server-fixture.ts';

const CAPTURE = { namespace: 'default', name: 'web' };
const DOWNLOAD = '/packet-capture/download/default/web/files.zip';
const FILES = '/packet-capture/files/default/web';
const PIECES = [
  ['a.pcap', Buffer.alloc(700_000, 1)],
  ['a.pcap', Buffer.alloc(300_000, 2)],
  ['b.pcap', Buffer.from('b')],
] as const;

async function makeCapture(admin: ApiClient, nodes: readonly string[]): Promise<void> {
  await admin.create(packetCaptureKind, {
    apiVersion: 'projectcalico.org/v3',
    kind: 'PacketCapture',
    metadata: CAPTURE,
  });
  const files = nodes.map((node) => ({ node, fileNames: ['a.pcap', 'b.pcap'] }));
  await admin.patch(packetCaptureKind, CAPTURE, { status: { files } }, { subresource: 'status' });
}

type Handler = (
  request: Record<string, unknown>,
  answer: (body: object) => Promise<unknown>,
) => Promise<void>;

/** An agent of a node: waits for requests, and handles them. */
async function agent(t: TestContext, { clientOf }: ServerFixture, node: string, handle: Handler) {
  const client = clientOf({ kind: 'node', name: node });
  const abort = new AbortController();
  const { signal } = abort;
  const lines = await client.stream('GET', '/packet-capture/requests', { signal });
  const running = (async () => {
    for await (const line of lines) {
      assert.ok(isObject(line));
      await handle(line, (body) =>
        client.request('POST', `/packet-capture/answers/${String(line['id'])}`, { body }),
      );
    }
  })().catch(() => undefined);
  t.after(async () => {
    abort.abort();
    await running;
  });
}

const sendPieces: Handler = async ({ action, namespace, name }, answer) => {
  assert.deepEqual({ action, namespace, name }, { action: 'read', ...CAPTURE });
  for (const [file, bytes] of PIECES) await answer({ file, data: bytes.toString('base64') });
  await answer({ done: true });
};

async function download(client: ApiClient): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await client.download('GET', DOWNLOAD)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('[CT10] files of every node come in one ZIP file, whole and in order', async (t) => {
  const fixture = await startServer(t);
  await makeCapture(fixture.admin, ['n1', 'n2']);
  await assert.rejects(download(fixture.admin), { status: 503, message: /no agent.* n1, n2/ });
  for (const node of ['n1', 'n2']) await agent(t, fixture, node, sendPieces);
  const members = readZip(await download(fixture.admin));
  assert.deepEqual(
    members.map(({ name, bytes }) => [name, bytes.length]),
    ['n1', 'n2'].flatMap((node) => [
      [`${node}/a.pcap`, 1_000_000],
      [`${node}/b.pcap`, 1],
    ]),
  );
  assert.deepEqual(
    Buffer.from(members[0]?.bytes ?? []),
    Buffer.concat([PIECES[0][1], PIECES[1][1]]),
  );
  await assert.rejects(fixture.admin.download('GET', DOWNLOAD.replace('web', 'none')), {
    status: 404,
  });
});

/** A section with one interface, and packets on it. */
function capture(name: number, ...packets: readonly number[]): Uint8Array {
  const block = (type: number, ...words: number[]): number[] => {
    const length = 12 + words.length * 4;
    return [type, length, ...words, length];
  };
  const words = [
    ...block(0x0a0d0d0a, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff),
    ...block(1, 1, 0, name),
    ...packets.flatMap((content) => block(6, 0, 0, 0, 4, 4, content)),
  ];
  return new Uint8Array(Uint32Array.from(words).buffer);
}

test('[CT12] a live stream has all nodes as one, ends with the capture, and breaks off where one does', async (t) => {
  const fixture = await startServer(t);
  const { admin, clientOf } = fixture;
  await makeCapture(admin, ['n1', 'n2']);
  const actions: unknown[] = [];
  let isBroken = false;
  for (const [node, name] of [
    ['n1', 101],
    ['n2', 102],
  ] as const) {
    await agent(t, fixture, node, async ({ action }, answer) => {
      actions.push(action);
      const bytes = Buffer.from(capture(name, name + 100));
      await answer({ file: 'a.pcap', data: bytes.subarray(0, 50).toString('base64') });
      await answer({ file: 'none', data: '' });
      await answer({ file: 'a.pcap', data: bytes.subarray(50).toString('base64') });
      await answer(isBroken && node === 'n2' ? { error: 'too slow' } : { done: true });
    });
  }
  const path = '/packet-capture/stream/default/web';
  const node = clientOf({ kind: 'node', name: 'n1' });
  await assert.rejects(node.download('GET', path), {
    status: 403,
    message: /packetcaptures\/files/,
  });
  await assert.rejects(admin.download('GET', path.replace('web', 'none')), { status: 404 });
  const chunks = await admin.download('GET', path, { query: { from: 'start' } });
  const endTime = new Date(Date.now() - 1_000).toISOString();
  await admin.patch(packetCaptureKind, CAPTURE, { spec: { endTime } });
  const files = ['n1', 'n2'].map((name) => ({ node: name, state: 'Finished' as const }));
  await admin.patch(packetCaptureKind, CAPTURE, { status: { files } }, { subresource: 'status' });
  const read = async (of: AsyncIterable<Uint8Array>): Promise<Buffer> => {
    const all: Uint8Array[] = [];
    for await (const chunk of of) all.push(chunk);
    return Buffer.concat(all);
  };
  const words = new Uint32Array(Uint8Array.from(await read(chunks)).buffer);
  assert.deepEqual(actions, ['follow all', 'follow all']);
  const counts = [0x0a0d0d0a, 101, 102, 201, 202].map(
    (wanted) => words.filter((word) => word === wanted).length,
  );
  assert.deepEqual(counts, [1, 1, 1, 1, 1]);
  isBroken = true;
  await assert.rejects(async () => read(await admin.download('GET', path)));
});

test('[CT10] what a node cannot do is said, and a node cannot answer for another', async (t) => {
  const fixture = await startServer(t);
  await makeCapture(fixture.admin, ['n1']);
  const other = fixture.clientOf({ kind: 'node', name: 'n2' });
  const handled: unknown[] = [];
  await agent(t, fixture, 'n1', async ({ id, action }, answer) => {
    handled.push(action);
    const path = `/packet-capture/answers/${String(id)}`;
    await assert.rejects(other.request('POST', path, { body: { done: true } }), { status: 400 });
    await assert.rejects(answer({ file: '../x', data: '' }), { status: 400 });
    if (action === 'remove') await answer({ done: true });
    else await answer({ error: 'the disk is gone' });
  });
  await assert.rejects(download(fixture.admin), { status: 503, message: /n1: the disk is gone/ });
  await fixture.admin.request('DELETE', FILES);
  assert.deepEqual(handled, ['read', 'remove']);
});

test('[CT10] neither strangers nor nodes read or remove files, and people are no agents', async (t) => {
  const { admin, clientOf } = await startServer(t);
  await makeCapture(admin, []);
  const node = clientOf({ kind: 'node', name: 'n1' });
  const stranger = clientOf({ token: 'none' });
  for (const [client, status] of [
    [node, 403],
    [stranger, 401],
  ] as const) {
    await assert.rejects(client.download('GET', DOWNLOAD), { status });
    await assert.rejects(client.request('DELETE', FILES), { status });
  }
  await assert.rejects(admin.stream('GET', '/packet-capture/requests'), { status: 403 });
  const answer = admin.request('POST', '/packet-capture/answers/1', { body: { done: true } });
  await assert.rejects(answer, { status: 403 });
});

test("[CT10] a node writes its own entry of a capture's status, and nothing else", async (t) => {
  const { admin, clientOf } = await startServer(t);
  await makeCapture(admin, ['n1', 'n2']);
  const node = clientOf({ kind: 'node', name: 'n1' });
  const patch = (files: readonly Partial<CaptureFiles>[]) =>
    node.patch(packetCaptureKind, CAPTURE, { status: { files } }, { subresource: 'status' });
  const theirs = { node: 'n2', fileNames: ['a.pcap', 'b.pcap'] };
  await patch([{ node: 'n1', state: 'Capturing' }, theirs]);
  await patch([theirs]);
  for (const files of [[], [{ ...theirs, state: 'Error' as const }], [theirs, { node: 'n3' }]]) {
    await assert.rejects(patch(files), { status: 403, message: /only its own entry/ });
  }
  const spec = { spec: { selector: 'all()' } };
  await assert.rejects(node.patch(packetCaptureKind, CAPTURE, spec), { status: 403 });
  await assert.rejects(node.delete(packetCaptureKind, CAPTURE), { status: 403 });
});

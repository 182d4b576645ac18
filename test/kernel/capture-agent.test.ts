// Captures on a node of real namespaces: by selector, filter, time and verdict; status, limits, removal.
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BroadcastChannel } from 'node:worker_threads';
import {
  type CaptureFiles,
  type PacketCapture,
  packetCaptureKind,
  podInterfaceName,
  podKind,
} from '#api';
import { CaptureAgent, Capturer, type CaptureSettings } from '#capture';
import { LOG_COPY_CHANNEL, LogCopies, LogReader, Poller } from '#linux';
import { loadChain, makeNamespace, run, type TestNamespace } from './linux-namespaces.ts';
import { noTshark, tsharkFields } from './tshark.ts';

const skip = noTshark;
const LIMITS = { maxBytes: 10_000_000, rotationMs: 3_600_000, maxFiles: 2 };

/** A router with a pod each for `web` (10.98.0.2) and `client` (10.98.1.2). */
class World {
  readonly node: TestNamespace;
  readonly root = mkdtempSync(join(tmpdir(), 'tortie-capture-agent-'));
  readonly pods = new Map<string, TestNamespace>();
  readonly agent: CaptureAgent;
  readonly logged: string[] = [];
  settings: CaptureSettings = { directory: this.root, limits: LIMITS };
  #stored = new Map<string, PacketCapture>();
  #revision = 0;

  constructor(t: TestContext) {
    this.node = makeNamespace(t);
    run(this.node, 'sysctl', '-qw', 'net.ipv4.ip_forward=1');
    for (const [index, name] of ['web', 'client'].entries()) this.#attach(t, index, name);
    this.agent = new CaptureAgent({
      node: 'one',
      namespace: this.node.fd,
      settings: () => this.settings,
      storeFiles: async (capture, files) =>
        this.store({ ...capture, status: { files: [...files] } }),
      log: (message) => this.logged.push(message),
    });
    t.after(async () => {
      await this.agent.stop();
      rmSync(this.root, { recursive: true, force: true });
    });
    for (const name of this.pods.keys()) this.setPod(name, true);
    this.agent.setInSync(true);
  }

  #attach(t: TestContext, index: number, name: string): void {
    const pod = makeNamespace(t);
    const host = podInterfaceName('shop', name);
    pod.route.createVeth({ name: 'eth0', peerName: host, peerNamespace: this.node.fd });
    pod.route.addAddress('eth0', `10.98.${index}.2/24`);
    this.node.route.addAddress(host, `10.98.${index}.1/24`);
    pod.route.setUp('eth0');
    this.node.route.setUp(host);
    run(pod, 'ip', 'route', 'add', 'default', 'via', `10.98.${index}.1`);
    this.pods.set(name, pod);
  }

  setPod(name: string, present: boolean): void {
    const metadata = { name, namespace: 'shop', labels: { app: name } };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { nodeName: 'one', containers: [] },
    };
    const key = `pods/shop/${name}`;
    this.agent.onUpdates([{ kind: podKind, key, resource: present ? pod : undefined }]);
  }

  store(capture: PacketCapture): void {
    const { name } = capture.metadata;
    const resourceVersion = String(++this.#revision);
    const resource = { ...capture, metadata: { ...capture.metadata, resourceVersion } };
    this.#stored.set(name, resource);
    this.agent.onUpdates([{ kind: packetCaptureKind, key: `captures/shop/${name}`, resource }]);
  }

  start(name: string, spec: PacketCapture['spec'] & object, annotations = {}): void {
    this.store({
      apiVersion: 'projectcalico.org/v3',
      kind: 'PacketCapture',
      metadata: { name, namespace: 'shop', uid: name, annotations },
      spec,
      ...(this.#stored.get(name)?.status && { status: this.#stored.get(name)?.status ?? {} }),
    });
  }

  end(name: string): void {
    this.#stored.delete(name);
    const key = `captures/shop/${name}`;
    this.agent.onUpdates([{ kind: packetCaptureKind, key, resource: undefined }]);
  }

  entry(name: string): CaptureFiles | undefined {
    return this.#stored.get(name)?.status?.files?.[0];
  }

  async until(name: string, holds: (entry: CaptureFiles) => boolean): Promise<CaptureFiles> {
    for (let attempt = 0; attempt < 600; attempt++) {
      const entry = this.entry(name);
      if (entry && holds(entry)) return entry;
      await sleep(50);
    }
    return assert.fail(`the status is ${JSON.stringify(this.entry(name))}; ${this.logged.join()}`);
  }

  waiting(name: string): Promise<CaptureFiles> {
    return this.until(name, ({ state }) => state === 'WaitingForTraffic');
  }

  send(port: number, count: number, size = 10): void {
    const line = `for n in $(seq ${count}); do head -c ${size} /dev/zero > /dev/udp/10.98.0.2/${port}; done`;
    const client = this.pods.get('client');
    if (client) run(client, 'bash', '-c', line);
  }

  path(name: string, ...more: string[]): string {
    return join(this.root, 'shop', name, ...more);
  }
}

/** As the agent does: reads the log, and hands out copies of it. */
function readLog(t: TestContext, node: TestNamespace): void {
  const verdictOf = ({ prefix }: { readonly prefix: string }) =>
    prefix[1] === 'S' ? undefined : ({ D: 'denied', A: 'allowed' } as const)[prefix[0] ?? ''];
  const copies = new LogCopies({
    verdictOf,
    onAsked: (asked) => reader.setCopyRange(asked?.whole === true ? 9_216 : undefined),
  });
  const reader = LogReader.open({
    group: 1,
    namespace: node.fd,
    onPackets: (packets) => copies.offer(packets),
  });
  const poller = new Poller();
  poller.onReadable(reader.fd, () => void reader.read());
  t.after(() => {
    poller.close();
    reader.close();
    copies.close();
  });
}

test('[CT7] selected pods, filtered packets; state goes from waiting to capturing to finished', {
  skip,
}, async (t) => {
  const world = new World(t);
  const filters = [{ protocol: 'UDP' as const, ports: ['9000:9001'] }];
  world.start('web', { selector: "app == 'web'", filters });
  world.start('later', { startTime: new Date(Date.now() + 3_600_000).toISOString() });
  assert.deepEqual((await world.waiting('web')).fileNames, []);
  assert.equal((await world.until('later', () => true)).state, 'Scheduled');
  for (const port of [8999, 9000, 9001, 9002]) world.send(port, 3);
  const entry = await world.until('web', ({ packets }) => packets === 6);
  const interfaceName = podInterfaceName('shop', 'web');
  const file = `web_${interfaceName}.pcap`;
  const { node, directory, fileNames, state, droppedPackets } = entry;
  assert.deepEqual(
    { node, directory, fileNames, state, droppedPackets },
    {
      node: 'one',
      directory: world.path('web'),
      fileNames: [file],
      state: 'Capturing',
      droppedPackets: 0,
    },
  );
  const columns = ['udp.dstport', 'frame.interface_name', 'frame.interface_description'];
  assert.deepEqual(tsharkFields(world.path('web', file), ...columns), [
    ...Array(3).fill(['9000', interfaceName, 'shop/web']),
    ...Array(3).fill(['9001', interfaceName, 'shop/web']),
  ]);
  // What was sent before the end is in the file, up to the last packet.
  world.send(9001, 2);
  world.start('web', { selector: "app == 'web'", filters, endTime: new Date().toISOString() });
  await world.until('web', (now) => now.state === 'Finished' && now.packets === 8);
  await sleep(1_000);
  world.send(9000, 3);
  await sleep(500);
  assert.deepEqual(world.entry('web')?.fileNames, [file]);
  assert.equal(tsharkFields(world.path('web', file), 'udp.dstport').length, 8);
  // An end in the future begins it again, and what was captured before stays.
  const endTime = new Date(Date.now() + 3_600_000).toISOString();
  world.start('web', { selector: "app == 'web'", filters, endTime });
  await world.until('web', (now) => now.state !== 'Finished');
  world.send(9000, 2);
  const again = await world.until('web', ({ fileNames: names }) => names?.length === 2);
  const all = (again.fileNames ?? []).flatMap((name) =>
    tsharkFields(world.path('web', name), 'udp.dstport'),
  );
  assert.equal(all.length, 10);
});

test('[CT8] pods that come and go are followed; files are handed out, removed, and go with the capture', {
  skip,
}, async (t) => {
  const world = new World(t);
  const filters = [{ protocol: 'UDP' as const }];
  world.setPod('web', false);
  world.start('all', { filters });
  await world.waiting('all');
  world.send(9000, 2);
  await world.until('all', ({ packets }) => packets === 2);
  world.setPod('web', true);
  world.setPod('client', false);
  const interfaceName = podInterfaceName('shop', 'web');
  for (let attempt = 0; attempt < 200 && world.entry('all')?.fileNames?.length !== 2; attempt++) {
    world.send(9000, 1);
    await sleep(100);
  }
  const handed = [...world.agent.files('shop', 'all', 100)];
  const files = new Map<string, Buffer>();
  for (const { file, bytes } of handed) {
    assert.ok(bytes.length <= 100);
    files.set(file, Buffer.concat([files.get(file) ?? Buffer.alloc(0), bytes]));
  }
  for (const [file, bytes] of files) assert.deepEqual(bytes, readFileSync(world.path('all', file)));
  assert.deepEqual([...files.keys()], world.entry('all')?.fileNames);
  await world.agent.remove('shop', 'all');
  assert.ok(!existsSync(world.path('all')));
  world.send(9000, 4);
  const entry = await world.until('all', ({ fileNames }) => fileNames?.length === 1);
  assert.deepEqual(entry.fileNames, [`web_${interfaceName}.pcap`]);
  const kept = tsharkFields(world.path('all', `web_${interfaceName}.pcap`), 'udp.dstport');
  assert.equal(kept.length, 4);
  // Folders of captures that nobody knows go too; what is no capture file stays.
  mkdirSync(world.path('gone'), { recursive: true });
  for (const name of ['x.pcap', 'notes']) writeFileSync(world.path('gone', name), '');
  world.end('all');
  for (let attempt = 0; attempt < 200 && existsSync(world.path('all')); attempt++) await sleep(50);
  assert.ok(!existsSync(world.path('all')));
  for (let attempt = 0; attempt < 200 && existsSync(world.path('gone', 'x.pcap')); attempt++)
    await sleep(50);
  assert.deepEqual(readdirSync(world.path('gone')), ['notes']);
  assert.throws(() => [...world.agent.files('..', 'etc', 100)], /is no name/);
});

test('[CT9] only denied packets, with the rule that denied them; what cannot be had is counted', {
  skip,
}, async (t) => {
  const world = new World(t);
  const verdict = { 'capture.tortie.dev/verdict': 'deny' };
  const filters = [{ protocol: 'UDP' as const }];
  world.start('denied', { selector: "app == 'web'", filters }, verdict);
  loadChain(world.node, 'filter hook forward priority 0', [
    'udp dport 9001 log prefix "DPI3|NetworkPolicy/shop/web" group 1 drop',
    'udp dport 9002 log prefix "DSI3|StagedNetworkPolicy/shop/web" group 1',
    'udp dport 9003 log prefix "API4|NetworkPolicy/shop/web" group 1',
    'icmp type echo-request log prefix "DTI|default" group 1 drop',
  ]);
  readLog(t, world.node);
  await world.waiting('denied');
  for (const port of [9000, 9001, 9002, 9003]) world.send(port, 3, 700);
  const entry = await world.until('denied', ({ packets }) => packets === 3);
  const [file = ''] = entry.fileNames ?? [];
  const columns = ['udp.dstport', 'frame.cap_len', 'frame.comment', 'frame.interface_description'];
  const row = ['9001', '728', 'verdict=deny by NetworkPolicy/shop/web, ingress rule 3', 'shop/web'];
  assert.deepEqual(tsharkFields(world.path('denied', file), ...columns), [row, row, row]);
  const channel = new BroadcastChannel(LOG_COPY_CHANNEL);
  channel.postMessage({ type: 'copies', packets: [], skipped: 4, unseen: 0 });
  await world.until('denied', ({ droppedPackets }) => droppedPackets === 4);
  channel.close();
});

test('[CT11] each packet says what policy decided, where that is known', { skip }, async (t) => {
  const world = new World(t);
  const client = world.pods.get('client');
  assert.ok(client);
  loadChain(world.node, 'filter hook forward priority 0', [
    'ct state established accept',
    'udp dport 9001 log prefix "DPE1|GlobalNetworkPolicy//out" group 1 drop',
    'udp dport 9003 log prefix "APE2|NetworkPolicy/shop/out" group 1 accept',
    'icmp type echo-request log prefix "APE0|NetworkPolicy/shop/ping" group 1',
    'icmp type echo-request log prefix "API7|NetworkPolicy/shop/web" group 1 accept',
  ]);
  const service = 'ip daddr 10.96.0.1 udp dport 53 dnat to 10.98.0.2:9003;';
  const chain = `chain nat { type nat hook prerouting priority dstnat; ${service} }`;
  run(world.node, 'nft', `table ip service { ${chain}; }`);
  readLog(t, world.node);
  world.start('client', { selector: "app == 'client'" });
  await world.waiting('client');
  for (const port of [9001, 9001, 9003, 9005]) world.send(port, 1);
  run(client, 'bash', '-c', 'echo x > /dev/udp/10.96.0.1/53');
  run(client, 'ping', '-q', '-i', '0.01', '-c', '2', '10.98.0.2');
  const columns = ['udp.dstport', 'icmp.type', 'icmp.seq', 'frame.comment'];
  // Ports that nobody listens at are told by errors, which no rule decides about.
  const rowsOf = (file: string): string[] =>
    tsharkFields(world.path('client', file), ...columns)
      .map((row) => row.join(' '))
      .filter((row) => /^(\d+ {2}| [08] )/.test(row));
  const isWhole = ({ fileNames: [name] = [] }: CaptureFiles): boolean =>
    name !== undefined && rowsOf(name).some((row) => row.startsWith(' 0 2 '));
  const { fileNames: [file = ''] = [] } = await world.until('client', isWhole);
  const ping = 'by NetworkPolicy/shop/ping, egress rule 0; NetworkPolicy/shop/web, ingress rule 7';
  const wanted = [
    '9001   verdict=deny by GlobalNetworkPolicy//out, egress rule 1',
    '9001   verdict=deny by GlobalNetworkPolicy//out, egress rule 1',
    '9003   verdict=allow by NetworkPolicy/shop/out, egress rule 2',
    '9005   ',
    '53   verdict=allow by NetworkPolicy/shop/out, egress rule 2',
    ` 8 1 verdict=allow ${ping}`,
    ` 0 1 verdict=allow (established) ${ping}`,
    ` 8 2 verdict=allow (established) ${ping}`,
    ` 0 2 verdict=allow (established) ${ping}`,
  ];
  assert.deepEqual(rowsOf(file), wanted);
});

test('[CT2] limits hold under traffic, and nothing is lost of what was written', {
  skip,
}, async (t) => {
  const world = new World(t);
  world.settings = { directory: world.root, limits: { ...LIMITS, maxBytes: 20_000 } };
  world.start('web', { selector: "app == 'web'", filters: [{ protocol: 'ICMP' }] });
  await world.waiting('web');
  const client = world.pods.get('client');
  assert.ok(client);
  run(client, 'ping', '-q', '-i', '0.002', '-c', '150', '-s', '400', '10.98.0.2');
  const entry = await world.until('web', ({ packets }) => packets === 300);
  assert.equal(entry.fileNames?.length, 3);
  for (const name of entry.fileNames ?? []) {
    assert.ok(readFileSync(world.path('web', name)).length <= 20_000);
  }
  const newest = entry.fileNames?.find((name) => !/-\d/.test(name)) ?? '';
  const rows = tsharkFields(world.path('web', newest), 'icmp.seq', 'icmp.type');
  assert.deepEqual(rows.at(-1), ['150', '0']);
});

test('[CT7] the last packets before the end are in the file', { skip }, async (t) => {
  const world = new World(t);
  let packets = 0;
  let open = 0;
  const capturer = new Capturer({
    namespace: world.node.fd,
    onCounts: ([count]) => ({ packets = 0, open = 0 } = count ?? {}),
  });
  // Not below the agent's root: it removes what no capture is of.
  const directory = mkdtempSync(join(tmpdir(), 'tortie-capturer-'));
  t.after(async () => {
    await capturer.close();
    rmSync(directory, { recursive: true, force: true });
  });
  const plan = {
    capture: 'shop/last',
    directory,
    stem: 'web',
    interfaceName: podInterfaceName('shop', 'web'),
    pod: 'shop/web',
    filters: [{ protocol: 17, ports: [] }],
    deniedOnly: false,
    limits: LIMITS,
  };
  for (const round of [1, 2]) {
    capturer.setPlan([plan]);
    for (let attempt = 0; attempt < 200 && open === 0; attempt++) await sleep(20);
    world.send(9000, 3);
    capturer.setPlan([]);
    for (let attempt = 0; attempt < 200 && open === 1; attempt++) await sleep(20);
    assert.equal(packets, 3 * round);
  }
  const rows = readdirSync(directory).map((name) =>
    tsharkFields(join(directory, name), 'udp.dstport'),
  );
  assert.deepEqual(rows, Array(2).fill(Array(3).fill(['9000'])));
});

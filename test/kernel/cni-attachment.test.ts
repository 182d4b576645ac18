// CNI in the kernel: the real plugin as a process, the agent's side here, nodes and pods as namespaces.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { IPPool, Pod } from '#api';
import { type AwaitedEndpoint, CniServer, PodNetwork, VethDriver, hostInterfaceName } from '#cni';
import { ApiError, ConnectionError } from '#datastore/client';
import { BlockAllocator } from '#ipam';
import { parsePrefix } from '#lib';
import { ROUTE_PROTOCOL, ROUTE_TABLE } from '#linux';
import { MemoryApi } from './cni-memory-api.ts';
import { type TestNamespace, makeNamespace, run } from './linux-namespaces.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/tortie', import.meta.url));

interface Answer {
  readonly exitCode: number | null;
  readonly value: Record<string, unknown>;
}

/** One node with its agent's side of CNI, and a runtime that executes the plugin. */
class TestNode {
  readonly api = new MemoryApi();
  readonly host: TestNamespace;
  readonly socketPath: string;
  readonly awaited: AwaitedEndpoint[] = [];
  isReady = true;
  enforce: (endpoint: AwaitedEndpoint, signal: AbortSignal) => Promise<void>;
  readonly #driver: VethDriver;
  #server: CniServer;

  constructor(t: TestContext) {
    this.host = makeNamespace(t);
    this.host.route.createBridge('uplink');
    this.host.route.setUp('uplink');
    const folder = mkdtempSync(join(tmpdir(), 'cni-kernel-'));
    t.after(() => rmSync(folder, { recursive: true }));
    this.socketPath = join(folder, 'cni.sock');
    this.enforce = async (endpoint) => this.route(endpoint);
    this.#driver = new VethDriver({ namespace: this.host.fd });
    this.#server = this.#serve();
    t.after(async () => {
      await this.#server.close();
      await this.#driver.close();
    });
    for (const [name, cidr] of [
      ['v4', '10.65.0.0/24'],
      ['v6', 'fd00:65::/112'],
    ] as const) {
      this.addPool(name, { cidr });
    }
  }

  listen(): Promise<void> {
    return this.#server.listen();
  }

  /** The agent after a restart: nothing in its memory. */
  network(): PodNetwork {
    return new PodNetwork({
      nodeName: 'node-1',
      client: this.api,
      allocator: new BlockAllocator({ client: this.api, nodeName: 'node-1' }),
      waitEnforced: (endpoint, signal) => {
        this.awaited.push(endpoint);
        return this.enforce(endpoint, signal);
      },
      isReady: () => this.isReady,
      interfaces: this.#driver,
    });
  }

  /** What the dataplane does for an endpoint, as far as these tests need it. */
  route(endpoint: AwaitedEndpoint): void {
    for (const destination of endpoint.addresses) {
      this.host.route.replaceRoute({
        family: parsePrefix(destination)?.family ?? 4,
        destination,
        interface: endpoint.interfaceName,
        table: ROUTE_TABLE.MAIN,
        protocol: ROUTE_PROTOCOL.TORTIE,
        type: 'unicast',
      });
    }
  }

  addPool(name: string, spec: IPPool['spec']): void {
    const apiVersion = 'projectcalico.org/v3';
    const pool: IPPool = { apiVersion, kind: 'IPPool', metadata: { name }, spec };
    this.api.put(pool);
  }

  addPod(name: string, more: Partial<Pod> = {}): void {
    const metadata = { namespace: 'shop', name, uid: `uid-${name}`, ...more.metadata };
    const spec = { nodeName: 'node-1', containers: [], ...more.spec };
    this.api.put({ apiVersion: 'v1', kind: 'Pod', ...more, metadata, spec } as Pod);
  }

  pod(name: string): Pod | undefined {
    return this.api.find('Pod', { namespace: 'shop', name }) as Pod | undefined;
  }

  annotations(name: string): Readonly<Record<string, string>> {
    return this.pod(name)?.metadata.annotations ?? {};
  }

  spawn(command: string, options: PluginOptions): ChildProcess {
    const { pod = 'web', container = 'c1', netns = '', config = {} } = options;
    const child = spawn(LAUNCHER, [], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        CNI_COMMAND: command,
        CNI_CONTAINERID: container,
        CNI_NETNS: netns,
        CNI_IFNAME: 'eth0',
        CNI_ARGS: `K8S_POD_NAMESPACE=shop;K8S_POD_NAME=${pod}`,
        CNI_PATH: '/nonexistent',
      },
    });
    const head = { cniVersion: '1.1.0', name: 'k8s-pod-network', type: 'tortie' };
    child.stdin?.end(JSON.stringify({ ...head, socket: this.socketPath, ...config }));
    return child;
  }

  async plugin(command: string, options: PluginOptions = {}): Promise<Answer> {
    const child = this.spawn(command, options);
    let output = '';
    child.stdout?.on('data', (chunk) => (output += String(chunk)));
    const [exitCode] = (await once(child, 'close')) as [number | null];
    const value = output === '' ? {} : (JSON.parse(output) as Record<string, unknown>);
    return { exitCode, value };
  }

  async succeed(command: string, options: PluginOptions = {}): Promise<Record<string, unknown>> {
    const { exitCode, value } = await this.plugin(command, options);
    assert.equal(exitCode, 0, JSON.stringify(value));
    return value;
  }

  async fail(command: string, options: PluginOptions = {}): Promise<{ code: number; msg: string }> {
    const { exitCode, value } = await this.plugin(command, options);
    assert.equal(exitCode, 1);
    return value as { code: number; msg: string };
  }

  async allocated(): Promise<string[]> {
    const allocator = new BlockAllocator({ client: this.api, nodeName: 'node-1' });
    return (await allocator.allocations()).map(({ address }) => address);
  }

  podInterfaces(): string[] {
    const links = this.host.route.links().filter(({ name }) => name.startsWith('cali'));
    return links.map(({ name }) => name);
  }

  async assertNothingLeft(why: string): Promise<void> {
    assert.deepEqual(this.podInterfaces(), [], why);
    assert.deepEqual(await this.allocated(), [], why);
    const { 'cni.projectcalico.org/podIP': podIP = '' } = this.annotations('web');
    assert.equal(podIP, '', why);
  }

  #serve(): CniServer {
    return new CniServer({
      socketPath: this.socketPath,
      handler: {
        add: (request, signal) => this.#network().add(request, signal),
        delete: (request) => this.#network().delete(request),
        check: (request) => this.#network().check(request),
        collectGarbage: (request) => this.#network().collectGarbage(request),
        status: () => this.#network().status(),
      },
      log: () => undefined,
    });
  }

  #made: PodNetwork | undefined;
  #network(): PodNetwork {
    this.#made ??= this.network();
    return this.#made;
  }
}

interface PluginOptions {
  readonly pod?: string;
  readonly container?: string;
  readonly netns?: string;
  readonly config?: Record<string, unknown>;
}

async function startNode(t: TestContext): Promise<TestNode> {
  const node = new TestNode(t);
  await node.listen();
  node.addPod('web');
  return node;
}

function addressesOf(result: Record<string, unknown>): string[] {
  return (result['ips'] as { address: string }[]).map(({ address }) => address);
}

const hostName = hostInterfaceName({ namespace: 'shop', name: 'web' });

void test('[CNI9] [CNI10] [CNI19] ADD gives a pod both families, and it speaks at once', async (t) => {
  const node = await startNode(t);
  node.addPod('cart');
  const [web, cart] = [makeNamespace(t), makeNamespace(t)];
  const result = await node.succeed('ADD', { netns: web.path });
  const other = await node.succeed('ADD', { pod: 'cart', container: 'c2', netns: cart.path });
  const [v4 = '', v6 = ''] = addressesOf(result);
  assert.match(v4, /^10\.65\.0\.\d+\/32$/);
  assert.match(v6, /^fd00:65::[0-9a-f]+\/128$/);
  assert.deepEqual(result['routes'], [
    { dst: '0.0.0.0/0', gw: '169.254.1.1' },
    { dst: '::/0', gw: 'fe80::ecee:eeff:feee:eeee' },
  ]);
  const mac = web.route.link('eth0')?.mac;
  assert.deepEqual(result['interfaces'], [
    { name: hostName, mac: 'ee:ee:ee:ee:ee:ee', mtu: 1500 },
    { name: 'eth0', mac, mtu: 1500, sandbox: web.path },
  ]);
  assert.deepEqual(node.awaited[0], {
    id: 'shop/web',
    interfaceName: hostName,
    addresses: [v4, v6],
  });
  const annotations = node.annotations('web');
  assert.equal(annotations['cni.projectcalico.org/podIP'], v4);
  assert.equal(annotations['cni.projectcalico.org/podIPs'], `${v4},${v6}`);
  assert.equal(annotations['cni.projectcalico.org/containerID'], 'c1');
  // No neighbour is asked for: both sides have a fixed one.
  for (const [namespace, link] of [
    [web, 'eth0'],
    [node.host, hostName],
  ] as const) {
    const known = namespace.route.neighbours().filter((each) => each.interface === link);
    assert.equal(known.filter(({ address }) => !address.startsWith('ff')).length, 2);
  }
  for (const address of addressesOf(other)) {
    run(web, 'ping', '-c', '1', '-W', '5', address.replace(/\/.*/, ''));
  }
  for (const [pod, container, space] of [
    ['web', 'c1', web],
    ['cart', 'c2', cart],
  ] as const) {
    await node.succeed('CHECK', { pod, container, netns: space.path });
    await node.succeed('DEL', { pod, container, netns: space.path });
  }
  await node.assertNothingLeft('after DEL');
  assert.equal(web.route.link('eth0'), undefined);
});

void test('[CNI9] ADD waits for enforcement, and is refused before the dataplane is ready', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  node.isReady = false;
  const { code, msg } = await node.fail('ADD', { netns: web.path });
  assert.equal(code, 11);
  assert.match(msg, /has not programmed the dataplane yet/);
  assert.equal((await node.fail('STATUS')).code, 50);
  await node.assertNothingLeft('before ready');
  node.isReady = true;
  await node.succeed('STATUS');
  const gate = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  node.enforce = async (endpoint) => {
    waiting.resolve();
    await gate.promise;
    node.route(endpoint);
  };
  let isDone = false;
  const adding = node.succeed('ADD', { netns: web.path }).finally(() => (isDone = true));
  await waiting.promise;
  assert.deepEqual(node.podInterfaces(), [hostName]);
  assert.equal(isDone, false);
  gate.resolve();
  assert.equal(addressesOf(await adding).length, 2);
});

void test('[CNI8] [CNI11] an ADD whose plugin is killed, or that fails, leaves nothing', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  const waiting = Promise.withResolvers<void>();
  node.enforce = (_, signal) => {
    waiting.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  const plugin = node.spawn('ADD', { netns: web.path });
  await waiting.promise;
  assert.deepEqual(node.podInterfaces(), [hostName]);
  plugin.kill('SIGKILL');
  await once(plugin, 'close');
  // The undoing holds the pod's lock: DEL waits for it, and finds nothing to do.
  await node.succeed('DEL', { netns: web.path });
  await node.assertNothingLeft('after the plugin was killed');
  node.enforce = () => Promise.reject(new ApiError(500, 'InternalError', 'no'));
  assert.match((await node.fail('ADD', { netns: web.path })).msg, /^ADD c1 of pod shop\/web: no$/);
  await node.assertNothingLeft('after a failure');
  const gone = await node.fail('ADD', { netns: '/run/netns/there-is-none' });
  assert.match(gone.msg, /cannot open network namespace "\/run\/netns\/there-is-none"/);
  await node.assertNothingLeft('after a namespace that is none');
  node.enforce = async (endpoint) => node.route(endpoint);
  await node.succeed('ADD', { netns: web.path });
});

void test('[CNI14] an agent killed at any step of ADD leaves nothing that DEL does not remove', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  const args = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web' };
  const place = { network: 'k8s-pod-network', netns: web.path, ifname: 'eth0' };
  const request = { containerId: 'c1', args, ...place, validAttachments: [] };
  const never = new AbortController().signal;
  let steps = 0;
  node.api.intercept = () => void steps++;
  await node.network().add({ command: 'ADD', ...request }, never);
  await node.network().delete({ command: 'DEL', ...request });
  await node.assertNothingLeft('without a kill');
  for (let last = 1; last <= steps; last++) {
    const reached = Promise.withResolvers<void>();
    let step = 0;
    node.api.intercept = () => {
      if (++step < last) return undefined;
      reached.resolve();
      return new Promise(() => undefined);
    };
    const dying = node.network().add({ command: 'ADD', ...request }, never);
    await Promise.race([reached.promise, dying]);
    node.api.intercept = () => undefined;
    const bare = last % 2 === 0 ? { ...request, netns: '' } : request;
    await node.network().delete({ command: 'DEL', ...bare });
    await node.assertNothingLeft(`killed at request ${last} of ${steps}`);
  }
  assert.ok(steps > 5);
});

void test('[CNI12] ADD again keeps the interface and the addresses', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  const first = await node.succeed('ADD', { netns: web.path });
  const index = node.host.route.link(hostName)?.index;
  assert.deepEqual(await node.succeed('ADD', { netns: web.path }), first);
  assert.equal(node.host.route.link(hostName)?.index, index);
  // What somebody broke is made again.
  web.route.deleteAddress('eth0', addressesOf(first)[0] ?? '');
  assert.deepEqual(addressesOf(await node.succeed('ADD', { netns: web.path })), addressesOf(first));
  await node.succeed('CHECK', { netns: web.path });
  // A failure the second time does not take down what ran before.
  node.enforce = () => Promise.reject(new Error('no'));
  await node.fail('ADD', { netns: web.path });
  await node.succeed('CHECK', { netns: web.path });
});

void test('[CNI13] a later container of the pod survives DEL of the earlier one', async (t) => {
  const node = await startNode(t);
  const [old, young] = [makeNamespace(t), makeNamespace(t)];
  const first = await node.succeed('ADD', { container: 'old', netns: old.path });
  const second = await node.succeed('ADD', { container: 'young', netns: young.path });
  assert.equal(old.route.link('eth0'), undefined);
  for (const netns of [old.path, '']) await node.succeed('DEL', { container: 'old', netns });
  await node.succeed('CHECK', { container: 'young', netns: young.path });
  const held = await node.allocated();
  const bare = (list: string[]) => list.map((each) => each.replace(/\/.*/, '')).toSorted();
  assert.deepEqual(held.toSorted(), bare(addressesOf(second)));
  assert.equal(new Set([...addressesOf(first), ...addressesOf(second)]).size, 4);
  assert.equal(node.annotations('web')['cni.projectcalico.org/containerID'], 'young');
  await node.succeed('DEL', { container: 'young', netns: '' });
  await node.assertNothingLeft('after both');
});

void test('[CNI14] DEL succeeds whatever is gone, and fails only when it cannot know', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  await node.succeed('DEL', { netns: '/run/netns/never-was' });
  await node.succeed('ADD', { netns: web.path });
  node.api.remove('Pod', { namespace: 'shop', name: 'web' });
  await node.succeed('DEL', { netns: '/run/netns/never-was' });
  await node.succeed('DEL', { netns: '' });
  await node.assertNothingLeft('without the pod');
  node.addPod('web');
  await node.succeed('ADD', { netns: web.path });
  node.host.route.deleteLink(hostName);
  await node.succeed('DEL', { netns: web.path });
  await node.assertNothingLeft('without the interface');
  node.api.intercept = () => {
    throw new ConnectionError('https://api.test', new Error('refused'));
  };
  assert.equal((await node.fail('DEL', { netns: web.path })).code, 11);
});

void test('[CNI15] CHECK tells every difference', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  const [v4 = '', v6 = ''] = addressesOf(await node.succeed('ADD', { netns: web.path }));
  web.route.deleteAddress('eth0', v6);
  const route = node.host.route.routes().find(({ destination }) => destination === v4);
  assert.ok(route && node.host.route.deleteRoute(route));
  const [gateway] = web.route.routes({ table: ROUTE_TABLE.MAIN }).filter((it) => it.gateway);
  assert.ok(gateway && web.route.deleteRoute(gateway));
  node.api.put({ ...node.pod('web'), metadata: { namespace: 'shop', name: 'web' } } as Pod);
  const { code, msg } = await node.fail('CHECK', { netns: web.path });
  assert.equal(code, 102);
  assert.deepEqual(msg.split(': ').slice(1).join(': ').split('; '), [
    'the pod\'s network belongs to container ""',
    `the node has no route to ${v4}`,
    `eth0 lacks ${v6}`,
    'the pod has no default route via 169.254.1.1 on eth0',
  ]);
  node.host.route.deleteLink(hostName);
  const gone = await node.fail('CHECK', { netns: web.path });
  assert.match(gone.msg, new RegExp(`${hostName} does not lead to eth0 in "${web.path}"$`));
});

void test('[CNI16] GC detaches what the runtime does not know, and only that', async (t) => {
  const node = await startNode(t);
  node.addPod('cart');
  const [web, cart] = [makeNamespace(t), makeNamespace(t)];
  await node.succeed('ADD', { netns: web.path });
  await node.succeed('ADD', { pod: 'cart', container: 'c2', netns: cart.path });
  const foreign = new BlockAllocator({ client: node.api, nodeName: 'node-1' });
  await foreign.assign({ handle: 'other-network.c9', attributes: { node: 'node-1' } });
  const config = { 'cni.dev/valid-attachments': [{ containerID: 'c2', ifname: 'eth0' }] };
  await node.succeed('GC', { config });
  assert.equal(web.route.link('eth0'), undefined);
  assert.equal((await node.allocated()).length, 4);
  await node.succeed('CHECK', { pod: 'cart', container: 'c2', netns: cart.path });
});

void test('[CNI17] a pod that is missing, replaced or elsewhere is refused', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  node.addPod('far', { spec: { nodeName: 'node-2', containers: [] } });
  const missing = await node.fail('ADD', { pod: 'none', netns: web.path });
  assert.deepEqual([missing.code, missing.msg.includes('there is no pod shop/none')], [3, true]);
  const far = await node.fail('ADD', { pod: 'far', netns: web.path });
  assert.match(far.msg, /shop\/far is bound to node "node-2", not "node-1"/);
  const request = { command: 'ADD', network: 'k8s-pod-network', containerId: 'c1' } as const;
  const args = { K8S_POD_NAMESPACE: 'shop', K8S_POD_NAME: 'web', K8S_POD_UID: 'older' };
  const place = { netns: web.path, ifname: 'eth0', validAttachments: [] };
  const adding = node.network().add({ ...request, args, ...place }, new AbortController().signal);
  await assert.rejects(adding, /with UID older was replaced by one with UID uid-web/);
  await node.assertNothingLeft('after refusals');
});

void test('[CNI18] annotations choose families, pools and MAC; what is not supported is refused', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  node.addPool('own', { cidr: '10.77.0.0/26', nodeSelector: '!all()' });
  const annotate = (annotations: Record<string, string>) => {
    node.addPod('web', { metadata: { namespace: 'shop', name: 'web', annotations } });
  };
  annotate({
    'cni.projectcalico.org/ipFamilies': '["IPv4"]',
    'cni.projectcalico.org/ipv4pools': '["own"]',
    'cni.projectcalico.org/hwAddr': '02:00:00:00:00:42',
  });
  const result = await node.succeed('ADD', { netns: web.path });
  assert.deepEqual(
    addressesOf(result).map((address) => address.slice(0, 6)),
    ['10.77.'],
  );
  assert.equal(web.route.link('eth0')?.mac, '02:00:00:00:00:42');
  await node.succeed('DEL', { netns: web.path });
  annotate({ 'cni.projectcalico.org/ipAddrs': '["fd00:65::9", "10.65.0.9"]' });
  const chosen = ['10.65.0.9/32', 'fd00:65::9/128'];
  assert.deepEqual(addressesOf(await node.succeed('ADD', { netns: web.path })), chosen);
  await node.succeed('DEL', { netns: web.path });
  annotate({ 'cni.projectcalico.org/ipAddrsNoIpam': '["10.99.0.1"]' });
  const config = { feature_control: { ip_addrs_no_ipam: true } };
  const free = await node.succeed('ADD', { netns: web.path, config });
  assert.deepEqual(addressesOf(free), ['10.99.0.1/32']);
  assert.deepEqual(await node.allocated(), []);
  await node.succeed('CHECK', { netns: web.path, config });
  await node.succeed('DEL', { netns: web.path, config });
  for (const [key, value] of [
    ['ipAddrs', '["10.65.0.9", "10.65.0.10"]'],
    ['ipAddrsNoIpam', '["10.65.0.9"]'],
    ['networks', '["blue"]'],
    ['ipFamilies', '["IPv5"]'],
    ['ipv4pools', 'own'],
  ] as const) {
    annotate({ [`cni.projectcalico.org/${key}`]: value });
    const { code, msg } = await node.fail('ADD', { netns: web.path });
    assert.equal(code, 2);
    assert.match(msg, new RegExp(`annotation cni\\.projectcalico\\.org/${key}`));
  }
  await node.assertNothingLeft('after refusals');
});

void test('[CNI21] DEL frees what an earlier version allocated under the pod', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  const attributes = { namespace: 'shop', pod: 'web', node: 'node-1' };
  const earlier = new BlockAllocator({ client: node.api, nodeName: 'node-1' });
  await earlier.assign({ handle: 'shop.web', attributes });
  await node.succeed('DEL', { netns: web.path });
  await node.assertNothingLeft('under the handle of old');
});

void test('[CNI19] addresses of an earlier sandbox are taken out of the status', async (t) => {
  const node = await startNode(t);
  const web = makeNamespace(t);
  const phase = { phase: 'Running' };
  node.addPod('web', { status: { ...phase, podIP: '10.1.1.1', podIPs: [{ ip: '10.1.1.1' }] } });
  const [v4 = ''] = addressesOf(await node.succeed('ADD', { netns: web.path }));
  assert.deepEqual(node.pod('web')?.status, phase);
  // The status that the runtime then writes stays.
  const status = { ...phase, podIP: v4.replace('/32', '') };
  node.addPod('web', { metadata: { ...node.pod('web')?.metadata, name: 'web' }, status });
  await node.succeed('ADD', { netns: web.path });
  assert.deepEqual(node.pod('web')?.status, status);
});

void test('[CNI7] many pods at once: each has its own addresses', async (t) => {
  const node = await startNode(t);
  const count = 6;
  const spaces = Array.from({ length: count }, () => makeNamespace(t));
  const results = await Promise.all(
    spaces.map(async ({ path }, index) => {
      node.addPod(`p${index}`);
      return node.succeed('ADD', { pod: `p${index}`, container: `m${index}`, netns: path });
    }),
  );
  assert.equal(new Set(results.flatMap(addressesOf)).size, 2 * count);
  assert.equal(node.podInterfaces().length, count);
});

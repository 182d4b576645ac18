// Keeps one lab running, as a process of its own: server, agents, machines outside, and the kubelet of all nodes.
import { mkdirSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Pod, type Resource, isFinishedPod } from '#api';
import { ApiClient, ApiError, loadKubeconfig } from '#datastore/client';
import { listenInNamespace, openNamespace } from '#linux';
import { PEERS_VARIABLE } from './container-environment.ts';
import { EventRecorder } from './event-recorder.ts';
import { writeJsonFile } from './json-file.ts';
import { type LabContext, Turns } from './lab-context.ts';
import { LabFolder } from './lab-folder.ts';
import { type LabNode, type LabState, readLabState } from './lab-state.ts';
import { launch, type Launched, type LaunchOptions } from './launch.ts';
import { PodSandbox } from './pod-sandbox.ts';
import { coreKind, podKey, watchPods } from './pod-watch.ts';
import { PodRoutes, UNDERLAY_ADDRESS } from './underlay.ts';

const SERVER_PORT = 6443;
/** Upstream's port of metrics of addresses. */
const METRICS_PORT = 9094;
const PLUGINS_AT_ONCE = 3;
const POLL_MS = 50;
const RESTART_FIRST_MS = 500;
const RESTART_MAX_MS = 10_000;

/** Runs until a signal comes; what it started goes on, to be ended by `stopLab`. */
export async function keepLab(name: string): Promise<void> {
  const folder = new LabFolder(name);
  const state = readLabState(folder);
  if (!state) throw new Error(`Cannot keep lab ${name}: ${folder.state} is not there`);
  const stopping = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => stopping.abort());
  }
  try {
    await new Keeper(folder, state, stopping.signal).run();
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  }
  // Children are no reason to stay.
  process.exit();
}

function log(message: string): void {
  process.stdout.write(`${new Date().toISOString()} ${message}\n`);
}

class Keeper {
  readonly #folder: LabFolder;
  readonly #state: LabState;
  readonly #signal: AbortSignal;
  /** By UID. */
  readonly #sandboxes = new Map<string, PodSandbox>();
  /** Lives of pods that are being ended, by `namespace/pod`: the next life waits. */
  readonly #ending = new Map<string, Promise<void>>();
  /** Node that a pod was bound to, by UID. */
  readonly #bound = new Map<string, string>();
  readonly #complained = new Set<string>();

  constructor(folder: LabFolder, state: LabState, signal: AbortSignal) {
    this.#folder = folder;
    this.#state = state;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    this.#writePods();
    this.#supervise(this.#serverOptions());
    const client = await this.#connect();
    for (const node of this.#state.nodes) {
      await registerNode(client, node);
      mkdirSync(this.#folder.agent(node.name), { recursive: true, mode: 0o700 });
      this.#supervise(this.#agentOptions(node));
    }
    for (const machine of this.#state.outside) {
      this.#supervise({
        label: `outside/${machine.name}`,
        argv: machine.command,
        namespace: machine.namespace,
        workingFolder: this.#state.workingFolder,
        environment: { HOSTNAME: machine.name, [PEERS_VARIABLE]: this.#folder.peers },
      });
    }
    const context: LabContext = {
      folder: this.#folder,
      state: this.#state,
      client,
      events: new EventRecorder(client, log),
      podRoutes: new PodRoutes(this.#state),
      cniTurns: new Turns(PLUGINS_AT_ONCE),
      log,
      onPodChange: () => this.#writePods(),
    };
    const onPods = (pods: ReadonlyMap<string, Pod>) => this.#reconcile(context, pods);
    await watchPods({ client, signal: this.#signal, onPods, log });
  }

  #serverOptions(): LaunchOptions {
    const underlay = openNamespace(this.#state.underlay);
    // Kept open, so that a server that is started again has the same sockets.
    const sockets = [SERVER_PORT, METRICS_PORT].map((port) =>
      listenInNamespace(underlay, UNDERLAY_ADDRESS, port),
    );
    closeSync(underlay);
    const advertise = `https://${UNDERLAY_ADDRESS}:${SERVER_PORT}`;
    const nodes = this.#state.nodes.flatMap(({ name }) => ['--node', name]);
    const where = ['--data', this.#folder.data, '--listen', `127.0.0.1:${this.#state.port}`];
    const { executable, etcdEndpoints } = this.#state;
    const etcd = ['--datastore-type', 'etcd', '--etcd-endpoints', etcdEndpoints ?? ''];
    const store = etcdEndpoints === undefined ? [] : etcd;
    return {
      label: 'server',
      argv: [executable, 'server', ...where, ...store, '--advertise', advertise, ...nodes],
      // As systemd hands sockets down, but for LISTEN_PID: that is not known before the process is there.
      environment: { LISTEN_FDS: '2', LISTEN_FDNAMES: 'api:metrics' },
      descriptors: sockets,
    };
  }

  #agentOptions({ name, namespace }: LabNode): LaunchOptions {
    const runFolder = ['--run-dir', this.#folder.agent(name)];
    const files = ['--kubeconfig', this.#folder.nodeKubeconfig(name)];
    files.push('--mtu-file', join(this.#folder.agent(name), 'mtu'));
    return {
      label: name,
      argv: [this.#state.executable, 'node', '--name', name, ...files, ...runFolder],
      // Nodes of a lab share a disk.
      environment: {
        FELIX_CAPTUREDIR: join(this.#folder.agent(name), 'pcap'),
        FELIX_ENDPOINTSTATUSPATHPREFIX: this.#folder.agent(name),
      },
      namespace,
    };
  }

  /** Starts a process, and again whenever it ends. */
  #supervise(options: LaunchOptions): void {
    let previous: Launched | undefined;
    const again = async () => {
      for (let delay = RESTART_FIRST_MS; !this.#signal.aborted; ) {
        const started = Date.now();
        const launched = launch(this.#folder, options);
        previous?.forget();
        previous = launched;
        const exit = await launched.ended;
        if (this.#signal.aborted) return;
        delay = Date.now() - started > RESTART_MAX_MS ? RESTART_FIRST_MS : delay * 2;
        log(`${options.label} ended: ${JSON.stringify(exit)}; starting it again in ${delay} ms`);
        await sleep(Math.min(delay, RESTART_MAX_MS), undefined, { signal: this.#signal });
      }
    };
    void again().catch((error: unknown) => {
      if (!this.#signal.aborted) log(`Cannot start ${options.label}: ${String(error)}`);
    });
  }

  /** A client of the server, once that answers. */
  async #connect(): Promise<ApiClient> {
    for (;;) {
      const client = tryLoad(this.#folder.kubeconfig);
      if (client && (await answers(client))) return client;
      await client?.close();
      await sleep(POLL_MS, undefined, { signal: this.#signal });
    }
  }

  #reconcile(context: LabContext, pods: ReadonlyMap<string, Pod>): void {
    for (const [uid, sandbox] of this.#sandboxes) {
      const pod = pods.get(uid);
      if (!pod || pod.metadata.deletionTimestamp !== undefined)
        this.#stop(context, uid, sandbox, pod);
    }
    for (const [uid, pod] of pods) {
      const isToRun = pod.metadata.deletionTimestamp === undefined && !isFinishedPod(pod);
      if (isToRun && !this.#sandboxes.has(uid)) this.#start(context, uid, pod);
    }
    for (const uid of this.#bound.keys()) if (!pods.has(uid)) this.#bound.delete(uid);
  }

  #start(context: LabContext, uid: string, pod: Pod): void {
    const { nodeName } = pod.spec;
    if (nodeName === undefined || nodeName === '') {
      if (!this.#bound.has(uid)) void this.#bind(context, uid, pod);
      return;
    }
    const node = this.#state.nodes.find(({ name }) => name === nodeName);
    if (!node) {
      const names = this.#state.nodes.map(({ name }) => name).join(', ');
      const message = `pod ${podKey(pod)}: this lab has no node "${nodeName}"; it has ${names}`;
      if (!this.#complained.has(uid)) log(message);
      this.#complained.add(uid);
      return;
    }
    this.#bound.set(uid, nodeName);
    const sandbox = new PodSandbox(context, pod, node);
    this.#sandboxes.set(uid, sandbox);
    sandbox.start(this.#ending.get(sandbox.key));
  }

  #stop(context: LabContext, uid: string, sandbox: PodSandbox, pod: Pod | undefined): void {
    this.#sandboxes.delete(uid);
    this.#writePods();
    const finish = async () => {
      await sandbox.stop();
      log(`pod ${sandbox.key}: removed`);
      if (pod) await deletePod(context.client, pod);
    };
    const end = finish().catch((error: unknown) => log(`pod ${sandbox.key}: ${String(error)}`));
    this.#ending.set(sandbox.key, end);
    void end.then(() => {
      if (this.#ending.get(sandbox.key) === end) this.#ending.delete(sandbox.key);
    });
  }

  /** Gives a pod to the node with the fewest. */
  async #bind(context: LabContext, uid: string, pod: Pod): Promise<void> {
    const counts = new Map(this.#state.nodes.map(({ name }) => [name, 0]));
    for (const name of this.#bound.values()) counts.set(name, (counts.get(name) ?? 0) + 1);
    const [least] = [...counts].toSorted(([, a], [, b]) => a - b);
    if (!least) return;
    const [nodeName] = least;
    this.#bound.set(uid, nodeName);
    try {
      await context.client.patch(coreKind('Pod'), pod.metadata, { spec: { nodeName } });
      const message = `Assigned ${podKey(pod)} to ${nodeName}`;
      context.events.record(pod, nodeName, { type: 'Normal', reason: 'Scheduled', message });
    } catch (error) {
      this.#bound.delete(uid);
      log(`pod ${podKey(pod)}: cannot bind it to ${nodeName}: ${String(error)}`);
    }
  }

  #writePods(): void {
    const records = [...this.#sandboxes.values()].map(({ key, record }) => [key, record] as const);
    writeJsonFile(this.#folder.pods, Object.fromEntries(records));
    const { nodes, outside } = this.#state;
    const addresses = [
      ...nodes.map((node) => [`node:${node.name}`, node.addresses] as const),
      ...outside.map((machine) => [`outside:${machine.name}`, machine.addresses] as const),
      ...records.map(([key, record]) => [key, record.addresses] as const),
    ];
    writeJsonFile(this.#folder.peers, Object.fromEntries(addresses));
  }
}

function tryLoad(path: string): ApiClient | undefined {
  try {
    return new ApiClient(loadKubeconfig(path));
  } catch {
    return undefined;
  }
}

async function answers(client: ApiClient): Promise<boolean> {
  try {
    await client.list(coreKind('Node'));
    return true;
  } catch {
    return false;
  }
}

async function registerNode(client: ApiClient, { name, addresses }: LabNode): Promise<void> {
  const kind = coreKind('Node');
  const resource: Resource = {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
  };
  try {
    await client.create(kind, resource);
  } catch (error) {
    if (!(error instanceof ApiError && error.alreadyExists)) throw error;
  }
  const status = {
    addresses: [
      ...addresses.map((address) => ({ type: 'InternalIP', address })),
      { type: 'Hostname', address: name },
    ],
    conditions: [{ type: 'Ready', status: 'True', reason: 'LabNode' }],
  };
  await client.patch(kind, { name }, { status }, { subresource: 'status' });
}

/** Takes away a pod that waits for its kubelet to do so. */
async function deletePod(client: ApiClient, pod: Pod): Promise<void> {
  try {
    await client.delete(coreKind('Pod'), pod.metadata, { gracePeriodSeconds: 0 });
  } catch (error) {
    if (!(error instanceof ApiError && error.notFound)) throw error;
  }
}

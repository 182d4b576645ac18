// One life of a pod: its namespace, attached by the CNI plugin, and its containers as processes inside.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Container, Pod } from '#api';
import { closeSync, existsSync } from 'node:fs';
import { createNamespace, deleteNamespace, openNamespace, RouteSocket } from '#linux';
import { addressesOf, type CniInvocation, runCniPlugin } from './cni-plugin.ts';
import { containerEnvironment } from './container-environment.ts';
import { podNamespace } from './lab-name.ts';
import type { PodEvent } from './event-recorder.ts';
import type { LabContext } from './lab-context.ts';
import type { LabNode } from './lab-state.ts';
import { launch, type Launched } from './launch.ts';
import { type ContainerState, podStatus } from './pod-status.ts';
import { podKey, uidOf } from './pod-watch.ts';
import { findProcesses, signalProcess } from './process-record.ts';
import { StatusWriter } from './status-writer.ts';

/** What others can know of a running pod, without asking the server. */
export interface PodRecord {
  readonly node: string;
  /** Path of the network namespace: its own, or the node's. */
  readonly namespace: string;
  readonly addresses: readonly string[];
  /** Log file by container. */
  readonly logs: Readonly<Record<string, string>>;
}

const GRACE_MS = 2_000;
const SOCKET_POLL_MS = 50;
const RETRY_FIRST_MS = 300;
const RETRY_MAX_MS = 10_000;

export class PodSandbox {
  readonly key: string;
  readonly #context: LabContext;
  readonly #pod: Pod;
  readonly #node: LabNode;
  readonly #namespace: string;
  readonly #hostNetwork: boolean;
  readonly #startTime = new Date().toISOString();
  readonly #states = new Map<string, ContainerState>();
  readonly #launched: Launched[] = [];
  readonly #stopping = new AbortController();
  readonly #status: StatusWriter;
  #addresses: readonly string[] = [];
  #running: Promise<void> | undefined;
  #trouble: string | undefined;

  constructor(context: LabContext, pod: Pod, node: LabNode) {
    this.key = podKey(pod);
    this.#context = context;
    this.#pod = pod;
    this.#node = node;
    this.#hostNetwork = pod.spec.hostNetwork === true;
    this.#namespace = this.#hostNetwork
      ? node.namespace
      : podNamespace(context.state.name, this.key, uidOf(pod));
    const { namespace = 'default', name } = pod.metadata;
    const { client } = context;
    const log = (message: string) => this.#log(message);
    const { signal } = this.#stopping;
    this.#status = new StatusWriter({ client, namespace, name, signal, log });
  }

  get record(): PodRecord {
    const logs = Object.fromEntries(this.#launched.map(({ label, log }) => [label, log]));
    return { node: this.#node.name, namespace: this.#namespace, addresses: this.#addresses, logs };
  }

  /** Attaches the pod and starts its containers, in the background; after what must be over before. */
  start(after: Promise<void> = Promise.resolve()): void {
    this.#running = after
      .then(() => this.#run())
      .catch((error: unknown) => {
        if (!this.#stopping.signal.aborted) this.#fail(String(error));
      });
  }

  /** Ends its processes, detaches it and removes its namespace. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const { name } of this.#pod.spec.containers) {
      this.#tell('Normal', 'Killing', `Stopping container ${name}`);
    }
    await this.#running;
    await Promise.all(this.#launched.map((process) => process.end(GRACE_MS)));
    for (const process of this.#launched) process.forget();
    if (this.#hostNetwork) return;
    for (const left of findProcesses([this.#namespace])) signalProcess(left, 'SIGKILL');
    await this.#cni('DEL').catch((error: unknown) => this.#log(String(error)));
    this.#context.podRoutes.delete(this.#addresses);
    deleteNamespace(this.#namespace);
  }

  async #run(): Promise<void> {
    this.#stopping.signal.throwIfAborted();
    this.#report();
    await this.#attach();
    const { initContainers = [], containers } = this.#pod.spec;
    for (const container of initContainers) await this.#runToEnd(container);
    for (const container of containers) this.#startContainer(container);
    this.#report();
  }

  async #attach(): Promise<void> {
    if (this.#hostNetwork) this.#addresses = this.#node.addresses;
    else {
      createNamespace(this.#namespace);
      setLoopbackUp(this.#namespace);
      this.#addresses = await this.#add();
      this.#context.podRoutes.add(this.#addresses, this.#node.name);
    }
    this.#trouble = undefined;
    this.#context.onPodChange();
  }

  /** Tries ADD until it succeeds or the pod is to stop. */
  async #add(): Promise<string[]> {
    const { signal } = this.#stopping;
    // A plugin that finds no agent costs more than this look.
    const socket = this.#context.folder.cniSocket(this.#node.name);
    while (!existsSync(socket)) await sleep(SOCKET_POLL_MS, undefined, { signal });
    for (let delay = RETRY_FIRST_MS; ; delay = Math.min(delay * 2, RETRY_MAX_MS)) {
      try {
        const addresses = addressesOf(await this.#cni('ADD'));
        this.#log(`attached to ${this.#node.name} with ${addresses.join(', ')}`);
        this.#tell('Normal', 'AddedInterface', `Attached with ${addresses.join(', ')}`);
        return addresses;
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#fail(message);
        this.#tell('Warning', 'FailedCreatePodSandBox', message);
        await this.#cni('DEL').catch(() => undefined);
        await sleep(delay, undefined, { signal });
      }
    }
  }

  #cni(command: CniInvocation['command']): Promise<unknown> {
    const { state, folder, cniTurns } = this.#context;
    const uid = uidOf(this.#pod);
    return cniTurns.take(() =>
      runCniPlugin({
        command,
        lab: state.name,
        plugin: state.executable,
        nodeNamespace: this.#node.namespace,
        socket: folder.cniSocket(this.#node.name),
        containerId: uid.replaceAll(/[^a-zA-Z0-9_.-]/g, ''),
        namespace: this.#namespace,
        pod: this.key,
        uid,
      }),
    );
  }

  async #runToEnd(container: Container): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const process = this.#launch(container);
    const exit = process ? await process.ended : undefined;
    if (exit?.code === 0) return;
    throw new Error(`init container ${container.name} ended with ${JSON.stringify(exit)}`);
  }

  #startContainer(container: Container): void {
    if (this.#stopping.signal.aborted) return;
    const process = this.#launch(container);
    if (!process) return;
    const startedAt = new Date().toISOString();
    this.#states.set(container.name, { type: 'running', startedAt });
    void process.ended.then((exit) => {
      this.#states.set(container.name, { type: 'terminated', startedAt, exit });
      if (this.#stopping.signal.aborted) return;
      this.#log(`container ${container.name} ended: ${JSON.stringify(exit)}`);
      this.#tell('Warning', 'Exited', `Container ${container.name} ended: ${JSON.stringify(exit)}`);
      this.#report();
    });
  }

  #launch(container: Container): Launched | undefined {
    const { folder, state } = this.#context;
    const argv = [...(container.command ?? []), ...(container.args ?? [])];
    if (!container.command || container.command.length === 0) {
      const message = 'the lab runs commands, not images: give the container a command';
      this.#states.set(container.name, { type: 'waiting', reason: 'NoCommand', message });
      this.#fail(`container ${container.name}: ${message}`);
      this.#tell('Warning', 'Failed', `container ${container.name}: ${message}`);
      return undefined;
    }
    const launched = launch(folder, {
      label: `pod/${this.key}/${container.name}`,
      argv,
      namespace: this.#namespace,
      workingFolder: container.workingDir ?? state.workingFolder,
      environment: containerEnvironment(container, {
        pod: this.#pod,
        node: this.#node,
        addresses: this.#addresses,
        peersFile: folder.peers,
      }),
    });
    this.#launched.push(launched);
    this.#tell('Normal', 'Started', `Started container ${container.name}`);
    return launched;
  }

  #fail(message: string): void {
    if (this.#trouble !== message) this.#log(message);
    this.#trouble = message;
    this.#report();
  }

  #report(): void {
    const situation = {
      containers: this.#pod.spec.containers,
      states: this.#states,
      addresses: this.#addresses,
      hostAddresses: this.#node.addresses,
      startTime: this.#startTime,
    };
    const trouble = this.#trouble;
    this.#status.write(podStatus({ ...situation, ...(trouble === undefined ? {} : { trouble }) }));
  }

  #tell(type: PodEvent['type'], reason: string, message: string): void {
    this.#context.events.record(this.#pod, this.#node.name, { type, reason, message });
  }

  #log(message: string): void {
    this.#context.log(`pod ${this.key}: ${message}`);
  }
}

function setLoopbackUp(path: string): void {
  const namespace = openNamespace(path);
  const routes = RouteSocket.open({ namespace });
  try {
    routes.setUp('lo');
  } finally {
    routes.close();
    closeSync(namespace);
  }
}

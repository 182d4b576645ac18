// Brings a lab up step by step, waits for each, and says which part failed where one does.
import { mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { kindOf, type Pod } from '#api';
import { ApiClient, loadKubeconfig } from '#datastore/client';
import { isObject } from '#lib';
import { requireLabHost } from './host-check.ts';
import { LabError } from './lab-error.ts';
import { LABS_FOLDER, LabFolder } from './lab-folder.ts';
import {
  labNameProblem,
  nodeNames,
  nodeNamespace,
  outsideNamespace,
  underlayNamespace,
} from './lab-name.ts';
import type { OutsideMachine } from './lab-spec.ts';
import { type LabState, writeLabState } from './lab-state.ts';
import { labEnvironment, launch } from './launch.ts';
import { logTail } from './log-tail.ts';
import { coreKind, isPod, podKey } from './pod-watch.ts';
import { isAlive, readProcessRecords } from './process-record.ts';
import { existingLabs, KEEPER_LABEL } from './stop-lab.ts';
import { buildUnderlay, nodeAddresses } from './underlay.ts';

export interface StartLabOptions {
  readonly name: string;
  readonly nodes: number;
  readonly outside: readonly OutsideMachine[];
  /** Where the server keeps its objects, by commas; in a file of the lab when absent. */
  readonly etcdEndpoints?: string;
  readonly executable: string;
  readonly workingFolder: string;
  /** Makes the resources of the lab; gets a client with all rights. */
  readonly apply: (client: ApiClient) => Promise<void>;
  /** One line for each step. */
  readonly report: (line: string) => void;
  readonly signal?: AbortSignal;
}

const POLL_MS = 100;
const SERVER_MS = 20_000;
const AGENTS_MS = 30_000;
const PODS_MS = 90_000;

/** Makes the name this lab's, before anything else of it is made. Throws LabError where it cannot be. */
export function claimLab(name: string): void {
  requireLabHost('start a lab');
  const problem = labNameProblem(name);
  if (problem !== undefined) throw new LabError(`Cannot start lab: ${problem}`);
  mkdirSync(LABS_FOLDER, { recursive: true, mode: 0o700 });
  if (!existingLabs().includes(name) && makeFolder(new LabFolder(name).path)) return;
  throw new LabError(
    `Cannot start lab ${name}: it is there already; remove it with "tortie lab down ${name}", or use --name`,
  );
}

/** False where it is there: somebody else was first. */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o700 });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Starts the lab whose name was claimed. Throws LabError, which says what failed and shows the end of its log; what
 * was made stays for `stopLab`.
 */
export async function startLab(options: StartLabOptions): Promise<LabState> {
  const { name, report, nodes, outside } = options;
  const folder = new LabFolder(name);
  const state = await planLab(options);
  writeLabState(folder, state);
  buildUnderlay(state);
  const machines = outside.length > 0 ? `, outside ${outside.map((it) => it.name).join(', ')}` : '';
  report(`network: ${nodes} nodes on one bridge${machines}`);
  startKeeper(folder, state);
  const wait = new Wait(folder, options.signal);
  const client = await wait.until('server', SERVER_MS, () => connectTo(folder));
  try {
    report(`server: ${client.server}`);
    await options.apply(client);
    await wait.until('agents', AGENTS_MS, () => agentsReady(client, state));
    report(`agents: ${state.nodes.map((node) => node.name).join(', ')} in sync with the kernel`);
    await waitForPods(wait, client, report);
  } finally {
    await client.close();
  }
  return state;
}

async function planLab(options: StartLabOptions): Promise<LabState> {
  const { name, executable, workingFolder, etcdEndpoints } = options;
  const nodes = nodeNames(options.nodes);
  return {
    name,
    created: new Date().toISOString(),
    underlay: underlayNamespace(name),
    nodes: nodes.map((node, index) => ({
      name: node,
      namespace: nodeNamespace(name, node),
      addresses: nodeAddresses(index + 1),
    })),
    outside: options.outside.map((machine) => ({
      ...machine,
      namespace: outsideNamespace(name, machine.name),
    })),
    port: await freePort(),
    executable,
    workingFolder,
    ...(etcdEndpoints === undefined ? {} : { etcdEndpoints }),
  };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = isObject(address) && typeof address['port'] === 'number' ? address['port'] : 0;
      probe.close(() => resolve(port));
    });
  });
}

function startKeeper(folder: LabFolder, { name, executable, workingFolder }: LabState): void {
  const keeper = { label: KEEPER_LABEL, argv: [executable, 'lab', 'keep', name], workingFolder };
  launch(folder, { ...keeper, environment: labEnvironment(name) });
}

async function connectTo(folder: LabFolder): Promise<ApiClient | undefined> {
  let client: ApiClient | undefined;
  try {
    client = new ApiClient(loadKubeconfig(folder.kubeconfig));
    await client.list(coreKind('Node'));
    return client;
  } catch {
    await client?.close();
    return undefined;
  }
}

async function agentStatuses(client: ApiClient): Promise<Map<string, Record<string, unknown>>> {
  const kind = kindOf('tortie.dev/v1', 'AgentStatus');
  const items = kind ? (await client.list(kind)).items : [];
  return new Map(
    items.map((item) => {
      const status = 'status' in item && isObject(item.status) ? item.status : {};
      return [item.metadata.name, status];
    }),
  );
}

async function agentsReady(client: ApiClient, state: LabState): Promise<true | undefined> {
  const statuses = await agentStatuses(client);
  const ready = state.nodes.every(({ name }) => statuses.get(name)?.['ready'] === true);
  return ready ? true : undefined;
}

async function waitForPods(
  wait: Wait,
  client: ApiClient,
  report: (line: string) => void,
): Promise<void> {
  const reported = new Set<string>();
  let pods: readonly Pod[] = [];
  await wait.until(
    'pods',
    PODS_MS,
    async () => {
      pods = (await client.list(coreKind('Pod'))).items.filter(isPod);
      for (const pod of pods.filter(isReady)) {
        if (!reported.has(podKey(pod))) report(readyLine(pod));
        reported.add(podKey(pod));
      }
      return pods.every(isSettled) && (await policiesApplied(client, pods)) ? true : undefined;
    },
    () => pods.filter((pod) => !isReady(pod)).map(troubleLine),
  );
  for (const pod of pods.filter((it) => it.status?.phase === 'Failed')) {
    const tails = pod.spec.containers.map(({ name }) => wait.logOf(pod, name));
    report([`pod ${podKey(pod)} failed`, ...tails.flat()].join('\n'));
  }
  report(`pods: ${reported.size} of ${pods.length} ready, policies in the kernel of every node`);
}

/** Every pod with an address has its endpoint in the kernel of its node. */
async function policiesApplied(client: ApiClient, pods: readonly Pod[]): Promise<boolean> {
  const statuses = await agentStatuses(client);
  const attached = pods.filter((pod) => isReady(pod) && pod.spec.hostNetwork !== true);
  const counts = [...statuses.values()].map((status) => Number(status['endpointCount'] ?? 0));
  return (
    [...statuses.values()].every((status) => status['ready'] === true) &&
    counts.reduce((sum, count) => sum + count, 0) >= attached.length
  );
}

function isReady(pod: Pod): boolean {
  const conditions = pod.status?.conditions ?? [];
  return conditions.some((it) => it['type'] === 'Ready' && it['status'] === 'True');
}

/** Ready, or done with what it had to do. */
function isSettled(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return isReady(pod) || phase === 'Succeeded' || phase === 'Failed';
}

function readyLine(pod: Pod): string {
  return `pod ${podKey(pod)}: ${pod.status?.podIP ?? ''} on ${pod.spec.nodeName ?? ''}`;
}

function troubleLine(pod: Pod): string {
  return `pod ${podKey(pod)}: ${pod.status?.message ?? pod.status?.phase ?? 'not started'}`;
}

/** Waits for one part at a time, and notices when what is waited for cannot come any more. */
class Wait {
  readonly #folder: LabFolder;
  readonly #signal: AbortSignal | undefined;

  constructor(folder: LabFolder, signal: AbortSignal | undefined) {
    this.#folder = folder;
    this.#signal = signal;
  }

  async until<T>(
    part: string,
    waitMs: number,
    probe: () => Promise<T | undefined>,
    details: () => readonly string[] = () => [],
  ): Promise<T> {
    const deadline = Date.now() + waitMs;
    for (;;) {
      this.#signal?.throwIfAborted();
      const value = await probe();
      if (value !== undefined) return value;
      const keeperGone = !this.#isKeeperAlive();
      if (keeperGone || Date.now() > deadline) {
        const why = keeperGone ? "the lab's keeper ended" : `not there after ${waitMs / 1000} s`;
        throw new LabError(this.#failure(part, why, details()));
      }
      await sleep(POLL_MS, undefined, this.#signal ? { signal: this.#signal } : {});
    }
  }

  /** The end of what a container said. */
  logOf(pod: Pod, container: string): string[] {
    const label = `pod/${podKey(pod)}/${container}`;
    return logTail(label, this.#folder.log(label));
  }

  #isKeeperAlive(): boolean {
    const records = readProcessRecords(this.#folder);
    return records.some((record) => record.label === KEEPER_LABEL && isAlive(record));
  }

  /** What failed, and the end of the logs that can say why. */
  #failure(part: string, why: string, details: readonly string[]): string {
    const records = readProcessRecords(this.#folder);
    const ended = records.filter((record) => !isAlive(record));
    const keeper = records.filter(({ label }) => label === KEEPER_LABEL);
    const suspects = new Set([...ended, ...keeper]);
    const tails = [...suspects].flatMap(({ label, log }) => logTail(label, log));
    return [`Cannot start lab, ${part}: ${why}`, ...details, ...tails].join('\n');
  }
}

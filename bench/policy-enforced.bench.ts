// From the write of a policy to every node's word that it is in force: three nodes, 10,000 policies (needs root).
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AgentStatus, enforcementOf, kindOf, type KindDefinition, type Resource } from '#api';
import { ApiClient, loadKubeconfig } from '#datastore/client';
import { LabFolder } from '#lab';
import { median, printFigure, printMachine } from './measurement.ts';
import { type Scratch, withScratch } from './scratch.ts';

const TORTIE = join(fileURLToPath(new URL('..', import.meta.url)), 'bin/tortie');
const LAB = `b${process.pid}`;
const NODES = ['node-1', 'node-2', 'node-3'];
const POLICIES = Number(process.env['POLICIES'] ?? 10_000);
const CHANGES = Number(process.env['CHANGES'] ?? 30);
const WRITERS = 32;
const POLL_MS = 5;
const MOST_MS = 300_000;

function tortie(...args: string[]): string {
  return execFileSync(TORTIE, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function kind(apiVersion: string, name: string): KindDefinition {
  const found = kindOf(apiVersion, name);
  if (!found) throw new Error(`there is no kind ${name}`);
  return found;
}

const policyKind = kind('projectcalico.org/v3', 'NetworkPolicy');
const agentKind = kind('tortie.dev/v1', 'AgentStatus');

/** Policies of ten applications; each lets the next application in at a port of its own. */
function policyOf(index: number, order: number): Resource {
  const [app, peer] = [index % 10, (index + 1) % 10];
  const spec = {
    order,
    selector: `app == "${app}"`,
    types: ['Ingress'],
    ingress: [
      {
        action: 'Allow',
        protocol: 'TCP',
        source: { selector: `app == "${peer}"` },
        destination: { ports: [1024 + (index % 60_000)] },
      },
    ],
  };
  const metadata = { name: `policy-${index}`, namespace: 'shop' };
  return { apiVersion: 'projectcalico.org/v3', kind: 'NetworkPolicy', metadata, spec } as Resource;
}

/** One pod of each application on each node. */
function manifests(): string {
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
  const pods = NODES.flatMap((node, number) =>
    Array.from({ length: 4 }, (_, index) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: `pod-${number}-${index}`,
        namespace: 'shop',
        labels: { app: String((index + 3 * number) % 10) },
      },
      spec: { nodeName: node, containers: [{ name: 'main', command: ['sleep', '1000000'] }] },
    })),
  );
  return [namespace, ...pods].map((one) => JSON.stringify(one)).join('\n---\n');
}

async function enforced(client: ApiClient, policy: Resource): Promise<void> {
  const end = performance.now() + MOST_MS;
  for (;;) {
    const { items } = await client.list(agentKind);
    const agents = new Map(items.map((one) => [one.metadata.name, one as AgentStatus]));
    if (enforcementOf(policy, NODES, agents).every((one) => one.enforced)) return;
    if (performance.now() > end) throw new Error(`${policy.metadata.name} is not in force`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function createAll(client: ApiClient): Promise<Resource> {
  let next = 0;
  let last: Resource | undefined;
  const writer = async (): Promise<void> => {
    while (next < POLICIES) last = await client.create(policyKind, policyOf(next++, 100));
  };
  await Promise.all(Array.from({ length: WRITERS }, writer));
  if (!last) throw new Error('no policy was made');
  return last;
}

interface LabStatus {
  readonly name: string;
  readonly processes: readonly { readonly label: string; readonly pid: number }[];
}

/** Resident memory of each agent, in MiB. */
function agentMemory(): number[] {
  const labs = JSON.parse(tortie('lab', 'status', '-o', 'json')) as LabStatus[];
  const processes = labs.find(({ name }) => name === LAB)?.processes ?? [];
  return processes
    .filter(({ label }) => NODES.includes(label))
    .map(({ pid }) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
    });
}

async function bench(scratch: Scratch): Promise<void> {
  const file = join(scratch.folder(), 'world.yaml');
  writeFileSync(file, manifests());
  scratch.later(() => tortie('lab', 'down', LAB));
  tortie('lab', 'up', '-f', file, '--name', LAB, '--nodes', String(NODES.length));
  const client = new ApiClient(loadKubeconfig(new LabFolder(LAB).kubeconfig));
  scratch.later(() => client.close());
  printFigure('memory of an idle agent', median(agentMemory()), 'MiB');
  const start = performance.now();
  const last = await createAll(client);
  printFigure(`${POLICIES} policies written`, performance.now() - start, 'ms');
  await enforced(client, last);
  printFigure(`${POLICIES} policies written and in force`, performance.now() - start, 'ms');
  const times: number[] = [];
  for (let change = 0; change < CHANGES; change++) {
    const before = performance.now();
    const index = (change * 37) % POLICIES;
    const key = { name: `policy-${index}`, namespace: 'shop' };
    const spec = { order: 200 + change };
    await enforced(client, await client.patch(policyKind, key, { spec }));
    times.push(performance.now() - before);
  }
  const sorted = times.toSorted((a, b) => a - b);
  printFigure('a change of one policy, written and in force: p50', median(times), 'ms');
  printFigure('the same: p99', sorted[Math.ceil(0.99 * sorted.length) - 1] ?? NaN, 'ms');
  printFigure('memory of an agent with all of them', median(agentMemory()), 'MiB');
}

printMachine();
await withScratch(bench);

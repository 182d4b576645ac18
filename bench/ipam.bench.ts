// Addresses a second and writes an address through a durable server, against one write for each address.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { ipamBlockKind, type IPPool, ipPoolKind, type KindDefinition } from '#api';
import type { ApiClient } from '#datastore/client';
import { Syncer } from '#datastore/syncer';
import { BlockAllocator, Inventory, INVENTORY_KINDS, type IpamClient } from '#ipam';
import { startServerProcess } from '../test/kubernetes/server-process.ts';
import { median, printFigure, printMachine, timedAsync } from './measurement.ts';

const PODS = 100;
const ROUNDS = 5;

/** Counts what goes to the server. */
class Counted implements IpamClient {
  readonly #client: ApiClient;
  reads = 0;
  writes = 0;

  constructor(client: ApiClient) {
    this.#client = client;
  }

  list(kind: KindDefinition): ReturnType<ApiClient['list']> {
    this.reads++;
    return this.#client.list(kind);
  }

  create(...given: Parameters<ApiClient['create']>): ReturnType<ApiClient['create']> {
    this.writes++;
    return this.#client.create(...given);
  }

  replace(...given: Parameters<ApiClient['replace']>): ReturnType<ApiClient['replace']> {
    this.writes++;
    return this.#client.replace(...given);
  }

  delete(...given: Parameters<ApiClient['delete']>): ReturnType<ApiClient['delete']> {
    this.writes++;
    return this.#client.delete(...given);
  }
}

interface Measured {
  readonly seconds: number;
  readonly reads: number;
  readonly writes: number;
}

function requestOf(name: string) {
  const attributes = { namespace: 'shop', pod: name, node: 'n1' };
  return { handle: `k8s-pod-network.${name}`, attributes };
}

/** As the agent does it: one allocator, fed by watches; all ask at once, or each after the other. */
async function byAgent(
  client: ApiClient,
  names: readonly string[],
  isAtOnce: boolean,
): Promise<Measured> {
  const counted = new Counted(client);
  const inventory = new Inventory(counted);
  const { promise: synced, resolve } = Promise.withResolvers<void>();
  const syncer = new Syncer({
    client,
    kinds: [...INVENTORY_KINDS],
    callbacks: {
      onUpdates: (updates) => inventory.onUpdates(updates),
      onStatus: (status) => {
        inventory.setFed(status === 'in-sync');
        if (status === 'in-sync') resolve();
      },
    },
  });
  syncer.start();
  await synced;
  await inventory.refresh();
  counted.reads = 0;
  const allocator = new BlockAllocator({ client: counted, nodeName: 'n1', inventory });
  const seconds = await timedAsync(async () => {
    if (isAtOnce) await Promise.all(names.map((name) => allocator.assign(requestOf(name))));
    else for (const name of names) await allocator.assign(requestOf(name));
  });
  await syncer.stop();
  return { seconds, reads: counted.reads, writes: counted.writes };
}

/** As a plugin process does it, one at a time behind the lock of the node: reads, and writes its own block. */
async function oneByOne(client: ApiClient, names: readonly string[]): Promise<Measured> {
  const counted = new Counted(client);
  const seconds = await timedAsync(async () => {
    for (const name of names) {
      const options = { client: counted, nodeName: 'n1', writesHandles: true };
      await new BlockAllocator(options).assign(requestOf(name));
    }
  });
  return { seconds, reads: counted.reads, writes: counted.writes };
}

/** Empty blocks, so that both begin with the same. */
async function clear(client: ApiClient): Promise<void> {
  const blocks = await client.list(ipamBlockKind);
  const allocator = new BlockAllocator({ client, nodeName: 'n1', writesHandles: true });
  const held = await allocator.allocations();
  await Promise.all(held.map(({ handle }) => allocator.release({ handle })));
  if (blocks.items.length === 0) throw new Error('nothing was allocated');
}

function print(name: string, runs: readonly Measured[], peer?: readonly Measured[]): void {
  const rate = (of: readonly Measured[]) => PODS / median(of.map(({ seconds }) => seconds));
  const writes = (of: readonly Measured[]) => median(of.map((run) => run.writes)) / PODS;
  const reads = (of: readonly Measured[]) => median(of.map((run) => run.reads)) / PODS;
  const against = (figure: (of: readonly Measured[]) => number) =>
    peer && { name: 'one write for each address', figure: figure(peer) };
  printFigure(`${name}: allocations`, rate(runs), 'a second', against(rate));
  printFigure(`${name}: writes`, writes(runs), 'an address', against(writes));
  printFigure(`${name}: lists`, reads(runs), 'an address', against(reads));
}

const folder = await mkdtemp(join(tmpdir(), 'tortie-bench-ipam-'));
const endings: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true })];
const context = { after: (end: () => unknown) => void endings.push(end) };
try {
  printMachine();
  const { client } = await startServerProcess(context as unknown as TestContext, folder);
  for (const { metadata } of (await client.list(ipPoolKind)).items) {
    await client.delete(ipPoolKind, { name: metadata.name });
  }
  const pool: IPPool = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name: 'v4' },
    spec: { cidr: '10.65.0.0/16' },
  };
  await client.create(ipPoolKind, pool);
  const runs = { atOnce: [] as Measured[], inTurn: [] as Measured[], oneByOne: [] as Measured[] };
  for (let round = 0; round < ROUNDS; round++) {
    const names = (kind: string) => Array.from({ length: PODS }, (_, i) => `${kind}${round}-${i}`);
    runs.oneByOne.push(await oneByOne(client, names('one')));
    await clear(client);
    runs.inTurn.push(await byAgent(client, names('turn'), false));
    await clear(client);
    runs.atOnce.push(await byAgent(client, names('all'), true));
    await clear(client);
  }
  print(`${PODS} plugins, one by one`, runs.oneByOne);
  print(`${PODS} in turn through the agent`, runs.inTurn, runs.oneByOne);
  print(`${PODS} at once through the agent`, runs.atOnce, runs.oneByOne);
} finally {
  for (const end of endings.toReversed()) await end();
}

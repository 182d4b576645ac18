// The syncer against a server that lists, watches, fails and forgets as it is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { podKind, type Resource, tierKind } from '#api';
import { ApiError } from './api-error.ts';
import type { ApiClient, WatchEvent, WatchOptions } from './client.ts';
import { Syncer, type SyncerCallbacks } from './syncer.ts';

type Kind = typeof podKind;

const resource = (name: string, resourceVersion: string, uid = name): Resource => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'shop', resourceVersion, uid },
});

/** One kind at a fake server. */
class FakeKind {
  items: Resource[] = [];
  revision = '1';
  lists = 0;
  watchedFrom: string[] = [];
  failure: Error | undefined;
  #open: { push(event: WatchEvent): void; fail(error: Error | undefined): void } | undefined;

  list(): { items: Resource[]; resourceVersion: string } {
    this.lists++;
    if (this.failure) throw this.failure;
    return { items: [...this.items], resourceVersion: this.revision };
  }

  async *watch(options: WatchOptions): AsyncGenerator<WatchEvent> {
    this.watchedFrom.push(options.resourceVersion);
    if (this.failure) throw this.failure;
    const queue: WatchEvent[] = [];
    let ended: { error: Error | undefined } | undefined;
    let wake = (): void => undefined;
    this.#open = {
      push: (event) => (queue.push(event), wake()),
      fail: (error) => ((ended = { error }), wake()),
    };
    options.signal?.addEventListener('abort', () => this.#open?.fail(undefined));
    options.onOpen?.();
    for (;;) {
      const event = queue.shift();
      if (event) yield event;
      else if (ended?.error) throw ended.error;
      else if (ended) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  }

  send(type: WatchEvent['type'], object: Resource): void {
    this.#open?.push({ type, object });
  }

  drop(error?: Error): void {
    this.#open?.fail(error);
  }
}

function harness(kinds: readonly Kind[] = [podKind]) {
  const server = new Map(kinds.map((kind) => [kind, new FakeKind()]));
  const log: string[] = [];
  const waits: number[] = [];
  const callbacks: SyncerCallbacks = {
    onUpdates: (updates) => {
      for (const { key, resource: value } of updates) {
        log.push(`${key.split(' ')[1]}=${value?.metadata.resourceVersion ?? 'gone'}`);
      }
    },
    onStatus: (status) => void log.push(status),
  };
  const at = (kind: Kind): FakeKind => server.get(kind) ?? new FakeKind();
  const client = {
    list: async (kind: Kind) => at(kind).list(),
    watch: (kind: Kind, options: WatchOptions) => at(kind).watch(options),
  } satisfies Pick<ApiClient, 'list' | 'watch'>;
  const clock = {
    sleep: async (milliseconds: number) => {
      waits.push(milliseconds);
      await new Promise((resolve) => setImmediate(resolve));
    },
    random: () => 1,
  };
  const syncer = new Syncer({ client, kinds, callbacks, clock });
  return { syncer, log, waits, at, pods: at(podKind) };
}

/** Lets everything that is ready run. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test('[SY1] everything listed comes before in-sync, which needs every kind', async (context) => {
  const { syncer, log, at } = harness([podKind, tierKind]);
  context.after(() => syncer.stop());
  at(podKind).items = [resource('a', '1')];
  const tiers = at(tierKind);
  tiers.failure = new Error('refused');
  syncer.start();
  await settle();
  assert.deepEqual(log, ['waiting', 'shop/a=1', 'resync']);
  tiers.failure = undefined;
  await settle();
  assert.deepEqual(log, ['waiting', 'shop/a=1', 'resync', 'in-sync']);
});

test('events become updates; a bookmark moves only where the watch resumes', async (context) => {
  const { syncer, log, pods } = harness();
  context.after(() => syncer.stop());
  syncer.start();
  await settle();
  pods.send('ADDED', resource('a', '2'));
  pods.send('MODIFIED', resource('a', '3'));
  pods.send('MODIFIED', resource('a', '3'));
  pods.send('BOOKMARK', resource('', '9'));
  await settle();
  pods.drop();
  await settle();
  pods.send('DELETED', resource('a', '10'));
  await settle();
  assert.deepEqual(log, ['waiting', 'in-sync', 'shop/a=2', 'shop/a=3', 'shop/a=gone']);
  assert.deepEqual([pods.lists, pods.watchedFrom], [1, ['1', '9']]);
});

test('[SY2] [SY5] while the server is away nothing is taken back', async (context) => {
  const { syncer, log, pods, waits } = harness();
  context.after(() => syncer.stop());
  pods.items = [resource('a', '1')];
  syncer.start();
  await settle();
  pods.failure = new Error('connection refused');
  pods.drop(pods.failure);
  await settle();
  assert.deepEqual(log, ['waiting', 'shop/a=1', 'in-sync', 'resync']);
  pods.failure = undefined;
  await settle();
  assert.deepEqual(log.slice(4), ['in-sync']);
  assert.equal(pods.lists, 1, 'it goes on from where it was');
  assert.ok(waits.length >= 2);
  assert.ok(waits.every((wait, index) => wait >= (waits[index - 1] ?? 0) && wait <= 10_000));
});

test('[SY3] a revision that is gone means a new list, with what is missing deleted', async (context) => {
  const { syncer, log, pods } = harness();
  context.after(() => syncer.stop());
  pods.items = [resource('kept', '1'), resource('changed', '1'), resource('lost', '1')];
  syncer.start();
  await settle();
  pods.items = [resource('kept', '1'), resource('changed', '5'), resource('new', '6')];
  pods.revision = '7';
  pods.drop(new ApiError(410, 'Expired', 'too old'));
  await settle();
  assert.deepEqual(log.slice(5), [
    'resync',
    'shop/changed=5',
    'shop/new=6',
    'shop/lost=gone',
    'in-sync',
  ]);
  assert.deepEqual(pods.watchedFrom, ['1', '7']);
});

test('[SY7] where one revision is gone each watch is opened again, and in-sync waits for all', async (context) => {
  const { syncer, log, at, pods } = harness([podKind, tierKind]);
  context.after(() => syncer.stop());
  const tiers = at(tierKind);
  pods.items = [resource('a', '5')];
  tiers.items = [resource('b', '5')];
  syncer.start();
  await settle();
  log.length = 0;
  // Tiers hear nothing of a store that was put back under a connection that hangs.
  pods.items = [resource('a', '2')];
  const failure = new Error('connection refused');
  tiers.failure = failure;
  pods.drop(new ApiError(410, 'Expired', 'too old'));
  await settle();
  assert.deepEqual(log, ['resync', 'shop/a=2']);
  assert.deepEqual([pods.lists, tiers.lists], [2, 1]);
  tiers.failure = undefined;
  await settle();
  assert.deepEqual(log.slice(2), ['in-sync'], 'tiers knew their revision');
  assert.equal(tiers.lists, 1);
  assert.ok(tiers.watchedFrom.length > 1);
});

test('[SY4] the same revision of another object is another object', async (context) => {
  const { syncer, log, pods } = harness();
  context.after(() => syncer.stop());
  pods.items = [resource('a', '1', 'first')];
  syncer.start();
  await settle();
  pods.items = [resource('a', '1', 'second')];
  pods.drop(new ApiError(410, 'Expired', 'too old'));
  await settle();
  assert.deepEqual(
    log.filter((line) => line.startsWith('shop/')),
    ['shop/a=1', 'shop/a=1'],
  );
});

test('[SY6] after stop nothing is said any more', async () => {
  const { syncer, log, pods } = harness();
  syncer.start();
  await settle();
  pods.send('ADDED', resource('a', '2'));
  await syncer.stop();
  const before = [...log];
  pods.send('ADDED', resource('b', '3'));
  await settle();
  assert.deepEqual(log, before);
});

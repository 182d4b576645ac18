// Goldmane's API as its clients see it: gRPC's own protobuf reader, over TLS, on flows that were kept.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  credentials,
  type ChannelCredentials,
  loadPackageDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Flow } from '#flows';
import { DuckdbStorage, FlowKeeper } from '#flowstore';
import { GoldmaneServer, type GoldmaneTls } from '#goldmane';
import { shopEnd, shopFlow } from '../shop-flow.ts';

/** The part of the API that is asked here, by its numbers. */
const PROTO = `
syntax = "proto3";
package goldmane;
service Flows {
  rpc List(Query) returns (Listed);
  rpc Stream(StreamQuery) returns (stream Result);
  rpc FilterHints(HintQuery) returns (Hints);
}
service Statistics { rpc List(StatisticsQuery) returns (stream Statistic); }
service FlowCollector { rpc Connect(stream Update) returns (stream Receipt); }
message Match { string value = 1; int32 type = 2; }
message Port { int64 port = 1; }
message PolicyMatch { int32 kind = 1; string tier = 2; string namespace = 3; string name = 4; int32 action = 5; }
message Filter {
  repeated Match source_names = 1; repeated Match dest_namespaces = 4; repeated Port dest_ports = 6;
  repeated int32 actions = 7; repeated PolicyMatch policies = 8; int32 reporter = 9;
  repeated int32 pending_actions = 10;
}
message Sort { int32 sort_by = 1; }
message Query {
  int64 start_time_gte = 1; int64 start_time_lt = 2; int64 page = 3; int64 page_size = 4;
  repeated Sort sort_by = 5; Filter filter = 6; int64 aggregation_interval = 7;
}
message StreamQuery { int64 start_time_gte = 1; Filter filter = 2; int64 aggregation_interval = 3; }
message HintQuery { int32 type = 1; Filter filter = 2; int64 start_time_gte = 3; }
message Meta { int64 totalPages = 1; int64 totalResults = 2; }
message Hint { string value = 1; }
message Hints { Meta meta = 1; repeated Hint hints = 2; }
message Hit {
  int32 kind = 1; string namespace = 2; string name = 3; string tier = 4; int32 action = 5;
  int64 policy_index = 6; int64 rule_index = 7; Hit trigger = 8;
}
message Trace { repeated Hit enforced_policies = 1; repeated Hit pending_policies = 2; }
message Key {
  string source_name = 1; string source_namespace = 2; int32 source_type = 3;
  string dest_name = 4; string dest_namespace = 5; int32 dest_type = 6; int64 dest_port = 7;
  string dest_service_name = 8; string dest_service_namespace = 9; string proto = 12;
  int32 reporter = 13; int32 action = 14; Trace policies = 15;
}
message Flow {
  Key Key = 1; int64 start_time = 2; int64 end_time = 3;
  repeated string source_labels = 4; repeated string dest_labels = 5;
  int64 packets_in = 6; int64 packets_out = 7; int64 bytes_in = 8; int64 bytes_out = 9;
  int64 num_connections_started = 10; int64 num_connections_completed = 11; int64 num_connections_live = 12;
}
message Result { int64 id = 1; Flow flow = 2; }
message Listed { Meta meta = 1; repeated Result flows = 2; }
message Update { Flow flow = 1; }
message Receipt {}
message StatisticsQuery {
  int64 start_time_gte = 1; int64 start_time_lt = 2; int32 type = 3; int32 group_by = 4;
  PolicyMatch policy_match = 5; bool time_series = 6;
}
message Statistic {
  Hit policy = 1; int32 direction = 2; int32 group_by = 3; int32 type = 4;
  repeated int64 allowed_in = 5; repeated int64 allowed_out = 6;
  repeated int64 denied_in = 7; repeated int64 denied_out = 8; repeated int64 x = 11;
}
`;

type Json = Record<string, unknown>;
interface Stream extends AsyncIterable<Json> {
  write(value: Json): void;
  end(): void;
  cancel(): void;
  on(event: string, listener: (value: never) => void): void;
}
type Unary = (request: Json, callback: (error: ServiceError | null, answer: Json) => void) => void;
type Client = Readonly<Record<string, Unary & ((request?: Json) => Stream)>> & { close(): void };
type Service = new (
  address: string,
  credentials: ChannelCredentials,
  options: Record<string, string>,
) => Client;

const START = 1_700_000_010_000;

/** Told by a node of its own label: what differs between nodes is not told. */
function flow(at: number, node: string, more: Partial<Flow> = {}): Flow {
  const source = shopEnd('cart', { labels: { app: 'cart', node } });
  return shopFlow(at, { node, source, ...more });
}

interface Bench {
  readonly clientOf: (service: string) => Client;
  readonly keeper: FlowKeeper;
  readonly server: GoldmaneServer;
  readonly setNow: (ms: number) => void;
}

async function start(
  context: TestContext,
  options: { tls?: GoldmaneTls; credentials?: ChannelCredentials } = {},
): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-goldmane-'));
  const retention = { ageMs: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER };
  const storage = await DuckdbStorage.open({ folder: join(folder, 'flows'), retention });
  let now = START;
  const clock = (): number => now;
  const keeper = new FlowKeeper({ storage, log: () => undefined, now: clock, intervalMs: 20 });
  const server = await GoldmaneServer.listen({
    keeper,
    address: '127.0.0.1:0',
    now: clock,
    pollMs: 20,
    ...(options.tls && { tls: options.tls }),
  });
  const proto = join(folder, 'api.proto');
  writeFileSync(proto, PROTO);
  const loaded = loadPackageDefinition(
    loadSync(proto, { keepCase: true, longs: Number, defaults: true }),
  );
  const services = loaded['goldmane'] as unknown as Readonly<Record<string, Service>>;
  const clients: Client[] = [];
  context.after(async () => {
    for (const client of clients) client.close();
    await server.close();
    await keeper.close();
    await storage.close();
    rmSync(folder, { recursive: true });
  });
  const clientOf = (name: string): Client => {
    const service = services[name];
    assert.ok(service);
    const address = `127.0.0.1:${server.port}`;
    const client = new service(address, options.credentials ?? credentials.createInsecure(), {
      'grpc.ssl_target_name_override': 'localhost',
    });
    clients.push(client);
    return client;
  };
  return { clientOf, keeper, server, setNow: (ms) => void (now = ms) };
}

function call(client: Client, method: string, request: Json): Promise<Json> {
  return new Promise((resolve, reject) => {
    const unary: Unary | undefined = client[method]?.bind(client);
    unary?.(request, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

test('lists merge nodes and time, filter, sort and page', async (context) => {
  const { clientOf, keeper, setNow } = await start(context);
  const flows = clientOf('Flows');
  keeper.add([flow(START, 'one'), flow(START, 'two')]);
  setNow(START + 20_000);
  keeper.add([
    flow(START + 20_000, 'one', {
      connections: { started: 0, completed: 1, live: 0 },
      previousTime: START,
    }),
  ]);
  keeper.add([
    flow(START + 20_000, 'one', {
      verdict: 'deny',
      port: 22,
      packets: { in: 0, out: 5 },
      pending: [
        {
          direction: 'ingress',
          tier: 'default',
          kind: null,
          namespace: null,
          name: null,
          rule: -1,
          action: 'deny',
          trigger: { kind: 'NetworkPolicy', namespace: 'shop', name: 'default.db' },
        },
      ],
    }),
  ]);
  setNow(START + 60_000);
  const all = (await call(flows, 'List', { sort_by: [{ sort_by: 0 }] })) as {
    meta: Json;
    flows: { id: number; flow: Json & { Key: Json } }[];
  };
  assert.deepEqual(all.meta, { totalPages: 1, totalResults: 2 });
  const allowed = all.flows.find(({ flow: { Key } }) => Key['action'] === 1)?.flow;
  assert.deepEqual(
    [
      allowed?.['packets_in'],
      allowed?.['bytes_out'],
      allowed?.['num_connections_started'],
      allowed?.['source_labels'],
    ],
    [12, 90, 2, ['app=cart']],
  );
  assert.equal(allowed?.Key['source_name'], 'cart-*');
  assert.equal(Number(allowed?.['end_time']) - Number(allowed?.['start_time']), 30);
  const denied = (await call(flows, 'List', {
    filter: { actions: [2], dest_ports: [{ port: 22 }] },
  })) as typeof all;
  assert.equal(denied.flows.length, 1);
  const { policies = {} } = denied.flows[0]?.flow.Key ?? {};
  const { pending_policies: ends } = policies as Record<string, Json[]>;
  const { kind, tier, trigger } = ends?.[0] ?? {};
  const { kind: first, namespace, name } = trigger as Json;
  assert.deepEqual([kind, tier, first, namespace, name], [10, 'default', 1, 'shop', 'default.db']);
  const fuzzy = (await call(flows, 'List', {
    filter: {
      source_names: [{ value: 'ar', type: 1 }],
      policies: [{ kind: 1, name: 'default.db', tier: 'default' }],
    },
  })) as typeof all;
  assert.equal(fuzzy.flows.length, 2);
  const none = (await call(flows, 'List', {
    filter: { policies: [{ name: 'other' }] },
  })) as typeof all;
  assert.equal(none.flows.length, 0);
  const count = async (filter: Json): Promise<number> =>
    ((await call(flows, 'List', { filter })) as typeof all).flows.length;
  assert.deepEqual([await count({ reporter: 2 }), await count({ reporter: 1 })], [2, 0]);
  assert.deepEqual(
    [await count({ pending_actions: [2] }), await count({ pending_actions: [1] })],
    [1, 0],
  );
  const steps = (await call(flows, 'List', {
    aggregation_interval: 15,
    page: 1,
    page_size: 2,
  })) as typeof all;
  assert.deepEqual(steps.meta, { totalPages: 2, totalResults: 3 });
  assert.equal(steps.flows.length, 1);
  await assert.rejects(call(flows, 'List', { aggregation_interval: 7 }), (error: ServiceError) => {
    assert.equal(error.code, status.INVALID_ARGUMENT);
    assert.match(error.details, /7 is no multiple of 15/);
    return true;
  });
});

test('hints and statistics', async (context) => {
  const { clientOf, keeper, setNow } = await start(context);
  keeper.add([flow(START, 'one'), flow(START, 'two')]);
  setNow(START + 60_000);
  const values = async (type: number): Promise<string[]> => {
    const answer = (await call(clientOf('Flows'), 'FilterHints', { type })) as {
      hints: { value: string }[];
    };
    return answer.hints.map(({ value }) => value);
  };
  assert.deepEqual(await values(1), ['db-*']);
  assert.deepEqual(await values(4), ['shop']);
  assert.deepEqual(await values(5), ['default']);
  assert.deepEqual(await values(6), ['default.db']);
  assert.deepEqual(await values(7), ['CalicoNetworkPolicy']);
  assert.deepEqual(await values(8), ['shop']);
  const results: Json[] = [];
  const request = { start_time_gte: START / 1_000 - 15, group_by: 1, time_series: true };
  for await (const result of clientOf('Statistics')['List']?.(request) ?? []) results.push(result);
  assert.equal(results.length, 1);
  const [only] = results;
  assert.ok(only);
  assert.deepEqual((only['policy'] as Json)['rule_index'], 1);
  assert.equal(only['direction'], 1);
  const series = only['allowed_in'] as number[];
  assert.equal(
    series.reduce((a, b) => a + b, 0),
    8,
  );
  assert.equal((only['x'] as number[]).length, series.length);
});

test('the end of a tier is told under the policy that made it apply, and staged policies too', async (context) => {
  const { clientOf, keeper, setNow } = await start(context);
  const nobody = { kind: null, namespace: null, name: null, rule: -1 };
  const trigger = { kind: 'NetworkPolicy', namespace: 'shop', name: 'default.db' };
  const step = { direction: 'ingress', tier: 'default', action: 'deny' } as const;
  const staged = { ...step, kind: 'StagedNetworkPolicy', namespace: 'shop', name: 'next', rule: 0 };
  keeper.add([
    flow(START, 'one', {
      verdict: 'deny',
      packets: { in: 0, out: 5 },
      policies: [{ ...step, ...nobody, trigger }],
      pending: [staged, { ...step, ...nobody, trigger }],
    }),
  ]);
  setNow(START + 60_000);
  const hints = (await call(clientOf('Flows'), 'FilterHints', { type: 6 })) as {
    hints: { value: string }[];
  };
  assert.deepEqual(
    hints.hints.map(({ value }) => value),
    ['default.db', 'next'],
  );
  const listed = (await call(clientOf('Flows'), 'List', {
    filter: { policies: [{ name: 'default.db' }] },
  })) as { flows: unknown[] };
  assert.equal(listed.flows.length, 1);
  const told: unknown[] = [];
  const request = { start_time_gte: START / 1_000 - 15 };
  for await (const result of clientOf('Statistics')['List']?.(request) ?? []) {
    const { policy, denied_in: denied } = result as { policy: Json; denied_in: number[] };
    told.push([policy['kind'], policy['name'], denied]);
  }
  assert.deepEqual(told, [
    [1, 'default.db', [5]],
    [3, 'next', [5]],
  ]);
});

test('a stream tells each closed bucket once', async (context) => {
  const { clientOf, keeper, setNow } = await start(context);
  const stream = clientOf('Flows')['Stream']?.({ start_time_gte: START / 1_000 });
  assert.ok(stream);
  const told: Json[] = [];
  const reading = (async () => {
    for await (const result of stream) {
      told.push(result);
      if (told.length === 2) break;
    }
  })().catch(() => undefined);
  keeper.add([flow(START, 'one'), flow(START, 'two')]);
  setNow(START + 31_000);
  keeper.add([flow(START + 31_000, 'one')]);
  await new Promise((resolve) => setTimeout(resolve, 200));
  setNow(START + 80_000);
  await reading;
  assert.deepEqual(
    told.map(({ flow: told }) => (told as Json)['packets_in']),
    [8, 4],
  );
  assert.equal(told[0]?.['id'], told[1]?.['id']);
});

test('flows of other agents are taken in once, though they are sent again', async (context) => {
  const { clientOf, keeper, server } = await start(context);
  const update = {
    flow: {
      Key: {
        source_name: 'a-*',
        source_namespace: 'x',
        source_type: 1,
        dest_name: 'pub',
        dest_type: 4,
        dest_port: 443,
        proto: 'TCP',
        reporter: 1,
        action: 1,
      },
      start_time: START / 1_000,
      end_time: START / 1_000 + 15,
      packets_out: 7,
    },
  };
  for (let connection = 0; connection < 2; connection++) {
    const call = clientOf('FlowCollector')['Connect']?.();
    assert.ok(call);
    call.write(update);
    call.end();
    let receipts = 0;
    for await (const _ of call) receipts++;
    assert.equal(receipts, 1);
  }
  assert.equal(server.counts.collected, 1);
  const { received } = server.counts;
  assert.deepEqual([...received.keys()], ['127.0.0.1']);
  assert.ok((received.get('127.0.0.1') ?? 0) > 1, 'also what came before');
  const [record] = keeper.unkept;
  assert.deepEqual(
    [record?.packets.out, record?.protocol, record?.destination.type],
    [7, 'tcp', 'network'],
  );
});

test('with TLS a client needs a certificate, and off loopback TLS is needed', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-goldmane-tls-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = (name: string): string => join(folder, name);
  const openssl = (...words: string[]): void =>
    void execFileSync('openssl', words, { stdio: 'ignore' });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=test',
    '-addext',
    'subjectAltName=DNS:localhost',
    '-keyout',
    file('key'),
    '-out',
    file('cert'),
  );
  const tls = { certFile: file('cert'), keyFile: file('key'), caFile: file('cert') };
  const cert = readFileSync(tls.certFile);
  const own = credentials.createSsl(cert, readFileSync(tls.keyFile), cert);
  const good = await start(context, { tls, credentials: own });
  assert.ok(await call(good.clientOf('Flows'), 'List', {}));
  const bare = await start(context, { tls, credentials: credentials.createSsl(cert) });
  await assert.rejects(call(bare.clientOf('Flows'), 'List', {}));
  await assert.rejects(GoldmaneServer.listen({ keeper: good.keeper, address: '0.0.0.0:0' }), {
    message: /Cannot serve flows at 0\.0\.0\.0:0 without TLS/,
  });
});

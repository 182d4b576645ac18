// For tests: an API server in this process on a free loopback port, with clients of it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SERVED_KINDS } from '#api';
import { ApiClient, openSqliteStore } from '#datastore';
import { ApiServer } from './api-server.ts';
import { serverCertificate } from './certificate-authority.ts';
import { FlowLogStore } from './flow-log-store.ts';
import { Resources } from './resources.ts';
import { seed } from './seed.ts';
import { Tokens, type User } from './tokens.ts';

export interface ServerFixture {
  readonly url: string;
  readonly ca: string;
  /** The administrator. */
  readonly admin: ApiClient;
  readonly resources: Resources;
  readonly clientOf: (user: User | { token: string }) => ApiClient;
}

/** Nodes `n1` and `n2` have tokens. Everything ends with the test. */
export async function startServer(
  context: TestContext,
  options: { logEvents?: number; suffix?: () => string } = {},
): Promise<ServerFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'tortie-server-'));
  const store = await openSqliteStore({
    path: join(folder, 'store.db'),
    log: { events: options.logEvents ?? 1000, bytes: 10_000_000 },
  });
  const failures: unknown[] = [];
  const onError = (error: unknown): void => void failures.push(error);
  const resources = new Resources({ store, kinds: SERVED_KINDS, onError, graceMs: 20, ...options });
  await seed(resources);
  await resources.resume();
  const certificate = await serverCertificate(folder, ['127.0.0.1'], Date.now());
  const tokens = await Tokens.load(join(folder, 'tokens'), ['n1', 'n2']);
  const flows = new FlowLogStore();
  const server = new ApiServer({ resources, tokens, certificate, flows, version: 'test', onError });
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  const url = `https://127.0.0.1:${port}`;
  const clients: ApiClient[] = [];
  const clientOf = (user: User | { token: string }): ApiClient => {
    const token = 'token' in user ? user.token : (tokens.tokenOf(user) ?? '');
    const client = new ApiClient({ server: url, ca: certificate.ca, token });
    clients.push(client);
    return client;
  };
  context.after(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await server.close();
    flows.close();
    await resources.close();
    await store.close();
    await rm(folder, { recursive: true, force: true });
    if (failures.length > 0) throw new AggregateError(failures, 'the server failed');
  });
  const admin = clientOf({ kind: 'admin', name: 'admin' });
  return { url, ca: certificate.ca, admin, resources, clientOf };
}

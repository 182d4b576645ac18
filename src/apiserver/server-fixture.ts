// For tests: an API server in this process on a free loopback port, with clients of it.
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { SERVED_KINDS } from '#api';
import { ApiClient, type ClientConfig, openSqliteStore } from '#datastore';
import { ApiServer, type ApiServerOptions } from './api-server.ts';
import type { Auditor } from './audit/auditor.ts';
import { AccessControl, type AccessControlOptions } from './auth/access-control.ts';
import type { User } from './auth/tokens.ts';
import { serverCertificate } from './certificate-authority.ts';
import { FlowLogStore } from './flow-log-store.ts';
import { Resources } from './resources.ts';
import { seed } from './seed.ts';
import type { WatchLimits } from './watch-response.ts';

export interface ServerFixture {
  readonly url: string;
  readonly ca: string;
  /** The administrator. */
  readonly admin: ApiClient;
  readonly adminToken: string;
  readonly resources: Resources;
  readonly access: AccessControl;
  readonly api: ApiServer;
  /** Holds the authority and the tokens. */
  readonly folder: string;
  readonly clientOf: (user: User | Partial<ClientConfig>) => ApiClient;
}

/** Nodes `n1` and `n2` have tokens. Everything ends with the test. */
export async function startServer(
  context: TestContext,
  options: {
    logEvents?: number;
    suffix?: () => string;
    watchLimits?: WatchLimits;
    access?: Partial<AccessControlOptions>;
    limits?: ApiServerOptions['limits'];
    auditor?: Auditor;
  } = {},
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
  await mkdir(join(folder, 'pki'));
  const access = await AccessControl.open({
    folder,
    resources,
    nodes: ['n1', 'n2'],
    clientCa: certificate.ca,
    onError,
    ...options.access,
  });
  const flows = new FlowLogStore();
  const { limits, auditor } = options;
  const server = new ApiServer({
    resources,
    access,
    certificate,
    flows,
    limits,
    auditor,
    version: 'test',
    onError,
  });
  const port = await server.listen({ host: '127.0.0.1', port: 0 });
  const url = `https://127.0.0.1:${port}`;
  const clients: ApiClient[] = [];
  const clientOf = (user: User | Partial<ClientConfig>): ApiClient => {
    const token = 'kind' in user ? access.tokens.tokenOf(user) : undefined;
    const credential = 'kind' in user ? (token === undefined ? {} : { token }) : user;
    const client = new ApiClient({ server: url, ca: certificate.ca, ...credential });
    clients.push(client);
    return client;
  };
  context.after(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await server.close();
    flows.close();
    await access.close();
    await resources.close();
    await store.close();
    await rm(folder, { recursive: true, force: true });
    if (failures.length > 0) throw new AggregateError(failures, 'the server failed');
  });
  const admin = clientOf({ kind: 'admin', name: 'admin' });
  const adminToken = access.tokens.tokenOf({ kind: 'admin', name: 'admin' }) ?? '';
  return {
    url,
    ca: certificate.ca,
    admin,
    adminToken,
    resources,
    access,
    api: server,
    folder,
    clientOf,
  };
}

/** The administrator's GET, whatever its status. */
export async function getJson(
  { url, ca, adminToken }: ServerFixture,
  path: string,
  headers: Record<string, string> = {},
): Promise<Record<string, unknown>> {
  const sent = request(`${url}${path}`, {
    ca,
    headers: { authorization: `Bearer ${adminToken}`, ...headers },
  });
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  return JSON.parse(await text(answer)) as Record<string, unknown>;
}

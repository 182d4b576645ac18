// For tests: Debian's ClickHouse as two shards of two replicas, with Debian's ZooKeeper, all on loopback.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

export const CLICKHOUSE = '/usr/sbin/clickhouse-server';
/** A server that is starting may take a connection and say nothing. */
const ANSWER_MS = 2_000;
const JARS = ['zookeeper', 'slf4j-simple'].map((name) => `/usr/share/java/${name}.jar`);

/** Why it cannot run here; false where it can. For node:test's `skip`. */
export function clickhouseMissing(): string | false {
  const missing = [CLICKHOUSE, ...JARS].find((path) => !existsSync(path));
  return missing === undefined
    ? false
    : `${missing} is not there: apt install clickhouse-server zookeeper`;
}

export interface ClickhouseServer {
  readonly url: string;
  /** Kills it with -9. */
  readonly kill: () => Promise<void>;
}

export interface ClickhouseCluster {
  /** Replicas of the first shard, then of the second. */
  readonly servers: readonly ClickhouseServer[];
  readonly cluster: string;
}

interface Ports {
  readonly http: number;
  readonly tcp: number;
  readonly interserver: number;
}

/** One server alone. */
export async function startClickhouse(context: TestContext): Promise<ClickhouseServer> {
  const [ports] = await freePorts(1);
  if (!ports) throw new Error('no ports');
  return startServer(context, { folder: temporaryFolder(context), ports, extra: '' });
}

export async function startClickhouseCluster(context: TestContext): Promise<ClickhouseCluster> {
  const folder = temporaryFolder(context);
  const all = await freePorts(5);
  const zookeeper = all[4]?.tcp ?? 0;
  await startZookeeper(context, join(folder, 'zookeeper'), zookeeper);
  const replica = (index: number): string =>
    `<replica><host>127.0.0.1</host><port>${all[index]?.tcp}</port></replica>`;
  const shard = (first: number): string =>
    `<shard><internal_replication>true</internal_replication>${replica(first)}${replica(first + 1)}</shard>`;
  const servers = await Promise.all(
    all.slice(0, 4).map((ports, index) =>
      startServer(context, {
        folder: join(folder, `server-${index}`),
        ports,
        extra:
          `<remote_servers><fleet>${shard(0)}${shard(2)}</fleet></remote_servers>` +
          `<zookeeper><node><host>127.0.0.1</host><port>${zookeeper}</port></node></zookeeper>` +
          `<macros><shard>${index < 2 ? 1 : 2}</shard><replica>r${index}</replica></macros>` +
          '<distributed_ddl><path>/clickhouse/task_queue/ddl</path></distributed_ddl>',
      }),
    ),
  );
  return { servers, cluster: 'fleet' };
}

function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-clickhouse-'));
  context.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<Ports[]> {
  const servers = await Promise.all(
    Array.from({ length: count * 3 }, async () => {
      const server = createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === 'object' && address ? address.port : 0;
  });
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return Array.from({ length: count }, (_, index) => ({
    http: ports[index * 3] ?? 0,
    tcp: ports[index * 3 + 1] ?? 0,
    interserver: ports[index * 3 + 2] ?? 0,
  }));
}

async function startZookeeper(context: TestContext, folder: string, port: number): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'zoo.cfg');
  writeFileSync(
    config,
    [
      'tickTime=3000',
      `dataDir=${folder}/data`,
      `clientPort=${port}`,
      'clientPortAddress=127.0.0.1',
      'admin.enableServer=false\n',
    ].join('\n'),
  );
  const main = 'org.apache.zookeeper.server.ZooKeeperServerMain';
  const child = spawn('java', ['-Xmx128m', '-cp', JARS.join(':'), main, config], {
    stdio: 'ignore',
    cwd: folder,
  });
  endWith(context, child);
  for (let tries = 0; tries < 300 && child.exitCode === null; tries++) {
    if (await answers(port)) return;
    await sleep(100);
  }
  throw new Error('ZooKeeper did not start');
}

/** It listens before it serves: then its state has no mode. */
async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error('no answer')));
  try {
    await once(socket, 'connect');
    socket.write('srvr');
    let said = '';
    for await (const chunk of socket) said += String(chunk);
    return said.includes('Mode:');
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

interface ServerPlan {
  readonly folder: string;
  readonly ports: Ports;
  readonly extra: string;
}

async function startServer(
  context: TestContext,
  { folder, ports, extra }: ServerPlan,
): Promise<ClickhouseServer> {
  mkdirSync(join(folder, 'data'), { recursive: true });
  const log = join(folder, 'log');
  writeFileSync(
    join(folder, 'users.xml'),
    '<yandex><profiles><default/></profiles><users><default><password></password>' +
      '<networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>' +
      '</default></users><quotas><default/></quotas></yandex>',
  );
  writeFileSync(
    join(folder, 'config.xml'),
    `<yandex><logger><level>warning</level><log>${log}</log><errorlog>${log}.err</errorlog></logger>` +
      `<listen_host>127.0.0.1</listen_host><http_port>${ports.http}</http_port>` +
      `<tcp_port>${ports.tcp}</tcp_port><interserver_http_port>${ports.interserver}</interserver_http_port>` +
      '<interserver_http_host>127.0.0.1</interserver_http_host>' +
      `<path>${folder}/data/</path><tmp_path>${folder}/tmp/</tmp_path>` +
      `<users_config>${folder}/users.xml</users_config><mark_cache_size>5368709</mark_cache_size>` +
      `<default_profile>default</default_profile><default_database>default</default_database>${extra}</yandex>`,
  );
  const child = spawn(CLICKHOUSE, [`--config-file=${folder}/config.xml`], {
    stdio: 'ignore',
    cwd: folder,
  });
  const kill = endWith(context, child);
  const url = `http://127.0.0.1:${ports.http}`;
  for (let tries = 0; tries < 300 && child.exitCode === null; tries++) {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(`${url}/ping`, { signal }).catch(() => undefined);
    if (answer?.ok) return { url, kill };
    await sleep(100);
  }
  const said = existsSync(`${log}.err`) ? readFileSync(`${log}.err`, 'utf8').slice(-2_000) : '';
  throw new Error(`ClickHouse did not start: ${said}`);
}

/** Ends the process with the test, by its own id. */
function endWith(context: TestContext, child: ChildProcess): () => Promise<void> {
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  context.after(kill);
  return kill;
}

// `tortie server`: reads the command line, builds store, API server and flow log, and connects them.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { type Logger, pino } from 'pino';
import { SERVED_KINDS } from '#api';
import {
  AccessControl,
  ApiServer,
  CertificateKeeper,
  clientCertificate,
  FlowLogStore,
  kubeconfigText,
  replaceFile,
  Resources,
  seed,
  type ServerCertificate,
  serverCertificate,
  type User,
} from '#apiserver';
import type { Store } from '#datastore';
import type { GoldmaneServer } from '#goldmane';
import {
  accessOptions,
  type AccessFlags,
  addAccessFlags,
  clientCa,
  givenCertificate,
} from './server-access.ts';
import { addLimitFlags, type LimitFlags, limitsOf, openAuditLog } from './server-limits.ts';
import { checkServerFiles } from './server-files.ts';
import { addStoreOptions, openStore, type StoreFlags, usesEtcd } from './server-store.ts';
import { startAddressController } from './address-controller.ts';
import { startEnforcementController } from './enforcement-controller.ts';
import {
  type FlowKeeping,
  type FlowKeepingFlags,
  openFlowKeeping,
  withFlowKeepingFlags,
} from './flow-keeping.ts';
import { handedDown } from './handed-down.ts';
import { startNodeMirror } from './node-mirror.ts';
import {
  type ListenAddress,
  listenAddressText,
  LOOPBACK_HOSTS,
  readListenAddress,
} from './listen-address.ts';
import {
  type MetricsFlags,
  metricsTls,
  startServerMetrics,
  withMetricsFlags,
} from './server-metrics.ts';
import { type GoldmaneFlags, startGoldmane, withGoldmaneFlags } from './goldmane.ts';
import { VERSION } from './version.ts';

interface ServerFlags
  extends StoreFlags,
    AccessFlags,
    LimitFlags,
    FlowKeepingFlags,
    GoldmaneFlags,
    MetricsFlags {
  readonly listen?: readonly ListenAddress[];
  readonly advertise?: URL;
  readonly node?: readonly string[];
  readonly san?: readonly string[];
}

const DEFAULT_LISTEN: readonly ListenAddress[] = [{ host: '127.0.0.1', port: 6443 }];

/** Adds the subcommand; it runs until SIGTERM or SIGINT. */
export function addServerCommand(program: Command): void {
  const command = program
    .command('server')
    .description('run the store and the API server')
    .requiredOption('--data <dir>', 'folder for the store, keys, tokens and kubeconfig files');
  addStoreOptions(command)
    .option('--listen <host:port>', 'address to serve on (127.0.0.1:6443); repeatable', addAddress)
    .option('--advertise <url>', 'https://HOST:PORT at which nodes reach this server', readUrl)
    .option('--node <name>', 'make a token and DIR/nodes/NAME.kubeconfig; repeatable', append)
    .option('--san <host>', 'one more name or address for the certificate; repeatable', append);
  addAccessFlags(command);
  addLimitFlags(command);
  withGoldmaneFlags(withMetricsFlags(withFlowKeepingFlags(command)))
    .addHelpText(
      'after',
      '\nSockets handed down as systemd does (LISTEN_FDS) are served too, with metrics those named metrics.',
    )
    .action(serve);
}

async function serve(flags: ServerFlags): Promise<void> {
  // Refused before anything is opened.
  metricsTls(flags);
  checkServerFiles(flags);
  const log = pino({ name: 'server' }, pino.destination(2));
  // Keys, tokens and the store are for their owner alone.
  process.umask(0o077);
  for (const folder of ['nodes', 'pki', 'users']) {
    await mkdir(join(flags.data, folder), { recursive: true });
  }
  // What is opened is closed, last first, wherever the start fails: a server with a wrong flag ends.
  await using opened = new AsyncDisposableStack();
  const store = await openStore(flags, log);
  opened.defer(() => store.close());
  await serveStore(store, { flags, log, opened });
}

async function serveStore(
  store: Store,
  parts: { flags: ServerFlags; log: Logger; opened: AsyncDisposableStack },
): Promise<void> {
  const { flags, log, opened } = parts;
  const { data, listen = DEFAULT_LISTEN, node: nodes = [] } = flags;
  const resources = new Resources({
    store,
    kinds: SERVED_KINDS,
    onError: (error) => log.error({ err: error }, 'cannot finish a deletion; trying again'),
  });
  opened.defer(() => resources.close());
  await seed(resources);
  await resources.resume();
  const ownCertificate = (): Promise<ServerCertificate> =>
    serverCertificate(join(data, 'pki'), hostsOf(flags, listen), Date.now());
  const own = await ownCertificate();
  const certificate = (await givenCertificate(flags)) ?? own;
  const access = await AccessControl.open({
    ...(await accessOptions(flags, own.ca)),
    folder: data,
    resources,
    nodes,
    onError: (error) => log.error({ err: error }, 'access control failed'),
  });
  opened.defer(() => access.close());
  const audit = await openAuditLog(flags, (error) => log.error({ err: error }, 'audit log'));
  opened.defer(() => audit.close());
  const keeping = await openFlowKeeping(flags, (message) => log.warn(message));
  opened.defer(async () => keeping?.close());
  const flows = new FlowLogStore(keeping && { keeping });
  opened.defer(() => flows.close());
  const server = new ApiServer({
    resources,
    access,
    certificate,
    flows,
    limits: limitsOf(flags),
    auditor: audit.auditor,
    version: VERSION,
    onError: (error, request) => log.error({ err: error, ...request }, 'request failed'),
  });
  opened.defer(() => server.close());
  const url = await listenAll(server, listen, log);
  const write = (pair: ServerCertificate): Promise<void> =>
    writeKubeconfigs({ flags, url, certificate: pair, access });
  await write(certificate);
  const keeper = new CertificateKeeper(
    { certificate, clientCa: access.clientAuthorities.pem },
    {
      certificate: async () => (await givenCertificate(flags)) ?? (await ownCertificate()),
      clientCa: async () => clientCa(flags, (await ownCertificate()).ca),
      onCertificate: (pair) => server.renew(pair),
      onClientCa: (pem) => access.clientAuthorities.replace(pem),
      onCheck: async () => write((await givenCertificate(flags)) ?? (await ownCertificate())),
      onError: (error) => log.error({ err: error }, 'cannot take new certificates; the old stay'),
    },
  );
  opened.defer(() => keeper.close());
  const goldmane = await startGoldmane(flags, keeping);
  opened.defer(async () => goldmane?.close());
  if (goldmane) log.info({ port: goldmane.port }, "Goldmane's API is served");
  const reread = (): void => void keeper.check();
  process.on('SIGHUP', reread);
  opened.defer(() => void process.off('SIGHUP', reread));
  const kubeconfig = join(data, 'kubeconfig');
  const ready = `tortie server ready at ${url} (kubeconfig ${kubeconfig})\n`;
  await control({ flags, kubeconfig, ready, resources, keeping, goldmane, log });
}

/** Runs controllers and metrics, says that all is ready, and waits for the signal to stop. */
async function control(parts: {
  flags: ServerFlags;
  kubeconfig: string;
  ready: string;
  resources: Resources;
  keeping: FlowKeeping | undefined;
  goldmane: GoldmaneServer | undefined;
  log: Logger;
}): Promise<void> {
  const { kubeconfig, ready, log } = parts;
  const addresses = startAddressController(kubeconfig, log);
  const enforcement = startEnforcementController(kubeconfig, log);
  const mirror = usesEtcd(parts.flags) ? startNodeMirror(kubeconfig, log) : undefined;
  try {
    const metrics = await startServerMetrics({ ...parts, addresses });
    process.stdout.write(ready);
    await stopSignal();
    log.info('stopping');
    await metrics.stop();
  } finally {
    await mirror?.stop();
    await enforcement.stop();
    await addresses.stop();
  }
}

/** Serves on every address and descriptor; returns the URL of the first loopback one, if any. */
async function listenAll(
  server: ApiServer,
  addresses: readonly ListenAddress[],
  log: Logger,
): Promise<string> {
  const bound: ListenAddress[] = [];
  for (const { host, port } of addresses) {
    bound.push({ host, port: await server.listen({ host, port }) });
  }
  for (const fd of handedDown().api) await server.listen({ fd });
  log.info({ addresses: bound.map(listenAddressText), version: VERSION }, 'listening');
  const local = bound.find(({ host }) => LOOPBACK_HOSTS.includes(host)) ?? bound[0];
  if (!local) throw new Error('cannot serve: there is no address to listen on; give --listen');
  return `https://${listenAddressText(local)}`;
}

function hostsOf({ advertise, san = [] }: ServerFlags, listen: readonly ListenAddress[]): string[] {
  const hosts = [...LOOPBACK_HOSTS, ...listen.map(({ host }) => host), ...san];
  if (advertise) hosts.push(advertise.hostname.replaceAll(/[[\]]/g, ''));
  return [...new Set(hosts.filter((host) => host !== '0.0.0.0' && host !== '::'))];
}

async function writeKubeconfigs(parts: {
  flags: ServerFlags;
  url: string;
  certificate: ServerCertificate;
  access: AccessControl;
}): Promise<void> {
  const { flags, url, certificate, access } = parts;
  const write = async (path: string, server: string, user: User): Promise<void> => {
    const token = access.tokens.tokenOf(user);
    if (token === undefined) throw new Error(`there is no token for ${user.kind} "${user.name}"`);
    const name = `${user.kind}-${user.name}`;
    const contents = { server, ca: certificate.ca, user: name, credential: { token } };
    await writeChanged(path, kubeconfigText(contents));
  };
  await write(join(flags.data, 'kubeconfig'), url, { kind: 'admin', name: 'admin' });
  const advertised = flags.advertise?.origin ?? url;
  for (const name of flags.node ?? []) {
    const path = join(flags.data, 'nodes', `${name}.kubeconfig`);
    await write(path, advertised, { kind: 'node', name });
  }
  const users = join(flags.data, 'users');
  for (const { name, groups } of flags.user ?? []) {
    const subject = { commonName: name, organizations: groups };
    const issuer = { authorityFolder: join(flags.data, 'pki'), now: Date.now() };
    const credential = await clientCertificate(users, subject, issuer);
    const contents = { server: advertised, ca: certificate.ca, user: name, credential };
    await writeChanged(join(users, `${name}.kubeconfig`), kubeconfigText(contents));
  }
}

async function writeChanged(path: string, content: string): Promise<void> {
  const kept = await readFile(path, 'utf8').catch(() => undefined);
  if (kept !== content) await replaceFile(path, content);
}

function stopSignal(): Promise<unknown> {
  return Promise.race([
    new Promise((resolve) => process.once('SIGTERM', resolve)),
    new Promise((resolve) => process.once('SIGINT', resolve)),
  ]);
}

function append(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

function addAddress(
  value: string,
  previous: readonly ListenAddress[] = [],
): readonly ListenAddress[] {
  return [...previous, readListenAddress(value)];
}

function readUrl(value: string): URL {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url?.protocol !== 'https:' || url.pathname !== '/') {
    throw new InvalidArgumentError('Write https://HOST:PORT.');
  }
  return url;
}

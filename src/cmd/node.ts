// `tortie node`: the agent of one node. Builds the parts, connects them, says when it is ready.
import { existsSync, mkdirSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type Logger, pino } from 'pino';
import {
  ApplyLoop,
  type Calculation,
  type HealthReport,
  listenForArrival,
  LiveMigrations,
  HeldUpdates,
  NodeAnnotator,
  PendingChanges,
  PendingJudge,
  PoolSelection,
  StaleConnections,
  StatusReporter,
  ToldProblems,
} from '#agent';
import {
  apiVersionOf,
  kindOf,
  type KindDefinition,
  nodeKind,
  packetCaptureKind,
  type ParameterSource,
  parametersInEnvironment,
  parametersInFile,
  pendingChangeKind,
  type Resource,
  SERVED_KINDS,
  serviceKind,
} from '#api';
import { CalcGraph, isInputKind } from '#calc';
import { CniServer, PodNetwork, VethDriver } from '#cni';
import { type ApplyReport, Dataplane, workloadMtu } from '#dataplane';
import { ApiClient, ApiError, loadKubeconfig, readGivenFile } from '#datastore/client';
import { Syncer, type SyncerUpdate } from '#datastore/syncer';
import { Directory } from '#flows';
import { BlockAllocator, Inventory, INVENTORY_KINDS, reconcileTunnels } from '#ipam';
import {
  announceAddress,
  ConntrackSocket,
  currentNamespace,
  hostProblems,
  NftablesSocket,
  RouteSocket,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from '#linux';
import { watchDrift } from './node-drift.ts';
import { watchUndo } from './node-undo.ts';
import { startCaptures } from './node-captures.ts';
import { type NodeFlows, startFlows } from './node-flows.ts';
import { NodeMetrics } from './node-metrics.ts';
import { NodeSettings } from './node-settings.ts';
import { VERSION } from './version.ts';

interface NodeOptions {
  readonly name: string;
  readonly kubeconfig: string;
  readonly runDir: string;
  readonly configFile: string;
  readonly logLevel?: string;
  readonly mtuFile: string;
  readonly ipamHandles?: boolean;
}

const OTHER_KINDS: readonly KindDefinition[] = [packetCaptureKind, pendingChangeKind, serviceKind];

/** What calculation, addresses, the undoing of changes and the names of flows need of the store. */
function isRead(kind: KindDefinition): boolean {
  return isInputKind(kind) || INVENTORY_KINDS.includes(kind) || OTHER_KINDS.includes(kind);
}

/** What the node's kernel must be told before it can count connections. */
const SYSCTLS: readonly (readonly [path: string, value: string])[] = [
  ['net/netfilter/nf_conntrack_acct', '1'],
];
const CONFIG_FILE = '/etc/calico/felix.cfg';

/** Of what was refused or repaired at once. */
const LOGGED_MAX = 50;

export function addNodeCommand(program: Command): void {
  program
    .command('node')
    .description("run the agent of one node, in that node's network namespace (needs root)")
    .requiredOption('--name <name>', 'the Node this agent serves')
    .requiredOption('--kubeconfig <file>', 'how to reach the server')
    .option('--run-dir <dir>', 'where the CNI socket stands', '/run/tortie')
    .option('--config-file <file>', 'parameters of this host alone', CONFIG_FILE)
    .option('--log-level <level>', 'debug, info, warn or error; absent: logSeverityScreen')
    .option('--mtu-file <file>', 'where the MTU of pods is written', '/var/lib/calico/mtu')
    .option('--ipam-handles', "write IPAMHandle objects too, for Calico's tools: a write each pod")
    .action((options: NodeOptions) => runNode(options));
}

async function runNode(options: NodeOptions): Promise<void> {
  const host = { platform: process.platform, kernel: release(), userId: process.getuid?.() };
  const problems = hostProblems(host, 'programs the kernel');
  if (problems.length > 0) throw new Error(`Cannot run the agent: ${problems.join('; ')}`);
  const level = options.logLevel ?? 'info';
  const output = pino.destination(2);
  let logErrors = 0;
  // Who reads the log may go; the host's network stays as it is to be.
  output.on('error', () => logErrors++);
  const log = pino({ level, name: options.name }, output);
  mkdirSync(options.runDir, { recursive: true, mode: 0o700 });
  for (const [path, value] of SYSCTLS) writeSysctlInNamespace(currentNamespace(), path, value);

  const client = new ApiClient(loadKubeconfig(options.kubeconfig));
  const calc = new CalcGraph(options.name, localParameters(options.configFile));
  const directory = new Directory();
  const staged = new PendingJudge();
  const pools = new PoolSelection(options.name);
  const writesHandles = options.ipamHandles === true;
  const inventory = new Inventory(client, { withHandles: writesHandles });
  const routes = RouteSocket.open();
  const nftables = NftablesSocket.open();
  const dataplane = new Dataplane({
    nftables,
    routes,
    sysctls: sysctlsOfNamespace(currentNamespace()),
    log: (message) => log.warn(message),
    announce: (answered) => announceAddress(answered),
    onRoutesRead: (seconds) => metrics.agent.onRoutesRead(seconds),
  });
  const reporter = new StatusReporter({
    send: (status) => storeStatus(client, options.name, status),
    log: (message) => log.warn(message),
    version: VERSION,
    kernelWrites: () => dataplane.writes,
    ready: () => loop.ready,
  });
  const connections = ConntrackSocket.open({ events: [] });
  const onForgotten = (forgotten: number) => {
    if (forgotten > 0) log.info({ forgotten }, 'connections of workloads that have gone');
  };
  const stale = new StaleConnections(connections, { onForgotten });
  const told = new ToldProblems((problem) =>
    log.warn(problem, 'a resource is not as it should be'),
  );
  const metrics: NodeMetrics = new NodeMetrics({
    node: options.name,
    sources: {
      dataplane: () => dataplane.counts,
      matching: () => calc.matching(),
      log: () => flows.groups(),
      logErrors: () => logErrors,
      names: () => directory.counts,
      flows: {
        connections: () => flows.connections(),
        reports: () => flows.reports(),
        waiting: () => flows.waiting(),
        merged: () => flows.merged(),
        overruns: () => flows.overruns(),
        lost: () => flows.lost(),
        fileEntries: (verdict) => flows.fileEntries(verdict),
        evaluations: () => staged.evaluations,
      },
    },
    log: (message) => log.info(message),
  });
  const settings = new NodeSettings({
    dataplane,
    routes,
    loop: () => loop,
    log,
    logLevel: options.logLevel,
    mtuFile: options.mtuFile,
  });
  const migrations = new LiveMigrations({
    listen: (name, onArrival) => listenForArrival(name, onArrival),
    isRouted: (endpoint) => dataplane.isRouted(endpoint),
    onChange: () => loop.repair([]),
    log: (message) => log.info(message),
  });
  const undo = watchUndo({
    runDir: options.runDir,
    calculation: calc,
    pending: () => pending,
    enforceMeanwhile: (state) => loop.enforceMeanwhile(state),
    log: (message) => log.warn(message),
  });
  const loop: ApplyLoop = new ApplyLoop({
    calculation: watched(metrics.calculation(undo.calculation), settings.health, migrations),
    enforcer: metrics.enforcer(dataplane),
    onApplied: (state, report) => {
      const openMs = drift.onApplied(report.repaired);
      logApply(log, report, openMs);
      metrics.onParameters(calc.parameters().values);
      onForgotten(stale.onApplied(state));
      reporter.onApplied(state, report, openMs);
      drift.onSettings(state.settings);
      annotator.onSettings(state.settings);
      settings.onApplied(state, calc.parameters().values);
      const settleMs = calc.parameters().values.get('LiveMigrationRouteConvergenceTime');
      migrations.setSettleTime(Number(settleMs));
      flows.onState(state, calc.parameters().values);
      told.tell(calc.problems());
    },
  });
  const deliver = (updates: readonly SyncerUpdate[]) => {
    reporter.onUpdates(updates);
    staged.onUpdates(updates);
    loop.onUpdates(updates);
  };
  const pending: PendingChanges = new PendingChanges({
    deliver,
    log: (message) => log.warn(message),
    dueTimes: undo.dueTimes,
  });
  const held = new HeldUpdates({
    deliver: (updates) => deliver(pending.onUpdates(updates)),
    log: (message) => log.warn(message),
  });
  const allocator = new BlockAllocator({
    client,
    nodeName: options.name,
    poolSelects: pools,
    inventory,
    writesHandles,
  });
  const annotator = new NodeAnnotator({
    nodeName: options.name,
    addresses: () => routes.addresses(),
    tunnels: (known) =>
      reconcileTunnels(allocator, {
        nodeName: options.name,
        pools: known,
        poolSelects: pools,
        wireguard: [],
      }),
    patch: async (annotations) => {
      await client.patch(nodeKind, { name: options.name }, { metadata: { annotations } });
    },
    log: (message) => log.warn(message),
  });
  const drift = watchDrift(
    { routes, nftables },
    (parts) => loop.repair(parts),
    (seen) => {
      metrics.agent.onInterfaces(seen);
      if (seen.addresses > 0) annotator.onAddresses();
    },
  );
  const captures = startCaptures({
    node: options.name,
    client,
    parameters: () => calc.parameters().values,
    log,
  });
  const syncer = new Syncer({
    client,
    kinds: SERVED_KINDS.filter(isRead),
    callbacks: {
      onUpdates: (updates) => {
        directory.onUpdates(updates);
        pools.onUpdates(updates);
        inventory.onUpdates(updates);
        annotator.onUpdates(updates);
        captures.agent.onUpdates(updates);
        held.onUpdates(updates);
      },
      onStatus: (status) => {
        log.info({ status }, 'syncer');
        metrics.agent.onStatus(status);
        inventory.setFed(status === 'in-sync');
        annotator.onStatus(status);
        captures.agent.setInSync(status === 'in-sync');
        reporter.onStatus(status);
        held.onStatus(status);
        if (status === 'in-sync') undo.stop();
        loop.onStatus(status);
      },
    },
  });
  const flows: NodeFlows = startFlows({
    node: options.name,
    client,
    directory,
    staged,
    dataplane,
    log,
    onFlows: (reports) => metrics.rules.onFlows(reports),
    onRead: (seconds) => metrics.agent.onConnectionsRead(seconds),
  });
  const interfaces = new VethDriver({
    mtu: () => workloadMtu(calc.state(), routes.links()),
    log: (message) => log.warn(message),
  });
  const cni = new CniServer({
    socketPath: join(options.runDir, 'cni.sock'),
    handler: new PodNetwork({
      nodeName: options.name,
      client,
      allocator,
      namespaceAnnotations: (namespace) => pools.annotationsOf(namespace),
      interfaces,
      waitEnforced: (endpoint, signal) => loop.waitEnforced(endpoint, signal),
      isReady: () => loop.ready && settings.isReady,
    }),
    log: (message) => log.info(message),
  });
  await cni.listen();
  syncer.start();
  process.stdout.write(`tortie node ${options.name} started\n`);

  await untilTold();
  log.info('stopping; the kernel goes on enforcing what it has');
  await cni.close();
  await interfaces.close();
  await syncer.stop();
  drift.stop();
  annotator.stop();
  held.stop();
  undo.stop();
  pending.stop();
  loop.stop();
  reporter.stop();
  migrations.stop();
  await settings.stop();
  await captures.stop();
  await flows.stop();
  await metrics.stop();
  dataplane.close();
  stale.stop();
  connections.close();
  await client.close();
}

/** The calculation, seen from outside where it does not end, and what migrations make of its state. */
function watched(
  calculation: Calculation,
  health: HealthReport,
  migrations: LiveMigrations,
): Calculation {
  return {
    onUpdates: (updates) => health.calculating(() => calculation.onUpdates(updates)),
    state: () => migrations.amend(health.calculating(() => calculation.state())),
  };
}

/** The agent's status object is made at the first report; a server takes a status only by itself. */
async function storeStatus(client: ApiClient, name: string, status: object): Promise<void> {
  const kind = agentStatusKind();
  const patch = () => client.patch(kind, { name }, { status }, { subresource: 'status' });
  try {
    await patch();
  } catch (error) {
    if (!(error instanceof ApiError && error.notFound)) throw error;
    const object: Resource = {
      apiVersion: apiVersionOf(kind),
      kind: kind.kind,
      metadata: { name },
    };
    await client.create(kind, object);
    await patch();
  }
}

function agentStatusKind(): KindDefinition {
  const kind = kindOf('tortie.dev/v1', 'AgentStatus');
  if (!kind) throw new Error('Cannot find the kind AgentStatus of tortie.dev/v1');
  return kind;
}

function logApply(
  log: Logger,
  report: Pick<ApplyReport, 'writes' | 'errors' | 'repaired'>,
  openMs: number | undefined,
): void {
  const { repaired, errors, writes } = report;
  if (repaired.length > 0) {
    const told = { repaired: repaired.slice(0, LOGGED_MAX), count: repaired.length, openMs };
    log.warn(told, 'somebody else had changed this; it is undone');
  }
  if (errors.length > 0) {
    const told = { errors: errors.slice(0, LOGGED_MAX), count: errors.length };
    log.error(told, 'apply left something undone');
  } else if (writes > 0) log.info({ writes }, 'applied');
}

/** The host's own parameters, the stronger first: FELIX_ variables, then the file, if there is one (spec 04). */
function localParameters(configFile: string): ParameterSource[] {
  const environment: ParameterSource = {
    name: 'environment variables',
    local: true,
    values: parametersInEnvironment(process.env),
  };
  // The usual one need not be there; one that somebody named must.
  if (configFile === CONFIG_FILE && !existsSync(configFile)) return [environment];
  const file = readGivenFile({ name: '--config-file', path: configFile, holds: 'text' });
  const values = parametersInFile(file.toString('utf8'));
  return [environment, { name: `the file ${configFile}`, local: true, values }];
}

/** Resolves at the first SIGTERM or SIGINT. */
function untilTold(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}

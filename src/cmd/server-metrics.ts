// The server's metrics: the flags that say where they are served, what fills them, and their server.
import type { Command } from 'commander';
import type { Logger } from 'pino';
import type { Resources } from '#apiserver';
import type { GoldmaneServer } from '#goldmane';
import {
  flowMeter,
  measureProcess,
  measureServer,
  MetricRegistry,
  type MetricsListener,
  MetricsServer,
  type MetricsTls,
  PROCESS_METRICS,
  SERVER_METRICS,
} from '#metrics';
import type { AddressController } from './address-controller.ts';
import type { FlowKeeping } from './flow-keeping.ts';
import { handedDown } from './handed-down.ts';
import {
  type ListenAddress,
  listenAddressText,
  LOOPBACK_HOSTS,
  readListenAddress,
} from './listen-address.ts';

export interface MetricsFlags {
  readonly metricsListen?: ListenAddress;
  readonly metricsCertFile?: string;
  readonly metricsKeyFile?: string;
  readonly metricsClientCaFile?: string;
}

export interface ServerMetricsParts {
  readonly flags: MetricsFlags;
  readonly resources: Resources;
  readonly addresses: AddressController;
  readonly keeping: FlowKeeping | undefined;
  readonly goldmane: GoldmaneServer | undefined;
  readonly log: Logger;
}

export function withMetricsFlags(command: Command): Command {
  return command
    .option(
      '--metrics-listen <host:port>',
      'serve Prometheus metrics there, to whoever asks: on 127.0.0.1:9094, unless with client certificates',
      readListenAddress,
    )
    .option('--metrics-cert-file <file>', 'serve metrics with TLS: the certificate, as PEM')
    .option('--metrics-key-file <file>', "the certificate's key, as PEM")
    .option(
      '--metrics-client-ca-file <file>',
      'readers of metrics need a certificate signed by one of these',
    );
}

/** Undefined where no TLS is asked for. Throws an Error where what is asked for is not complete. */
export function metricsTls(flags: MetricsFlags): MetricsTls | undefined {
  const { metricsListen, metricsCertFile, metricsKeyFile, metricsClientCaFile } = flags;
  const files = [metricsCertFile, metricsKeyFile, metricsClientCaFile];
  if (files.every((file) => file === undefined)) return undefined;
  if (!metricsListen && handedDown().metrics.length === 0) {
    throw new Error('cannot serve metrics: give --metrics-listen HOST:PORT beside their TLS files');
  }
  if (metricsCertFile === undefined || metricsKeyFile === undefined) {
    throw new Error(
      'cannot serve metrics with TLS: --metrics-cert-file and --metrics-key-file are both needed',
    );
  }
  return {
    certFile: metricsCertFile,
    keyFile: metricsKeyFile,
    ...(metricsClientCaFile !== undefined && { caFile: metricsClientCaFile }),
    clientAuth: metricsClientCaFile === undefined ? 'none' : 'require',
  };
}

/** Serves until `stop`; nothing where no address is given and no socket handed down. Throws where it cannot. */
export async function startServerMetrics(
  parts: ServerMetricsParts,
): Promise<{ readonly stop: () => Promise<void> }> {
  const { flags, resources, addresses, keeping, log } = parts;
  const tls = metricsTls(flags);
  const { metricsListen } = flags;
  const places: MetricsListener[] = handedDown().metrics.map((fd) => ({ fd }));
  if (metricsListen) places.push(metricsListen);
  if (places.length === 0) return { stop: () => Promise.resolve() };
  const metrics = new MetricRegistry([...SERVER_METRICS, ...PROCESS_METRICS]);
  measureServer(metrics, {
    addresses: () => addresses.counts(),
    flows: () => keeping?.keeper.counts,
    goldmane: () => parts.goldmane?.counts,
    requests: () => resources.counts.requests,
    watches: () => resources.counts.watches,
    revision: () => resources.store.revision,
  });
  const meter = flowMeter(metrics);
  keeping?.keeper.measure(meter);
  parts.goldmane?.measure(meter);
  const stopMeasuring = measureProcess(metrics);
  const servers: MetricsServer[] = [];
  for (const where of places) {
    const server = await MetricsServer.listen({
      metrics,
      where,
      log: (message) => log.warn(message),
      ...(tls && { tls }),
    });
    servers.push(server);
    tellPlace(log, where, server.port, tls);
  }
  return {
    stop: async () => {
      stopMeasuring();
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

function tellPlace(
  log: Logger,
  where: MetricsListener,
  port: number,
  tls: MetricsTls | undefined,
): void {
  const host = 'fd' in where ? undefined : where.host;
  const address = host === undefined ? `port ${port}` : listenAddressText({ host, port });
  log.info({ address, tls: tls !== undefined }, 'metrics are served');
  const isOpen = host === undefined || !LOOPBACK_HOSTS.includes(host);
  if (isOpen && tls?.clientAuth !== 'require') {
    log.warn({ address }, 'whoever reaches this address can read metrics');
  }
}

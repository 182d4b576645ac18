// Connects the agent's reading of flows: policy log and connections in, reports to the server out.
import type { Logger } from 'pino';
import { FlowCollector, FlowShipper, type PendingJudge } from '#agent';
import type { Dataplane } from '#dataplane';
import type { ApiClient } from '#datastore/client';
import {
  type ConnectionReport,
  ConnectionTracker,
  describeReport,
  type Directory,
  type Flow,
} from '#flows';
import { ConntrackSocket, LogReader, Poller } from '#linux';

export interface NodeFlowsOptions {
  readonly node: string;
  readonly client: ApiClient;
  readonly directory: Directory;
  readonly staged: PendingJudge;
  readonly dataplane: Dataplane;
  readonly log: Logger;
  /** Also told of each report. */
  readonly onFlows: (flows: readonly Flow[]) => void;
}

/** What has been read so far. */
export interface NodeFlows {
  readonly groups: () => readonly { group: number; received: number; lost: number }[];
  readonly connections: () => number;
  readonly reports: () => number;
  readonly lost: () => number;
  readonly stop: () => Promise<void>;
}

/** NFLOG groups of policy decisions: towards the workload, and from it (spec 03, 3.1). */
const LOG_GROUPS = [1, 2] as const;

export function startFlows(options: NodeFlowsOptions): NodeFlows {
  const { node, client, directory, staged, dataplane, log } = options;
  const context = {
    node,
    directory,
    pendingOf: (report: ConnectionReport) => staged.pendingOf(report),
  };
  const logs = LOG_GROUPS.map((group) => LogReader.open({ group }));
  const conntrack = ConntrackSocket.open({ events: ['new', 'destroy'] });
  const poller = new Poller();
  const tracker = new ConnectionTracker({
    isLocal: (address) => directory.podNode(address) === node,
  });
  let reports = 0;
  const shipper = new FlowShipper({
    send: async (flows: readonly Flow[]) => {
      await client.request('POST', '/apis/flows.tortie.dev/v1/flows', { body: { flows } });
    },
    log: (message) => log.warn(message),
  });
  const collector = new FlowCollector({
    logs,
    conntrack,
    poller,
    tracker,
    hitOf: (prefix) => dataplane.hitOf(prefix),
    onLost: (lost) => log.warn({ lost }, 'flow events were given up; counts of flows are too low'),
    onReports: (told) => {
      const flows = told.map((report) => describeReport(report, context));
      reports += flows.length;
      options.onFlows(flows);
      shipper.add(flows);
      void shipper.ship();
    },
  });
  return {
    groups: () =>
      logs.map((reader, index) => ({
        group: LOG_GROUPS[index] ?? 0,
        received: reader.received,
        lost: reader.lost,
      })),
    connections: () => tracker.size,
    reports: () => reports,
    lost: () => collector.lost + shipper.lost,
    stop: async () => {
      collector.stop();
      poller.close();
      await shipper.ship();
      for (const reader of logs) reader.close();
      conntrack.close();
    },
  };
}

// Connects the agent's reading of flows: policy log and connections in, reports to the server out.
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import {
  BatchRefused,
  FlowFileLog,
  type FlowReadingState,
  FlowShipper,
  FlowWorker,
  type PendingJudge,
} from '#agent';
import type { ParameterValue } from '#api';
import type { DataplaneState } from '#calc';
import type { Dataplane } from '#dataplane';
import { type ApiClient, ApiError } from '#datastore/client';
import { type ConnectionReport, describeReport, type Directory, type Flow } from '#flows';
import { isObject } from '#lib';

export interface NodeFlowsOptions {
  readonly node: string;
  readonly client: ApiClient;
  readonly directory: Directory;
  readonly staged: PendingJudge;
  readonly dataplane: Dataplane;
  readonly log: Logger;
  /** Also told of each report. */
  readonly onFlows: (flows: readonly Flow[]) => void;
  /** How many seconds it took to take connections in, each time. */
  readonly onRead: (seconds: readonly number[]) => void;
}

/** What has been read so far. */
export interface NodeFlows {
  readonly groups: () => FlowReadingState['groups'];
  readonly connections: () => number;
  readonly reports: () => number;
  /** Reports that the server does not have yet, and those that were merged before they were sent. */
  readonly waiting: () => number;
  readonly merged: () => number;
  /** How often connection events were lost. */
  readonly overruns: () => number;
  /** Packets and reports given up. */
  readonly lost: () => number;
  /** Entries of flow log files that wait for the end of their interval. */
  readonly fileEntries: (verdict: Flow['verdict']) => number;
  /** To be called after each apply, with the agent's parameters. */
  readonly onState: (
    state: DataplaneState,
    parameters: ReadonlyMap<string, ParameterValue>,
  ) => void;
  readonly stop: () => Promise<void>;
}

/** NFLOG groups of policy decisions: towards the workload, and from it (spec 03, 3.1). */
const LOG_GROUPS = [1, 2] as const;
const SHIP_MS = 1_000;
const FLOWS_PATH = '/apis/flows.tortie.dev/v1/flows';
const BAD_REQUEST = 400;

export function startFlows(options: NodeFlowsOptions): NodeFlows {
  const { node, client, directory, staged, dataplane, log } = options;
  const context = {
    node,
    directory,
    pendingOf: (report: ConnectionReport) => staged.pendingOf(report),
    triggerOf: (report: ConnectionReport, tier: string, withStaged: boolean) =>
      staged.triggerOf(report, tier, withStaged),
  };
  let reports = 0;
  const shipper = new FlowShipper({
    agent: `${node} ${randomUUID()}`,
    send: async (flows, batch) => {
      try {
        const answer = await client.request('POST', FLOWS_PATH, { body: { flows, batch } });
        const server = isObject(answer) ? answer['server'] : undefined;
        return typeof server === 'string' ? { server } : {};
      } catch (error) {
        if (!(error instanceof ApiError && error.status === BAD_REQUEST)) throw error;
        throw new BatchRefused(error.message);
      }
    },
    log: (message) => log.warn(message),
  });
  const files = new FlowFileLog({ host: node, log: (message) => log.warn(message) });
  const worker = new FlowWorker({
    groups: LOG_GROUPS,
    hitOf: (prefix) => dataplane.hitOf(prefix),
    log: (message) => log.warn(message),
    onRead: options.onRead,
    onReports: (told) => {
      const flows = told.map((report) => describeReport(report, context));
      reports += flows.length;
      options.onFlows(flows);
      shipper.add(flows);
      files.add(flows);
    },
  });
  const timer = setInterval(() => void shipper.ship(), SHIP_MS);
  const lost = (): number => {
    const { groups = [], dropped = 0, unnamed = 0 } = worker.state ?? {};
    return (
      groups.reduce((sum, group) => sum + group.lost + group.unreadable, dropped + unnamed) +
      shipper.lost
    );
  };
  return {
    groups: () =>
      LOG_GROUPS.map((group) => {
        const known = worker.state?.groups.find((one) => one.group === group);
        return known ?? { group, received: 0, datagrams: 0, lost: 0, unreadable: 0 };
      }),
    connections: () => worker.state?.connections ?? 0,
    reports: () => reports,
    waiting: () => shipper.waiting,
    merged: () => shipper.merged,
    overruns: () => worker.state?.overruns ?? 0,
    fileEntries: (verdict) => files.waiting(verdict),
    lost,
    onState: (state, parameters) => {
      staged.onState(state);
      staged.setFixed(parameters.get('FlowLogsPolicyEvaluationMode') === 'None');
      worker.setDetails({
        process: parameters.get('FlowLogsCollectProcessInfo') === true,
        tcp: parameters.get('FlowLogsCollectTcpStats') === true,
      });
      files.setParameters(parameters);
      worker.setLocals(localAddresses(state));
      worker.refresh();
    },
    stop: async () => {
      await worker.stop();
      clearInterval(timer);
      await files.stop();
      await shipper.ship();
    },
  };
}

function localAddresses({ endpoints }: DataplaneState): string[] {
  return [...endpoints.values()].flatMap(({ addresses }) =>
    addresses.map((prefix) => prefix.split('/')[0] ?? prefix),
  );
}

// `tortie ipam release`: frees one address, or all that every one of some reports calls leaked.
import { clusterInformationKind, type ClusterInformation, ipamHandleKind } from '#api';
import { type ApiClient, ApiError, readGivenFile } from '#datastore/client';
import {
  AddressReleaser,
  type CheckReport,
  commonLeaks,
  handleName,
  IpamError,
  type IpamClient,
  parseReport,
  type ReportedHandle,
} from '#ipam';
import { CommandFailure, UsageError } from './cli-error.ts';
import type { ClusterFlags } from './connection.ts';
import { canonicalAddress } from './ipam-show.ts';
import type { Terminal } from './terminal.ts';

export interface ReleaseFlags extends ClusterFlags {
  readonly ip?: string;
  readonly fromReport?: readonly string[];
  readonly force?: boolean;
}

type Client = IpamClient & Pick<ApiClient, 'get'>;

interface Run {
  readonly flags: ReleaseFlags;
  readonly version: string;
}

export async function releaseAddresses(
  client: Client,
  run: Run,
  terminal: Terminal,
): Promise<void> {
  const { ip, fromReport } = run.flags;
  if ((ip === undefined) === (fromReport === undefined)) {
    throw new UsageError('Cannot release: give --ip or --from-report, one of them');
  }
  if (ip !== undefined) {
    const address = canonicalAddress(ip);
    const released = await refusable(() => new AddressReleaser(client).release([{ address }]));
    if (released.length === 0) throw new CommandFailure(`IP address ${address} is not assigned`);
    terminal.out(`Successfully released IP address ${address}\n`);
    return;
  }
  await releaseFromReports(client, run, terminal);
  terminal.out('You may now unlock the data store.\n');
}

async function releaseFromReports(client: Client, run: Run, terminal: Terminal): Promise<void> {
  const { fromReport = [] } = run.flags;
  const reports = fromReport.map((file) => readReport(file));
  const found = await client.get(clusterInformationKind, { name: 'default' });
  const information = found as ClusterInformation | undefined;
  for (const [index, report] of reports.entries()) {
    checkReport(report, String(fromReport[index]), { run, information, terminal });
  }
  const revision = information?.metadata.resourceVersion ?? '';
  if (!reports.some((report) => report.clusterInformationRevision === revision)) {
    throw new CommandFailure(
      'the provided reports are all stale - at least one should be up-to-date. ' +
        'Please generate a new report while the data store is locked and try again',
    );
  }
  if (information?.spec.datastoreReady !== false) {
    if (!run.flags.force) {
      throw new CommandFailure(
        'data store is not locked. Either lock the data store, or re-run with --force',
      );
    }
    terminal.out('WARNING: Data store is not locked. Ignoring due to --force option\n');
  }
  const { addresses, handles } = commonLeaks(reports);
  if (addresses.length === 0) {
    terminal.out("Report didn't contain any leaked IPs to clean up.\n");
  } else await releaseAll(client, addresses, terminal);
  if (handles.length === 0) terminal.out("Report didn't contain any handles to clean up.\n");
  else await deleteHandles(client, handles, terminal);
}

function readReport(file: string): CheckReport {
  const report = parseReport(
    readGivenFile({ name: '--from-report', path: file, holds: 'text' }).toString('utf8'),
  );
  if (report) return report;
  throw new CommandFailure(`Cannot read ${file}: it is no report of "ipam check -o"`);
}

function checkReport(
  report: CheckReport,
  file: string,
  world: {
    readonly run: Run;
    readonly information: ClusterInformation | undefined;
    readonly terminal: Terminal;
  },
): void {
  const { run, information, terminal } = world;
  if (report.clusterGUID !== (information?.spec.clusterGUID ?? '')) {
    throw new CommandFailure(
      `cluster does not match the provided report (${file}): mismatched cluster GUID. Refusing to release`,
    );
  }
  if (report.version === run.version) return;
  if (!run.flags.force) {
    throw new CommandFailure(
      `the provided report (${file}) was produced using a different version (${report.version}). ` +
        'Refusing to release',
    );
  }
  terminal.out(
    'WARNING: Report was produced using a different version. Ignoring due to --force option\n',
  );
}

/** One by one: what changed since the report is passed over. */
async function releaseAll(
  client: Client,
  addresses: ReturnType<typeof commonLeaks>['addresses'],
  terminal: Terminal,
): Promise<void> {
  terminal.out(`Releasing ${addresses.length} old IPs...\n`);
  const releaser = new AddressReleaser(client);
  let released = 0;
  let gone = 0;
  const changed: string[] = [];
  await Promise.all(
    addresses.map(async (item) => {
      try {
        if ((await releaser.release([item])).length > 0) released++;
        else gone++;
      } catch (error) {
        if (!(error instanceof IpamError)) throw error;
        changed.push(error.message);
      }
    }),
  );
  for (const message of changed) terminal.out(`Not released: ${message}\n`);
  terminal.out(`Released ${released} IPs successfully\n`);
  if (gone > 0) {
    terminal.out(`${gone} addresses marked as leaked in the report had already been cleaned up.\n`);
  }
}

async function deleteHandles(
  client: Client,
  handles: readonly ReportedHandle[],
  terminal: Terminal,
): Promise<void> {
  terminal.out(`Deleting ${handles.length} handles...\n`);
  terminal.out("Key: '.' = Deleted OK; 'x' = skip, handle missing/changed.\n");
  let released = 0;
  let skipped = 0;
  for (const { ID, Revision } of handles) {
    try {
      const key = { name: handleName(ID) };
      await client.delete(ipamHandleKind, key, { resourceVersion: Revision });
      released++;
      terminal.out('.');
    } catch (error) {
      if (!(error instanceof ApiError && (error.notFound || error.conflict))) throw error;
      skipped++;
      terminal.out('x');
    }
  }
  terminal.out(`\nReleased ${released} handles; ${skipped} skipped; 0 errors.\n`);
}

async function refusable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof IpamError) throw new CommandFailure(`Cannot ${error.message}`);
    throw error;
  }
}

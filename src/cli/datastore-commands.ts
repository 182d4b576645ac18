// `tortie datastore`: backs up, restores and checks the server's own store, on the server's machine.
import { join } from 'node:path';
import type { Command } from 'commander';
import type { EtcdFlags, StoreReport } from '#datastore';
import { CommandFailure, UsageError } from './cli-error.ts';
import { addEtcdFlags, hasEtcdFlag } from './etcd-flags.ts';
import { formatValue, readOutput } from './resource-output.ts';
import type { Terminal } from './terminal.ts';
import { countText } from './validate-command.ts';

interface DataFlags {
  readonly data: string;
  readonly output?: string;
}

interface BackupFlags extends EtcdFlags {
  readonly data?: string;
}

const DATA = ['--data <dir>', "the server's data folder"] as const;

/** The store and its database are loaded only for these commands. */
const loadStore = () => import('#datastore');

export function addDatastoreCommands(program: Command, terminal: Terminal): void {
  const datastore = program
    .command('datastore')
    .summary("back up, restore and check a server's store")
    .description('Backs up, restores and checks the store of `tortie server`, on its machine.');
  addEtcdFlags(
    datastore
      .command('backup <file>')
      .summary('copy the store, also while the server runs')
      .description(
        'Copies the store to a new file: everything as it is at one revision. The server may run, and ' +
          'its writers do not wait. The file holds Secrets; only its owner can read it.',
      )
      .option(...DATA)
      .addHelpText(
        'after',
        '\nWith --etcd-endpoints: all of etcd, for `etcdctl snapshot restore`.',
      ),
  ).action((file: string, flags: BackupFlags) => backup(file, flags, terminal));
  datastore
    .command('restore <file>')
    .summary('put a backup in the place of the store')
    .description(
      'Checks a backup and makes it the store. The server must not run. Clients go on by themselves: ' +
        'what they knew of the store before counts as too old, and they list again.',
    )
    .requiredOption(...DATA)
    .option('--replace', 'where there is a store: keep it under another name')
    .action(async (file: string, { data, replace = false }: DataFlags & { replace?: boolean }) => {
      const { restoreStore, STORE_FILE } = await loadStore();
      const path = join(data, STORE_FILE);
      const { replaced, ...report } = restoreStore(file, path, { replace, now: Date.now() });
      if (replaced !== undefined) terminal.out(`The store before is kept as ${replaced}\n`);
      terminal.out(`Restored ${path}: ${summary(report)}\n`);
    });
  datastore
    .command('check [file]')
    .summary('look for damage, in a store or a backup')
    .description('Reads all of a store or of a backup and says what is wrong. The server may run.')
    .option('--data <dir>', "the server's data folder, instead of a file")
    .option('-o, --output <format>', 'json')
    .addHelpText('after', '\nExit codes: 0 all is well; 1 it is damaged, or cannot be read.')
    .action((file: string | undefined, flags: Partial<DataFlags>) => check(file, flags, terminal));
}

async function backup(file: string, flags: BackupFlags, terminal: Terminal): Promise<void> {
  const { data, ...etcd } = flags;
  if ((data !== undefined) === hasEtcdFlag(etcd)) {
    throw new UsageError('Cannot back up: give either --data DIR or --etcd-endpoints URLS');
  }
  const { backupEtcd, backupStore, etcdOptions, STORE_FILE } = await loadStore();
  if (data !== undefined) {
    const report = backupStore(join(data, STORE_FILE), file);
    terminal.out(`Backed up to ${file}: ${summary(report)}\n`);
    return;
  }
  const { version, endpoint, revision, bytes } = await backupEtcd(
    await etcdOptions(etcd, process.env),
    file,
  );
  terminal.out(
    `Backed up to ${file}: etcd ${version} at ${endpoint}, revision ${revision} or later, ${sizeText(bytes)}; ` +
      'restore it with `etcdctl snapshot restore`\n',
  );
}

async function check(
  file: string | undefined,
  { data, output }: Partial<DataFlags>,
  terminal: Terminal,
): Promise<void> {
  const { checkStore, STORE_FILE } = await loadStore();
  const path = file ?? (data === undefined ? undefined : join(data, STORE_FILE));
  if (path === undefined || (file !== undefined && data !== undefined)) {
    throw new UsageError('Cannot check: give either a file or --data DIR');
  }
  const json = readOutput(output, ['json']) === 'json';
  const report = checkStore(path);
  if (json) terminal.out(formatValue(report, 'json'));
  else {
    for (const problem of report.problems) terminal.out(`damaged: ${problem}\n`);
    terminal.out(`${path}: ${summary(report)}\n`);
  }
  if (report.problems.length > 0) {
    throw new CommandFailure(
      `${path} has ${countText(report.problems.length, 'problem')}; ` +
        'restore a backup with `tortie datastore restore`',
    );
  }
}

function summary({
  objects,
  changes,
  revision,
  oldestRevision,
  format,
  bytes,
}: StoreReport): string {
  return (
    `${countText(objects, 'object')} and ${countText(changes, 'earlier revision')}, ` +
    `revisions ${oldestRevision} to ${revision}, format ${format}, ${sizeText(bytes)}`
  );
}

function sizeText(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

// `tortie ipam configure`: changes the cluster's IPAMConfiguration.
import type { ApiClient } from '#datastore/client';
import { changeSettings, type SettingsChange } from '#ipam';
import { CommandFailure, UsageError } from './cli-error.ts';
import type { ClusterFlags } from './connection.ts';
import type { Terminal } from './terminal.ts';

export interface ConfigureFlags extends ClusterFlags {
  readonly strictaffinity?: string;
  readonly maxBlocksPerHost?: string;
  readonly kubevirtIpPersistence?: string;
  readonly ipCooldownSeconds?: string;
}

const TRUTH: Readonly<Record<string, boolean>> = { true: true, false: false };

export async function configureAddresses(
  client: Pick<ApiClient, 'get' | 'create' | 'replace'>,
  flags: ConfigureFlags,
  terminal: Terminal,
): Promise<void> {
  const change = changeOf(flags);
  const problems = await changeSettings(client, change);
  if (problems.length > 0) {
    throw new CommandFailure(`Cannot change how addresses are handed out: ${problems.join('; ')}`);
  }
  const said: readonly [string, string | number | boolean | undefined][] = [
    ['StrictAffinity', change.strictAffinity],
    ['MaxBlocksPerHost', change.maxBlocksPerHost],
    ['KubeVirtVMAddressPersistence', change.kubeVirtVMAddressPersistence],
    ['IPCooldownSeconds', change.ipCooldownSeconds],
  ];
  for (const [name, value] of said) {
    if (value !== undefined) terminal.out(`Successfully set ${name} to: ${String(value)}\n`);
  }
}

function changeOf(flags: ConfigureFlags): SettingsChange {
  const { strictaffinity, maxBlocksPerHost, kubevirtIpPersistence, ipCooldownSeconds } = flags;
  const strictAffinity = strictaffinity === undefined ? undefined : TRUTH[strictaffinity];
  if (strictaffinity !== undefined && strictAffinity === undefined) {
    throw new UsageError(`Cannot use --strictaffinity ${strictaffinity}: say true or false`);
  }
  const mode = kubevirtIpPersistence;
  if (mode !== undefined && mode !== 'Enabled' && mode !== 'Disabled') {
    throw new UsageError(`Cannot use --kubevirt-ip-persistence ${mode}: say Enabled or Disabled`);
  }
  const blocks = numberIn('--max-blocks-per-host', maxBlocksPerHost);
  const seconds = numberIn('--ip-cooldown-seconds', ipCooldownSeconds);
  const change: SettingsChange = {
    ...(strictAffinity === undefined ? {} : { strictAffinity }),
    ...(blocks === undefined ? {} : { maxBlocksPerHost: blocks }),
    ...(mode === undefined ? {} : { kubeVirtVMAddressPersistence: mode }),
    ...(seconds === undefined ? {} : { ipCooldownSeconds: seconds }),
  };
  if (Object.keys(change).length > 0) return change;
  throw new UsageError('Cannot configure nothing: give at least one option');
}

/** A whole number of at most nine digits; the kind's schema says the rest. Throws UsageError. */
function numberIn(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError(`Cannot use ${flag} ${JSON.stringify(text)}: it is no number`);
}

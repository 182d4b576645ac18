// Reads and changes the cluster's one IPAMConfiguration, with the rules that concern several fields.
import { type IPAMConfiguration, ipamConfigurationKind } from '#api';
import type { ApiClient } from '#datastore/client';
import { settingsOf, settingsProblems } from './settings.ts';

export type SettingsChange = Partial<IPAMConfiguration['spec']>;

const NAME = 'default';
const DEFAULTS = { strictAffinity: false, autoAllocateBlocks: true, maxBlocksPerHost: 0 };

/** Names as calicoctl prints them, and values; what nobody set is its default. */
export async function readSettings(
  client: Pick<ApiClient, 'get'>,
): Promise<readonly (readonly [name: string, value: string])[]> {
  const settings: SettingsChange & typeof DEFAULTS = { ...DEFAULTS, ...(await find(client))?.spec };
  return [
    ['StrictAffinity', String(settings.strictAffinity)],
    ['AutoAllocateBlocks', String(settings.autoAllocateBlocks)],
    ['MaxBlocksPerHost', String(settings.maxBlocksPerHost)],
    ['KubeVirtVMAddressPersistence', settings.kubeVirtVMAddressPersistence ?? 'Enabled'],
    ['IPCooldownSeconds', String(settings.ipCooldownSeconds ?? 0)],
  ];
}

/** Makes the change, or tells everything that is wrong with it. Throws the client's errors. */
export async function changeSettings(
  client: Pick<ApiClient, 'get' | 'create' | 'replace'>,
  change: SettingsChange,
): Promise<string[]> {
  const current = await find(client);
  const next: IPAMConfiguration = {
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPAMConfiguration',
    metadata: current?.metadata ?? { name: NAME },
    spec: { ...DEFAULTS, ...current?.spec, ...change },
  };
  const problems = settingsProblems(settingsOf(next));
  if (problems.length > 0) return problems;
  if (current) await client.replace(ipamConfigurationKind, next);
  else await client.create(ipamConfigurationKind, next);
  return [];
}

async function find(client: Pick<ApiClient, 'get'>): Promise<IPAMConfiguration | undefined> {
  const found = await client.get(ipamConfigurationKind, { name: NAME });
  return found as IPAMConfiguration | undefined;
}

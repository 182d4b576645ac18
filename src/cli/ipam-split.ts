// `tortie ipam split`: makes several smaller pools of one, while the datastore is locked.
import { type ClusterInformation, clusterInformationKind, type IPPool, ipPoolKind } from '#api';
import type { ApiClient } from '#datastore/client';
import { splitPrefix } from '#ipam';
import { CommandFailure, UsageError } from './cli-error.ts';
import type { ClusterFlags } from './connection.ts';
import type { Terminal } from './terminal.ts';

export interface SplitFlags extends ClusterFlags {
  readonly cidr?: string;
  readonly name?: string;
}

type Client = Pick<ApiClient, 'get' | 'list' | 'create' | 'replace' | 'delete'>;

const MAX_NAME = 253;

/** The old pool is disabled first and deleted last: no address is given meanwhile, whoever dies. */
export async function splitPool(
  client: Client,
  number: string,
  flags: SplitFlags,
  terminal: Terminal,
): Promise<void> {
  const parts = Number(number);
  if (!/^\d{1,5}$/.test(number)) {
    throw new UsageError(
      `error reading number to split IP pools into. ${number} is not a valid number`,
    );
  }
  if (flags.cidr === undefined && flags.name === undefined) {
    throw new UsageError(
      'no name or CIDR provided. Provide a name or CIDR to denote the IP pool to split',
    );
  }
  const found = await client.get(clusterInformationKind, { name: 'default' });
  const information = found as ClusterInformation | undefined;
  if (information?.spec.datastoreReady !== false) {
    throw new CommandFailure(
      'datastore is not locked: set spec.datastoreReady of ClusterInformation "default" to false ' +
        'before you split a pool',
    );
  }
  const pool = await findPool(client, flags);
  const cidrs = splitPrefix(pool.spec.cidr, parts, pool.spec.blockSize);
  if ('problem' in cidrs) {
    throw new CommandFailure(
      `error splitting the CIDR ${pool.spec.cidr} into ${parts} CIDRs: ${cidrs.problem}`,
    );
  }
  const old = { ...pool, spec: { ...pool.spec, disabled: true } };
  await client.replace(ipPoolKind, old);
  const { labels, annotations, name } = pool.metadata;
  const made: string[] = [];
  for (const [index, cidr] of cidrs.entries()) {
    const suffix = `-${index}`;
    const part = `split-${name}`.slice(0, MAX_NAME - suffix.length) + suffix;
    await client.create(ipPoolKind, {
      apiVersion: pool.apiVersion,
      kind: pool.kind,
      metadata: {
        name: part,
        ...(labels ? { labels } : {}),
        ...(annotations ? { annotations } : {}),
      },
      spec: { ...pool.spec, cidr, disabled: pool.spec.disabled ?? false },
    } as IPPool);
    made.push(`Created ${part} with CIDR ${cidr}.\n`);
  }
  await client.delete(ipPoolKind, { name });
  terminal.out(`IP Pool ${name} was successfully split into ${parts} smaller pools.\n`);
  terminal.out(made.join(''));
}

async function findPool(client: Client, { name, cidr }: SplitFlags): Promise<IPPool> {
  const { items } = await client.list(ipPoolKind);
  const pools = items as IPPool[];
  const pool = pools.find((each) =>
    name === undefined ? each.spec.cidr === cidr : each.metadata.name === name,
  );
  if (pool) return pool;
  throw new CommandFailure(
    name === undefined
      ? `unable to find IP pool covering the specified CIDR ${cidr}`
      : `unable to find IP pool with name ${name}`,
  );
}

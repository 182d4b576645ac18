// `tortie ipam show`: pools, blocks, borrowed addresses, one address, the configuration.
import type { IPAMBlock } from '#api';
import type { ApiClient } from '#datastore/client';
import {
  affinityOwner,
  type ClusterReading,
  type Entry,
  entriesOf,
  readCluster,
  readSettings,
  type Utilization,
  utilizationOf,
} from '#ipam';
import { formatAddress, parseAddress } from '#lib';
import { formatBoxedTable } from './boxed-table.ts';
import { UsageError } from './cli-error.ts';
import type { ClusterFlags } from './connection.ts';
import type { Terminal } from './terminal.ts';

export interface ShowFlags extends ClusterFlags {
  readonly ip?: string;
  readonly showBlocks?: boolean;
  readonly showBorrowed?: boolean;
  readonly showConfiguration?: boolean;
}

const NUMBERS = ['IPS TOTAL', 'IPS IN USE', 'IPS RESERVED', 'IPS FREE', 'IPS COOLING'];

export async function showAddresses(
  client: Pick<ApiClient, 'list' | 'get'>,
  flags: ShowFlags,
  terminal: Terminal,
): Promise<void> {
  if (flags.showConfiguration) {
    const rows = (await readSettings(client)).map(([name, value]) => [name, value]);
    terminal.out(formatBoxedTable(['PROPERTY', 'VALUE'], rows));
    return;
  }
  const address = flags.ip === undefined ? undefined : canonicalAddress(flags.ip);
  const reading = await readCluster(client);
  if (address !== undefined) showAddress(reading, address, terminal);
  else if (flags.showBorrowed) showBorrowed(reading, terminal);
  else showUtilization(reading, flags.showBlocks === true, terminal);
}

/** Throws UsageError for what is none. */
export function canonicalAddress(text: string): string {
  const address = parseAddress(text);
  if (!address) throw new UsageError(`Cannot read the address ${JSON.stringify(text)}`);
  return formatAddress(address);
}

function showUtilization(reading: ClusterReading, withBlocks: boolean, terminal: Terminal): void {
  const { pools, blocks, reservations } = reading;
  const rows = utilizationOf(pools, blocks, reservations).flatMap((use) => [
    ...(use.pool === undefined ? [] : [rowOf('IP Pool', use)]),
    ...(withBlocks ? use.blocks.map((block) => rowOf('Block', block)) : []),
  ]);
  terminal.out(formatBoxedTable(['GROUPING', 'CIDR', ...NUMBERS], rows, new Set(NUMBERS)));
}

function rowOf(kind: string, use: Utilization): string[] {
  const part = (count: bigint): string => {
    const percent = (100 * Number(count)) / Number(use.capacity);
    return `${shortNumber(Number(count))} (${Math.round(percent)}%)`;
  };
  const { capacity, inUse, reserved, free, cooling } = use;
  const parts = [inUse, reserved, free, cooling].map(part);
  return [kind, use.cidr, shortNumber(Number(capacity)), ...parts];
}

/** Five significant digits, as C's `%.5g`: `65536`, `1.8447e+19`. */
export function shortNumber(value: number): string {
  if (value < 99_999.5) return String(value);
  const [digits = '', exponent = ''] = value.toExponential(4).split('e+');
  return `${digits.replace(/\.?0+$/, '')}e+${exponent.padStart(2, '0')}`;
}

function showBorrowed({ blocks }: ClusterReading, terminal: Terminal): void {
  let unknown = 0;
  const rows: string[][] = [];
  for (const block of blocks) {
    for (const entry of entriesOf(block)) {
      const { node } = entry.attributes;
      if (node === undefined) unknown++;
      else if (node !== ownerName(block)) rows.push(borrowedRow(block, entry, node));
    }
  }
  const headings = ['IP', 'BORROWING-NODE', 'BLOCK', 'BLOCK OWNER', 'TYPE', 'ALLOCATED-TO'];
  terminal.out(formatBoxedTable(headings, rows));
  if (unknown > 0) {
    terminal.out(
      `\nNote: found ${unknown} IP allocations without an explicit node association. ` +
        'Unable to determine if they are borrowed.\n',
    );
  }
}

function ownerName({ spec }: IPAMBlock): string {
  return affinityOwner(spec.affinity)?.name ?? '';
}

function borrowedRow(block: IPAMBlock, { address, attributes }: Entry, node: string): string[] {
  const { namespace = '', pod, type = '', vmi } = attributes;
  const [kind, name] = vmi ? ['vmi', vmi] : pod ? ['pod', pod] : [type, undefined];
  const target = name === undefined ? '' : `${namespace}/${name}`;
  return [address, node, block.spec.cidr, ownerName(block), kind, target];
}

function showAddress({ blocks }: ClusterReading, address: string, terminal: Terminal): void {
  for (const block of blocks) {
    const entry = entriesOf(block).find((each) => each.address === address);
    if (!entry) continue;
    terminal.out(`IP ${address} is in use\n`);
    terminal.out(`Handle ID: ${entry.handle ?? '<none>'}\n`);
    terminal.out(
      attributesText('Active Owner Attributes', entry.attributes) ||
        'No Active Owner attributes defined\n',
    );
    const { spec } = block;
    const attribute = spec.attributes[spec.allocations[entry.ordinal] ?? -1];
    terminal.out(
      attributesText('Alternate Owner Attributes', attribute?.alternateOwnerAttrs ?? {}),
    );
    if (entry.releasedAt !== undefined) {
      terminal.out(`Released at ${entry.releasedAt}; it rests until it may be used again\n`);
    }
    return;
  }
  terminal.out(`${address} is not assigned\n`);
}

function attributesText(title: string, attributes: Readonly<Record<string, string>>): string {
  const lines = Object.keys(attributes)
    .toSorted()
    .map((key) => `  ${key}: ${attributes[key]}\n`);
  return lines.length === 0 ? '' : `${title}:\n${lines.join('')}`;
}

// `tortie ipam check`: calicoctl's check, with the reason of every difference, and mending at a second look.
import { writeFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import type { ApiClient } from '#datastore/client';
import {
  type Checked,
  type ClusterReading,
  Collector,
  type CollectorClient,
  entriesOf,
  handleCounts,
  readCluster,
  reportOf,
  type Use,
} from '#ipam';
import { parseAddress, parsePrefix, prefixContains } from '#lib';
import { CommandFailure, UsageError } from './cli-error.ts';
import type { ClusterFlags } from './connection.ts';
import type { Terminal } from './terminal.ts';

export interface CheckFlags extends ClusterFlags {
  readonly showAllIps?: boolean;
  readonly showProblemIps?: boolean;
  readonly output?: string;
  readonly fix?: boolean;
  readonly dryRun?: boolean;
  readonly grace: string;
}

const TOP_NODES = 20;
const MAX_GRACE_S = 3600;

export async function checkAddresses(
  client: CollectorClient & Pick<ApiClient, 'get'>,
  { flags, version }: { readonly flags: CheckFlags; readonly version: string },
  terminal: Terminal,
): Promise<void> {
  if (flags.dryRun && !flags.fix) throw new UsageError('Cannot use --dry-run without --fix');
  const graceS = Number(flags.grace);
  if (!(graceS >= 1 && graceS <= MAX_GRACE_S)) {
    throw new UsageError(`Cannot use --grace ${flags.grace}: say 1 to ${MAX_GRACE_S} seconds`);
  }
  terminal.out('Checking IPAM for inconsistencies...\n\n');
  const reading = await readCluster(client);
  new CheckText(reading, flags, terminal).print();
  if (flags.output !== undefined) {
    const report = JSON.stringify(reportOf(reading, version), null, 2);
    writeFileSync(flags.output, report, { mode: 0o600 });
  }
  const collector = new Collector({ client, graceMs: graceS * 1000 });
  const checked = collector.checkReading(reading);
  if (flags.fix) await fix(collector, { graceS, isDryRun: flags.dryRun === true }, terminal);
  else explain(checked, terminal);
}

function explain(checked: readonly Checked[], terminal: Terminal): void {
  if (checked.length === 0) return;
  terminal.out('\nDifferences, and why they are:\n');
  for (const { finding } of checked) {
    terminal.out(`  ${finding.kind} ${finding.subject}: ${finding.reason}\n`);
  }
}

async function fix(
  collector: Collector,
  { graceS, isDryRun }: { readonly graceS: number; readonly isDryRun: boolean },
  terminal: Terminal,
): Promise<void> {
  terminal.out(`\nLooking again in ${graceS} s...\n`);
  await wait(graceS * 1000);
  const checked = await collector.check();
  for (const { finding, waitsFor } of checked) {
    if (waitsFor === undefined && !isDryRun) continue;
    const what = waitsFor === undefined ? 'Would mend' : 'Left alone';
    const why = waitsFor === undefined ? '' : ` (${waitsFor})`;
    terminal.out(`  ${what} ${finding.kind} ${finding.subject}: ${finding.reason}${why}\n`);
  }
  if (isDryRun) return;
  const mended = await collector.mend();
  let failures = 0;
  for (const { finding, failure } of mended) {
    if (failure !== undefined) failures++;
    const what = failure === undefined ? 'Mended' : 'Not mended';
    const why = failure === undefined ? '' : ` (${failure})`;
    terminal.out(`  ${what} ${finding.kind} ${finding.subject}: ${finding.reason}${why}\n`);
  }
  terminal.out(`Mended ${mended.length - failures} of ${checked.length} differences.\n`);
  if (failures > 0) throw new CommandFailure(`Cannot mend ${failures}: see above; try again`);
}

/** What calicoctl prints, line by line. */
class CheckText {
  readonly #reading: ClusterReading;
  readonly #terminal: Terminal;
  readonly #showsAll: boolean;
  readonly #showsProblems: boolean;
  /** Attributes by address. */
  readonly #allocated = new Map<string, string>();
  readonly #users = new Map<string, Use[]>();
  #problems = 0;

  constructor(reading: ClusterReading, flags: CheckFlags, terminal: Terminal) {
    this.#reading = reading;
    this.#terminal = terminal;
    this.#showsAll = flags.showAllIps === true;
    this.#showsProblems = this.#showsAll || flags.showProblemIps === true;
    for (const use of reading.uses) {
      this.#users.set(use.address, [...(this.#users.get(use.address) ?? []), use]);
    }
  }

  print(): void {
    this.#blocks();
    this.#pools();
    this.#owners();
    this.#nodes();
    this.#leaks();
    this.#unallocated();
    this.#handles();
    this.#line(`Check complete; found ${this.#problems} problems.`);
  }

  #line(text = ''): void {
    this.#terminal.out(`${text}\n`);
  }

  #problem(text: string): void {
    if (this.#showsProblems) this.#line(text);
  }

  #blocks(): void {
    const { blocks } = this.#reading;
    this.#line('Loading all IPAM blocks...');
    this.#line(`Found ${blocks.length} IPAM blocks.`);
    for (const block of blocks) {
      this.#line(` IPAM block ${block.spec.cidr} affinity=${block.spec.affinity ?? '<none>'}:`);
      for (const { address, handle, attributes } of entriesOf(block)) {
        const extra = Object.keys(attributes)
          .toSorted()
          .map((key) => `${key}=${attributes[key]}`);
        const text = `Main:${handle ?? '<none>'} Extra:${extra.join(',')}`;
        this.#allocated.set(address, text);
        if (this.#showsAll) this.#line(`  ${address} allocated; attrs ${text}`);
      }
    }
    this.#line(`IPAM blocks record ${this.#allocated.size} allocations.\n`);
  }

  #pools(): void {
    this.#line('Loading all IPAM pools...');
    for (const cidr of this.#activePools) this.#line(`  ${cidr}`);
    this.#line(`Found ${this.#activePools.length} active IP pools.\n`);
  }

  get #activePools(): string[] {
    const { pools } = this.#reading;
    return pools.filter(({ spec }) => !spec.disabled).map(({ spec }) => spec.cidr);
  }

  #owners(): void {
    const count = (kind: Use['kind']): number => {
      const uses = this.#reading.uses.filter((use) => use.kind === kind);
      if (this.#showsAll) {
        for (const { address, who } of uses) this.#line(`  ${address} belongs to ${who}`);
      }
      return uses.length;
    };
    this.#line('Loading all nodes.');
    this.#line(`Found ${count('node')} node tunnel IPs.\n`);
    this.#line('Loading all service load balancer IPs.');
    this.#line(`Found ${count('service')} service load balancer.\n`);
    this.#line('Loading all workload endpoints.');
    this.#line(`Found ${count('workload')} workload IPs.`);
    this.#line(`Workloads and nodes are using ${this.#users.size} IPs.\n`);
  }

  #nodes(): void {
    this.#line('Loading all handles');
    this.#line(`Looking for top (up to ${TOP_NODES}) nodes by allocations...`);
    const counts = new Map<string, number>();
    for (const block of this.#reading.blocks) {
      const host = block.spec.affinity?.replace(/^host:/, '') ?? '';
      for (const { attributes } of entriesOf(block)) {
        const node = attributes['node'] ?? host;
        counts.set(node, (counts.get(node) ?? 0) + 1);
      }
    }
    const ordered = [...counts].toSorted(([, a], [, b]) => b - a);
    for (const [node, count] of ordered.slice(0, TOP_NODES)) {
      this.#line(`  ${node} has ${count} allocations`);
    }
    const [most] = ordered;
    const median = ordered[Math.floor(ordered.length / 2)];
    if (most && median) {
      this.#line(`Node with most allocations has ${most[1]}; median is ${median[1]}`);
    }
    this.#line();
  }

  #leaks(): void {
    this.#line('Scanning for IPs that are allocated but not actually in use...');
    const leaked = [...this.#allocated].filter(
      ([address, text]) => !this.#users.has(address) && !text.startsWith('Main:windows-reserved'),
    );
    for (const [address, text] of leaked) this.#problem(`  ${address} leaked; attrs ${text}`);
    this.#problems += leaked.length;
    const what = 'IPs that are allocated in IPAM but not actually in use.';
    this.#line(`Found ${leaked.length} ${what}`);
  }

  #unallocated(): void {
    this.#line(
      'Scanning for IPs that are in use by a workload or node but not allocated in IPAM...',
    );
    const pools = this.#activePools.flatMap((cidr) => parsePrefix(cidr) ?? []);
    let outside = 0;
    let inside = 0;
    for (const [address, users] of this.#users) {
      if (users.length > 1) this.#problem(`  ${address} has multiple owners.`);
      if (this.#allocated.has(address)) continue;
      const parsed = parseAddress(address);
      const isInside = parsed && pools.some((pool) => prefixContains(pool, parsed));
      if (isInside) inside++;
      else outside++;
      const why = isInside
        ? 'and in active IPAM pool but has no IPAM allocation.'
        : 'is not in any active IP pool.';
      for (const { who } of users) this.#problem(`  ${address} in use by ${who} ${why}`);
    }
    this.#problems += inside + outside;
    this.#line(`Found ${outside} in-use IPs that are not in active IP pools.`);
    this.#line(
      `Found ${inside} in-use IPs that are in active IP pools but have no corresponding IPAM allocation.\n`,
    );
  }

  #handles(): void {
    const { handles, blocks } = this.#reading;
    this.#line('Scanning for IPAM handles with no matching IPs...');
    const held = new Set(blocks.flatMap((block) => [...handleCounts(block).keys()]));
    const stale = handles.filter(({ spec }) => !held.has(spec.handleID));
    if (this.#showsAll) {
      for (const { spec } of stale) this.#line(`  ${spec.handleID} doesn't have any active IPs.`);
    }
    this.#problems += stale.length;
    const matched = handles.length - stale.length;
    const what = 'handles with no matching IPs';
    this.#line(`Found ${stale.length} ${what} (and ${matched} handles with matches).`);
    this.#line('Scanning for IPs with missing handle...');
    const objects = new Set(handles.map(({ spec }) => spec.handleID));
    const missing = [...held].filter((handle) => !objects.has(handle));
    if (objects.size > 0) {
      for (const it of missing) this.#problem(`  ${it} is in use in a block but doesn't exist.`);
    }
    const count = missing.length;
    this.#line(`Found ${count} handles mentioned in blocks with no matching handle resource.`);
  }
}

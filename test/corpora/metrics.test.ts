// Calico's metrics (corpora/metrics): each is served with its type and labels, or docs/metrics.md says why not.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AGENT_METRICS, PROCESS_METRICS, RULE_METRICS, SERVER_METRICS } from '#metrics';
import { corpusMissing, readCorpus } from './corpora.ts';

interface UpstreamMetric {
  readonly component: string;
  readonly name: string;
  readonly type: string;
  readonly vec: boolean;
  /** Where the source says them literally. */
  readonly labels?: readonly string[] | null;
}

const skip = corpusMissing('metrics');
/** Labels that the source gives otherwise than as a list (spec 04, 4.2; Felix' is a constant one). */
const POOL_AND_NODE = ['ippool', 'node'];
const LABELS: Readonly<Record<string, readonly string[]>> = {
  ipam_allocations_in_use: POOL_AND_NODE,
  ipam_allocations_borrowed: POOL_AND_NODE,
  ipam_allocations_gc_candidates: POOL_AND_NODE,
  ipam_allocations_gc_reclamations: POOL_AND_NODE,
  ipam_blocks: POOL_AND_NODE,
  felix_host: ['host'],
  goldmane_collector_received_flows: ['source'],
  goldmane_collector_flow_process_latency: ['source'],
};

/** Patterns of names and why they are not served, from the table. */
function absences(): { pattern: string; reason: string }[] {
  const path = join(import.meta.dirname, '..', '..', 'docs', 'metrics.md');
  const [, section = ''] = readFileSync(path, 'utf8').split('## Not served');
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .flatMap((line) => {
      const [, names = '', reason = ''] = line.split('|').map((cell) => cell.trim());
      return names.split(', ').map((name) => ({ pattern: name.slice(1, -1), reason }));
    });
}

function fits(pattern: string, name: string): boolean {
  return new RegExp(`^${pattern.replaceAll('*', '[a-z_0-9]*')}$`).test(name);
}

test('each of upstream’s metrics is served alike or absent for a reason', { skip }, (context) => {
  const upstream = readCorpus<UpstreamMetric>('metrics/metrics.json');
  assert.equal(upstream.length, 154);
  const definitions = [...AGENT_METRICS, ...RULE_METRICS, ...PROCESS_METRICS, ...SERVER_METRICS];
  const served = new Map(definitions.map((metric) => [metric.name, metric]));
  const absent = absences();
  const wrong: string[] = [];
  let alike = 0;
  for (const { name, type, vec, labels } of upstream) {
    const reasons = absent.filter(({ pattern }) => fits(pattern, name));
    const metric = served.get(name);
    if (!metric) {
      if (reasons.length !== 1) wrong.push(`${name}: not served, with ${reasons.length} reasons`);
      continue;
    }
    if (reasons.length > 0) wrong.push(`${name}: served, and said not to be`);
    const wanted = LABELS[name] ?? labels ?? [];
    if (vec && wanted.length === 0) wrong.push(`${name}: its labels are not known`);
    const own = [...(metric.labels ?? [])].toSorted();
    if (metric.type !== type) wrong.push(`${name}: a ${metric.type}, upstream a ${type}`);
    if (JSON.stringify(own) !== JSON.stringify([...wanted].toSorted()))
      wrong.push(`${name}: labels ${own.join()}, upstream ${wanted.join()}`);
    alike++;
  }
  for (const { pattern, reason } of absent) {
    const isUsed = upstream.some(({ name }) => fits(pattern, name));
    if (!isUsed || reason === '') wrong.push(`${pattern}: stands for nothing, or says nothing`);
  }
  assert.deepEqual(wrong, []);
  context.diagnostic(`${alike} of ${upstream.length} served, the others absent for reasons`);
});

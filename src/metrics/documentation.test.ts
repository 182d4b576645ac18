// docs/metrics.md lists every metric that is served, as it is defined; UPDATE=1 writes the tables anew.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AGENT_METRICS } from './agent-definitions.ts';
import type { MetricDefinition } from './metric-definition.ts';
import { PROCESS_METRICS } from './process-metrics.ts';
import { RULE_METRICS } from './rule-metrics.ts';
import { SERVER_METRICS } from './server-metrics.ts';

const FILE = join(import.meta.dirname, '..', '..', 'docs', 'metrics.md');

function table(definitions: readonly MetricDefinition[]): string {
  const rows = definitions.map(({ name, type, labels = [], help }) => {
    const names = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${names} | ${help} |`;
  });
  return ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function withTable(text: string, mark: string, definitions: readonly MetricDefinition[]): string {
  const pattern = new RegExp(`(<!-- ${mark} -->\n)[^]*?(<!-- end -->)`);
  assert.match(text, pattern);
  return text.replace(pattern, (_, begin, end) => `${begin}\n${table(definitions)}\n\n${end}`);
}

test('docs/metrics.md says what is served', () => {
  const text = readFileSync(FILE, 'utf8');
  const agent = [...AGENT_METRICS, ...RULE_METRICS, ...PROCESS_METRICS];
  const server = [...SERVER_METRICS, ...PROCESS_METRICS];
  const wanted = withTable(withTable(text, 'agent', agent), 'server', server);
  if (process.env['UPDATE'] === '1') writeFileSync(FILE, wanted);
  else assert.equal(text, wanted, 'docs/metrics.md is old: run this test with UPDATE=1');
});

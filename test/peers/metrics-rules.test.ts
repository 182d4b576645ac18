// Dashboards and alert rules: current, read by promtool, proven by its tests, and about metrics that are served.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import {
  AGENT_METRICS,
  type MetricDefinition,
  PROCESS_METRICS,
  RULE_METRICS,
  SERVER_METRICS,
} from '#metrics';
import { dashboardFiles } from '../../scripts/dashboards.ts';
import { dashboardQueries } from './dashboard-queries.ts';
import { prometheusMissing, promtool } from './prometheus.ts';

const skip = prometheusMissing();
const DEPLOY = join(import.meta.dirname, '..', '..', 'deploy');
const GRAFANA = join(DEPLOY, 'grafana');
const ALERTS = join(DEPLOY, 'prometheus', 'tortie-alerts.yml');
const ALERTS_TEST = join(DEPLOY, 'prometheus', 'tortie-alerts.test.yml');

interface Alert {
  readonly alert: string;
  readonly expr: string;
}

function alerts(): Alert[] {
  const { groups } = parse(readFileSync(ALERTS, 'utf8')) as { groups: { rules: Alert[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

/** Given by Prometheus to each series. */
const TARGET_LABELS = ['job', 'instance'];
const WORDS = new Set(['by', 'on', 'or', 'bool', 'and', 'unless', 'without', 'ignoring', 'vector']);

/** What an expression asks for that nobody serves: names of metrics, and labels of theirs. */
function unserved(expression: string): string[] {
  const known = new Map<string, MetricDefinition>();
  for (const metric of [...AGENT_METRICS, ...RULE_METRICS, ...SERVER_METRICS, ...PROCESS_METRICS]) {
    known.set(metric.name, metric);
    if (metric.type !== 'summary') continue;
    for (const suffix of ['_sum', '_count']) known.set(metric.name + suffix, metric);
  }
  const wrong: string[] = [];
  const labels = new Set([...known.values()].flatMap((metric) => metric.labels ?? []));
  const grouping = /\b(?:by|on)\s*\(([^)]*)\)/g;
  for (const [, names = ''] of expression.matchAll(grouping)) {
    const asked = names.split(',').map((label) => label.trim());
    wrong.push(...asked.filter((one) => !labels.has(one) && !TARGET_LABELS.includes(one)));
  }
  const rest = expression.replaceAll(grouping, '').replaceAll(/\[[^\]]*\]/g, '');
  for (const [, name = '', matchers = ''] of rest.matchAll(
    /\b([a-z_][a-z_0-9]*)\b(?!\s*\()(?:\{([^}]*)\})?/gi,
  )) {
    if (WORDS.has(name) || isInside(rest, name)) continue;
    const metric = known.get(name);
    if (!metric && name !== 'up') wrong.push(name);
    const own = [...(metric?.labels ?? []), ...(metric?.type === 'summary' ? ['quantile'] : [])];
    for (const [, label = ''] of matchers.matchAll(/([a-zA-Z_]+)\s*[!=]/g)) {
      if (!own.includes(label) && !TARGET_LABELS.includes(label)) wrong.push(`${name}{${label}}`);
    }
  }
  return wrong;
}

/** Whether a word stands between braces alone: a label or its value. */
function isInside(text: string, word: string): boolean {
  return !new RegExp(`\\b${word}\\b`).test(text.replaceAll(/\{[^}]*\}/g, ''));
}

test('deploy/grafana is current; else run node scripts/dashboards.ts', () => {
  const files = dashboardFiles();
  assert.deepEqual(readdirSync(GRAFANA).toSorted(), [...files.keys()].toSorted());
  for (const [name, text] of files) {
    assert.equal(readFileSync(join(GRAFANA, name), 'utf8'), text, name);
  }
});

test('dashboards and alerts ask for what is served alone', () => {
  const queries = dashboardQueries();
  assert.ok(queries.size > 50);
  for (const [where, expression] of queries) assert.deepEqual(unserved(expression), [], where);
  for (const { alert, expr } of alerts()) assert.deepEqual(unserved(expr), [], alert);
  for (const [wrong, what] of [
    ['rate(felix_nonsense[1m])', 'felix_nonsense'],
    ['sum by (nobody) (ipam_blocks)', 'nobody'],
    ['sum by (node) (ipam_blocks{pool="x"})', 'ipam_blocks{pool}'],
  ] as const) {
    assert.deepEqual(unserved(wrong), [what], 'the check itself');
  }
});

test('panels stand side by side, none over another', () => {
  for (const [file, text] of dashboardFiles()) {
    const taken = new Set<string>();
    for (const { gridPos } of JSON.parse(text).panels) {
      assert.ok(gridPos.x + gridPos.w <= 24, file);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(!taken.has(`${x} ${y}`), `${file}: ${x} ${y}`);
          taken.add(`${x} ${y}`);
        }
      }
    }
  }
});

test('Prometheus reads every query of the dashboards', { skip }, (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tortie-dashboards-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const check = (expressions: Iterable<string>) => {
    const rules = [...expressions].map((expr, index) => ({ record: `query:number${index}`, expr }));
    const path = join(folder, 'rules.yml');
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'queries', rules }] }));
    return promtool(['check', 'rules', path]);
  };
  const queries = dashboardQueries();
  const { ok, output } = check(queries.values());
  assert.ok(ok, output);
  assert.match(output, new RegExp(`${queries.size} rules found`));
  assert.equal(check(['sum by (']).ok, false);
});

test('alert rules load, and each is tested to fire', { skip }, () => {
  const config = join(DEPLOY, 'prometheus', 'prometheus.yml');
  for (const words of [
    ['check', 'rules', ALERTS],
    ['check', 'config', config],
    ['test', 'rules', ALERTS_TEST],
  ]) {
    const { ok, output } = promtool(words);
    assert.ok(ok, output);
  }
  const { tests } = parse(readFileSync(ALERTS_TEST, 'utf8')) as {
    tests: { alert_rule_test: { alertname: string; exp_alerts: unknown[] }[] }[];
  };
  const fired = tests
    .flatMap(({ alert_rule_test: cases }) => cases)
    .filter(({ exp_alerts: expected }) => expected.length > 0)
    .map(({ alertname }) => alertname);
  assert.deepEqual(
    alerts()
      .map(({ alert }) => alert)
      .filter((alert) => !fired.includes(alert)),
    [],
    'alerts that no test lets fire',
  );
});

// Packets, bytes and connections by policy rule, in the names of Calico's per-rule metrics; a bounded number of series.
import { type Flow, policyName, type PolicyHit } from '#flows';
import type { MetricDefinition } from './metric-definition.ts';
import type { MetricLabels, MetricRegistry } from './metric-registry.ts';

const RULE_LABELS = [
  'tier',
  'policy',
  'namespace',
  'rule_index',
  'action',
  'traffic_direction',
  'rule_direction',
  'instance',
] as const;

export const RULE_METRICS: readonly MetricDefinition[] = [
  {
    name: 'cnx_policy_rule_packets',
    type: 'counter',
    help: 'Packets that a policy rule decided about.',
    labels: RULE_LABELS,
  },
  {
    name: 'cnx_policy_rule_bytes',
    type: 'counter',
    help: 'Bytes of the packets that a policy rule decided about.',
    labels: RULE_LABELS,
  },
  {
    name: 'cnx_policy_rule_connections',
    type: 'counter',
    help: 'Connections that began under a policy rule.',
    labels: RULE_LABELS.filter((label) => label !== 'action'),
  },
  {
    name: 'calico_denied_packets',
    type: 'counter',
    help: 'Packets that policy denied, by source address.',
    labels: ['policy', 'srcIP', 'instance'],
  },
  {
    name: 'calico_denied_bytes',
    type: 'counter',
    help: 'Bytes that policy denied, by source address.',
    labels: ['policy', 'srcIP', 'instance'],
  },
  {
    name: 'tortie_rule_series_merged',
    type: 'gauge',
    help: 'Series named "other", each of which stands for several: there were too many.',
  },
];

export interface RuleMetricsOptions {
  /** The node's name. */
  readonly instance: string;
  /** Series that hear of no packet for so long go (deletedMetricsRetentionSecs). */
  readonly retentionMs?: number;
  readonly seriesMax?: number;
  readonly now?: () => number;
}

interface Series {
  readonly labels: MetricLabels;
  readonly values: Map<string, number>;
  /** Whether it stands for several. */
  readonly isMerged: boolean;
  lastMs: number;
}

const RETENTION_MS = 30_000;
const SERIES_MAX = 10_000;
const OTHER = 'other';
/** The labels that say which rule. */
const RULE = ['tier', 'policy', 'namespace', 'rule_index'] as const;

/**
 * Counts what flow reports say; sums stay exact when series are merged. A staged policy counts what it would
 * decide, under a name that begins with `staged:`.
 */
export class RuleMetrics {
  readonly #options: Required<RuleMetricsOptions>;
  readonly #rules = new Map<string, Series>();
  readonly #denials = new Map<string, Series>();

  constructor(metrics: MetricRegistry, options: RuleMetricsOptions) {
    this.#options = { retentionMs: RETENTION_MS, seriesMax: SERIES_MAX, now: Date.now, ...options };
    metrics.onCollect(() => this.#collect(metrics));
  }

  onFlows(flows: readonly Flow[]): void {
    for (const flow of flows) {
      for (const hit of flow.policies) this.#onHit(flow, hit);
      for (const hit of flow.pending ?? []) {
        if (hit.kind?.startsWith('Staged')) this.#onHit(flow, hit);
      }
      if (flow.verdict === 'deny') this.#onDenied(flow);
    }
  }

  #onHit({ packets, bytes, connections }: Flow, hit: PolicyHit): void {
    const common = {
      tier: hit.tier ?? '',
      policy: policyName(hit),
      namespace: hit.namespace ?? '',
      rule_index: String(hit.rule),
      rule_direction: hit.direction,
      instance: this.#options.instance,
    };
    // Traffic goes both ways under the rule that let the connection begin.
    const ways = [
      [hit.direction === 'egress' ? 'outbound' : 'inbound', packets.out, bytes.out],
      [hit.direction === 'egress' ? 'inbound' : 'outbound', packets.in, bytes.in],
    ] as const;
    for (const [index, [traffic_direction, packetCount, byteCount]] of ways.entries()) {
      if (index > 0 && packetCount === 0) continue;
      const labels = { ...common, action: hit.action, traffic_direction };
      const series = this.#series(this.#rules, labels, [RULE]);
      addTo(series, 'cnx_policy_rule_packets', packetCount);
      addTo(series, 'cnx_policy_rule_bytes', byteCount);
      if (index === 0) addTo(series, 'cnx_policy_rule_connections', connections.started);
    }
  }

  #onDenied({ policies, packets, bytes, source }: Flow): void {
    const hit = policies.findLast(({ action }) => action === 'deny');
    if (!hit) return;
    const policy = [hit.tier ?? '', policyName(hit), hit.rule, hit.action].join('|');
    const labels = { policy, srcIP: source.address, instance: this.#options.instance };
    const series = this.#series(this.#denials, labels, [['srcIP'], ['policy']]);
    addTo(series, 'calico_denied_packets', packets.out);
    addTo(series, 'calico_denied_bytes', bytes.out);
  }

  /**
   * Above the limit, the labels of the first `blurs` become one for all that is new; above twice the limit those of
   * the second, and so on.
   */
  #series(
    all: Map<string, Series>,
    labels: MetricLabels,
    blurs: readonly (readonly string[])[],
  ): Series {
    let kept = labels;
    let key = JSON.stringify(kept);
    for (const [level, blur] of blurs.entries()) {
      if (all.has(key) || all.size < this.#options.seriesMax * (level + 1)) break;
      kept = { ...kept, ...Object.fromEntries(blur.map((label) => [label, OTHER])) };
      key = JSON.stringify(kept);
    }
    const isMerged = kept !== labels;
    const found = all.get(key) ?? { labels: kept, values: new Map(), isMerged, lastMs: 0 };
    all.set(key, found);
    found.lastMs = this.#options.now();
    return found;
  }

  #collect(metrics: MetricRegistry): void {
    const oldest = this.#options.now() - this.#options.retentionMs;
    for (const all of [this.#rules, this.#denials]) {
      for (const [key, { lastMs }] of all) if (lastMs < oldest) all.delete(key);
    }
    const series = [...this.#rules.values(), ...this.#denials.values()];
    for (const { name, labels: wanted = [] } of RULE_METRICS) {
      if (name === 'tortie_rule_series_merged') continue;
      const sums = new Map<string, { labels: MetricLabels; value: number }>();
      for (const { labels, values } of series) {
        const value = values.get(name);
        if (value === undefined) continue;
        const own = Object.fromEntries(wanted.map((label) => [label, labels[label] ?? '']));
        const key = JSON.stringify(own);
        sums.set(key, { labels: own, value: value + (sums.get(key)?.value ?? 0) });
      }
      metrics.replace(name, [...sums.values()]);
    }
    metrics.set('tortie_rule_series_merged', series.filter(({ isMerged }) => isMerged).length);
  }
}

function addTo({ values }: Series, name: string, by: number): void {
  values.set(name, (values.get(name) ?? 0) + by);
}

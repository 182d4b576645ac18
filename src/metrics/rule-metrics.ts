// Packets, bytes and connections by policy rule, in the names of Calico's per-rule metrics; a bounded number of series.
import { type Flow, policyName, type PolicyHit } from '#flows';
import type { MetricDefinition } from './metric-definition.ts';
import { headerText, labelText } from './metric-text.ts';
import type { MetricRegistry } from './metric-registry.ts';

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

/** Sums of one combination of labels. */
interface Series {
  /** In braces, as it is printed. */
  readonly labels: string;
  /** The same without the action; undefined where connections are not counted. */
  readonly connectionLabels: string | undefined;
  /** Whether it stands for several. */
  readonly isMerged: boolean;
  packets: number;
  bytes: number;
  connections: number;
  lastMs: number;
}

/** Both ways of the traffic under a hit. */
interface Ways {
  readonly there: Series;
  readonly back: Series | undefined;
}

type RuleLabels = Readonly<Record<(typeof RULE_LABELS)[number], string>>;

const RETENTION_MS = 30_000;
const SERIES_MAX = 10_000;
const OTHER = 'other';
/** The labels that say which rule. */
const OTHER_RULE = { tier: OTHER, policy: OTHER, namespace: OTHER, rule_index: OTHER } as const;

/**
 * Counts what flow reports say; sums stay exact when series are merged. A staged policy counts what it would
 * decide, under a name that begins with `staged:`. Prints its series itself: there may be many, and readings must
 * not hold up the agent.
 */
export class RuleMetrics {
  readonly #options: Required<RuleMetricsOptions>;
  readonly #rules = new Map<string, Series>();
  readonly #denials = new Map<string, Series>();
  /** Series by the hits that they count, since the last reading; none that is merged, so there are not many. */
  readonly #known = new Map<string, Ways>();

  constructor(metrics: MetricRegistry, options: RuleMetricsOptions) {
    this.#options = { retentionMs: RETENTION_MS, seriesMax: SERIES_MAX, now: Date.now, ...options };
    metrics.onText(() => this.#text());
  }

  onFlows(flows: readonly Flow[]): void {
    const now = this.#options.now();
    for (const flow of flows) {
      for (const hit of flow.policies) this.#onHit(flow, hit, now);
      for (const hit of flow.pending ?? []) {
        if (hit.kind?.startsWith('Staged')) this.#onHit(flow, hit, now);
      }
      if (flow.verdict === 'deny') this.#onDenied(flow, now);
    }
  }

  #onHit({ packets, bytes, connections }: Flow, hit: PolicyHit, now: number): void {
    const key = hitKey(hit);
    const { there, back } = this.#known.get(key) ?? this.#ways(key, hit, now);
    there.packets += packets.out;
    there.bytes += bytes.out;
    there.connections += connections.started;
    there.lastMs = now;
    // Traffic goes both ways under the rule that let the connection begin.
    if (packets.in === 0) return;
    const answers = back ?? this.#answers(key, there, hit, now);
    answers.packets += packets.in;
    answers.bytes += bytes.in;
    answers.lastMs = now;
  }

  #ways(key: string, hit: PolicyHit, now: number): Ways {
    const there = this.#ruleSeries(hit, hit.direction === 'egress' ? 'outbound' : 'inbound', now);
    return this.#remember(key, { there, back: undefined });
  }

  #answers(key: string, there: Series, hit: PolicyHit, now: number): Series {
    const back = this.#ruleSeries(hit, hit.direction === 'egress' ? 'inbound' : 'outbound', now);
    this.#remember(key, { there, back });
    return back;
  }

  /** What is merged is looked for anew each time: there is no end of it. */
  #remember(key: string, ways: Ways): Ways {
    if (!ways.there.isMerged && !ways.back?.isMerged) this.#known.set(key, ways);
    return ways;
  }

  #ruleSeries(hit: PolicyHit, traffic_direction: string, now: number): Series {
    const labels: RuleLabels = {
      tier: hit.tier ?? '',
      policy: policyName(hit),
      namespace: hit.namespace ?? '',
      rule_index: String(hit.rule),
      action: hit.action,
      traffic_direction,
      rule_direction: hit.direction,
      instance: this.#options.instance,
    };
    const isAnswer = (traffic_direction === 'inbound') !== (hit.direction === 'ingress');
    const withoutAction = ({ action: _, ...others }: RuleLabels): string => labelText(others);
    const connectionLabels = isAnswer ? undefined : withoutAction;
    return this.#series(this.#rules, [labels, { ...labels, ...OTHER_RULE }], connectionLabels, now);
  }

  #onDenied({ policies, packets, bytes, source }: Flow, now: number): void {
    const hit = policies.findLast(({ action }) => action === 'deny');
    if (!hit) return;
    const key = `${hitKey(hit)} ${source.address}`;
    const series = this.#known.get(key)?.there ?? this.#deniedSeries(key, hit, source.address, now);
    series.packets += packets.out;
    series.bytes += bytes.out;
    series.lastMs = now;
  }

  #deniedSeries(key: string, hit: PolicyHit, srcIP: string, now: number): Series {
    const { instance } = this.#options;
    const policy = [hit.tier ?? '', policyName(hit), hit.rule, hit.action].join('|');
    const labels = { policy, srcIP, instance };
    const blurred = { ...labels, srcIP: OTHER };
    const levels = [labels, blurred, { ...blurred, policy: OTHER }];
    const series = this.#series(this.#denials, levels, undefined, now);
    return this.#remember(key, { there: series, back: undefined }).there;
  }

  /** The series of the first labels; above the limit, for all that is new, of the second, and so on. */
  #series<Labels extends Readonly<Record<string, string>>>(
    all: Map<string, Series>,
    levels: readonly Labels[],
    connectionLabels: ((labels: Labels) => string) | undefined,
    now: number,
  ): Series {
    const { seriesMax } = this.#options;
    for (const [level, labels] of levels.entries()) {
      const text = labelText(labels);
      const known = all.get(text);
      if (known) return known;
      const isLast = level === levels.length - 1;
      if (!isLast && all.size >= seriesMax * (level + 1)) continue;
      const series = {
        labels: text,
        connectionLabels: connectionLabels?.(labels),
        isMerged: level > 0,
        packets: 0,
        bytes: 0,
        connections: 0,
        lastMs: now,
      };
      all.set(text, series);
      return series;
    }
    throw new Error('Cannot count under no labels');
  }

  #text(): string {
    const oldest = this.#options.now() - this.#options.retentionMs;
    for (const all of [this.#rules, this.#denials]) {
      for (const [key, { lastMs }] of all) if (lastMs < oldest) all.delete(key);
    }
    this.#known.clear();
    const rules = [...this.#rules.values()];
    const denials = [...this.#denials.values()];
    const connections = new Map<string, number>();
    for (const { connectionLabels: labels, connections: count } of rules) {
      if (labels !== undefined) connections.set(labels, count + (connections.get(labels) ?? 0));
    }
    const merged = [...rules, ...denials].filter(({ isMerged }) => isMerged).length;
    const packets = ({ labels, packets: value }: Series) => [labels, value] as const;
    const bytes = ({ labels, bytes: value }: Series) => [labels, value] as const;
    const values: readonly (readonly (readonly [labels: string, value: number])[])[] = [
      rules.map(packets),
      rules.map(bytes),
      [...connections],
      denials.map(packets),
      denials.map(bytes),
      [['', merged]],
    ];
    return RULE_METRICS.map((metric, index) => {
      const lines = (values[index] ?? []).map(
        ([labels, value]) => `${metric.name}${labels} ${value}\n`,
      );
      return headerText(metric) + lines.join('');
    }).join('\n');
  }
}

/** Equal for hits of one rule, direction and action alone: no name is empty or holds a space. */
function hitKey({ direction, tier, kind, namespace, name, rule, action }: PolicyHit): string {
  return `${direction} ${tier ?? ''} ${kind ?? ''} ${namespace ?? ''} ${name ?? ''} ${rule} ${action}`;
}

// Metrics by their definitions: a value for a name that is not defined is a mistake of ours, not a new metric.
import { Counter, Gauge, Histogram, Registry, Summary } from 'prom-client';
import type { MetricDefinition } from './metric-definition.ts';

export type MetricLabels = Readonly<Record<string, string>>;

/** Quantiles of the last minutes, as Go's client has them by default. */
const PERCENTILES = [0.5, 0.9, 0.99];
const MAX_AGE_SECONDS = 600;
/** As Go's client has them by default. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** `text` is the exposition format; whoever collects is asked first. */
export class MetricRegistry {
  readonly #registry = new Registry();
  readonly #gauges = new Map<string, Gauge>();
  readonly #counters = new Map<string, Counter>();
  readonly #observed = new Map<string, Summary | Histogram>();
  readonly #texts: (() => string)[] = [];
  #hidden: readonly string[] = [];
  readonly #collectors: (() => void | Promise<void>)[] = [];

  constructor(definitions: readonly MetricDefinition[]) {
    for (const { name, type, help, labels = [] } of definitions) {
      const base = { name, help, labelNames: [...labels], registers: [this.#registry] };
      if (type === 'gauge') this.#gauges.set(name, new Gauge(base));
      else if (type === 'counter') this.#counters.set(name, new Counter(base));
      else if (type === 'histogram') {
        this.#observed.set(name, new Histogram({ ...base, buckets: BUCKETS }));
      } else {
        const summary = { ...base, percentiles: PERCENTILES, maxAgeSeconds: MAX_AGE_SECONDS };
        this.#observed.set(name, new Summary({ ...summary, ageBuckets: 5 }));
      }
    }
  }

  set(name: string, value: number, labels: MetricLabels = {}): void {
    found(this.#gauges, name).set({ ...labels }, value);
  }

  /** Counters never fall: `by` below zero is refused. */
  add(name: string, by = 1, labels: MetricLabels = {}): void {
    found(this.#counters, name).inc({ ...labels }, by);
  }

  /** A counter whose sum somebody else keeps. */
  total(name: string, value: number, labels: MetricLabels = {}): void {
    const counter = found(this.#counters, name);
    counter.remove({ ...labels });
    counter.inc({ ...labels }, value);
  }

  /** Seconds, sizes. */
  observe(name: string, value: number, labels: MetricLabels = {}): void {
    found(this.#observed, name).observe({ ...labels }, value);
  }

  /** All series of a gauge or counter, in place of those there were. */
  replace(name: string, series: readonly { labels: MetricLabels; value: number }[]): void {
    const metric = this.#gauges.get(name) ?? found(this.#counters, name);
    metric.reset();
    for (const { labels, value } of series) metric.inc({ ...labels }, value);
  }

  /** Leaves metrics out of readings from now on: those whose names begin so. */
  hide(prefixes: readonly string[]): void {
    this.#hidden = prefixes;
  }

  /** Adds text of its own to each reading: metrics that this registry does not know. */
  onText(text: () => string): void {
    this.#texts.push(text);
  }

  /** Called before each reading. */
  onCollect(collect: () => void | Promise<void>): void {
    this.#collectors.push(collect);
  }

  async text(): Promise<string> {
    for (const collect of this.#collectors) await collect();
    const own = await this.#ownText();
    return [own, ...this.#texts.map((text) => text())].join('\n');
  }

  async #ownText(): Promise<string> {
    if (this.#hidden.length === 0) return this.#registry.metrics();
    const names = this.#registry.getMetricsAsArray().map(({ name }) => name);
    const shown = names.filter((name) => !this.#hidden.some((prefix) => name.startsWith(prefix)));
    const texts = await Promise.all(
      shown.map((name) => this.#registry.getSingleMetricAsString(name)),
    );
    return `${texts.join('\n\n')}\n`;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }
}

function found<T>(metrics: ReadonlyMap<string, T>, name: string): T {
  const metric = metrics.get(name);
  if (!metric) throw new Error(`cannot measure ${name}: it is not defined so`);
  return metric;
}

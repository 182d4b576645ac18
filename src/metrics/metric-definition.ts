// What a metric is: name, type, help and labels; and short ways to write that.

export interface MetricDefinition {
  readonly name: string;
  readonly type: 'gauge' | 'counter' | 'summary' | 'histogram';
  readonly help: string;
  readonly labels?: readonly string[];
}

export function gauge(name: string, help: string, labels?: readonly string[]): MetricDefinition {
  return { name, type: 'gauge', help, ...(labels && { labels }) };
}

export function counter(name: string, help: string, labels?: readonly string[]): MetricDefinition {
  return { name, type: 'counter', help, ...(labels && { labels }) };
}

export function summary(name: string, help: string): MetricDefinition {
  return { name, type: 'summary', help };
}

/** With the buckets that Go's client has by default: seconds from 0.005 to 10. */
export function histogram(
  name: string,
  help: string,
  labels?: readonly string[],
): MetricDefinition {
  return { name, type: 'histogram', help, ...(labels && { labels }) };
}

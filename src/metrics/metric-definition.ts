// What a metric is: name, type, help and labels; and short ways to write that.

export interface MetricDefinition {
  readonly name: string;
  readonly type: 'gauge' | 'counter' | 'summary';
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

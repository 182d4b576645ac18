// Prometheus' exposition format, for metrics with many series (text format 0.0.4).
import type { MetricDefinition } from './metric-definition.ts';

const SPECIAL = /[\\\n"]/g;
const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '"': '\\"' };

/** `{name="value",...}` in the order of the labels. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  let text = '';
  for (const name in labels) {
    text += `${text === '' ? '{' : ','}${name}="${escaped(labels[name] ?? '')}"`;
  }
  return text === '' ? '' : `${text}}`;
}

function escaped(value: string): string {
  return value.replace(SPECIAL, (character) => ESCAPES[character] ?? character);
}

/** The lines before a metric's series. */
export function headerText({ name, type, help }: MetricDefinition): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

// FelixConfiguration as texts of the agent's parameters, as its environment would give them.
import { isObject } from '#lib';
import { parseDuration } from '../duration.ts';
import type { FelixConfigurationSpec } from '../felix-configuration.ts';
import type { Parameter } from './parameter.ts';
import { AGENT_PARAMETERS } from './resolve-parameters.ts';

const byField = new Map(
  AGENT_PARAMETERS.flatMap((one) => (one.field === '' ? [] : [[one.field, one] as const])),
);

/** What the spec sets, by the parameters' names; fields that are no parameter are left out. */
export function parametersInConfiguration(spec: FelixConfigurationSpec): Record<string, string> {
  const entries = Object.entries(spec).flatMap(([field, value]) => {
    const one = byField.get(field);
    return one && value !== undefined ? [[one.name, textOf(one, value)] as const] : [];
  });
  return Object.fromEntries(entries);
}

function textOf({ parser }: Parameter, value: unknown): string {
  if (typeof value === 'string' && parser.unitMs !== undefined) {
    const length = parseDuration(value);
    return length === undefined ? value : String(length / parser.unitMs);
  }
  if (!Array.isArray(value)) return itemText(value);
  // An empty list is not the default: it is nothing.
  return value.length === 0 ? 'none' : value.map(itemText).join(',');
}

function itemText(value: unknown): string {
  if (!isObject(value)) return String(value);
  const { port, protocol, net, min, max, name, timeout } = value;
  if (port !== undefined) return portText({ port, protocol: protocol ?? 'tcp', net });
  if (typeof min === 'number') return `${min}-${String(max)}`;
  if (typeof name === 'string') return `${name}=${String(timeout)}`;
  return Object.entries(value)
    .map(([key, member]) => `${pairName(key)}=${String(member)}`)
    .join(',');
}

function portText({ port, protocol, net }: Readonly<Record<string, unknown>>): string {
  const parts = [protocol];
  if (typeof net === 'string') parts.push(net.includes(':') ? `[${net}]` : net);
  return [...parts, port].map(String).join(':').toLowerCase();
}

/** `tcpSynSent` is `TCPSynSent` in text, `genericTimeout` is `GenericTimeout`; interfaces keep their names. */
function pairName(key: string): string {
  if (!/^(tcp|udp|icmp|generic|creation)[A-Z]/.test(key)) return key;
  return key.replace(/^(tcp|udp|icmp)|^[a-z]/, (start) => start.toUpperCase());
}

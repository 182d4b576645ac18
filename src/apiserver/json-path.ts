// The part of JSONPath that printer columns use: members, indices, [*] and one equality filter.
import { isObject } from '#lib';

type Step = (value: unknown) => unknown[];

const TOKEN = new RegExp(
  [
    String.raw`\.(?<member>[A-Za-z_][\w-]*)`,
    String.raw`\['(?<quoted>(?:[^'\\]|\\.)*)'\]`,
    String.raw`\[(?<index>-?\d+)\]`,
    String.raw`(?<all>\[\*\])`,
    String.raw`\[\?\(@\.(?<field>[\w.]+)\s*==\s*["'](?<equals>[^"']*)["']\)\]`,
  ].join('|'),
);

/** Compiles a path such as `.status.conditions[?(@.type=="Ready")].status`; throws on others. */
export function jsonPath(path: string): (value: unknown) => unknown[] {
  const steps: Step[] = [];
  const text = path.replaceAll(String.raw`\.`, '.');
  // Its own, for its position: a filter compiles another path meanwhile.
  const token = new RegExp(TOKEN, 'y');
  while (token.lastIndex < text.length) {
    const at = token.lastIndex;
    const groups = token.exec(text)?.groups;
    if (!groups) throw new Error(`cannot read the JSONPath "${path}" at "${text.slice(at)}"`);
    steps.push(stepOf(groups));
  }
  return (value) => steps.reduce<unknown[]>((values, step) => values.flatMap(step), [value]);
}

function stepOf(groups: Readonly<Record<string, string | undefined>>): Step {
  const { member, quoted, index, all, field, equals } = groups;
  const name = member ?? quoted?.replaceAll(/\\(.)/g, '$1');
  if (name !== undefined) {
    return (value) => (isObject(value) && Object.hasOwn(value, name) ? [value[name]] : []);
  }
  if (index !== undefined) {
    return (value) => {
      const item: unknown = Array.isArray(value) ? value.at(Number(index)) : undefined;
      return item === undefined ? [] : [item];
    };
  }
  if (all !== undefined) {
    return (value) => {
      if (Array.isArray(value)) return value;
      return isObject(value) ? Object.values(value) : [];
    };
  }
  const inner = jsonPath(`.${field ?? ''}`);
  return (value) =>
    Array.isArray(value) ? value.filter((item) => inner(item).includes(equals)) : [];
}

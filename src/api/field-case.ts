// Field names in another letter case, which Calico's own tools read and Kubernetes does not.
import { isObject } from '#lib';
import type { Problem } from './kind.ts';
import { caution, memberPath, quoted } from './problem.ts';
import type { JsonSchema } from './schema-check.ts';

export interface SpelledFields {
  /** The value with the schema's spelling where exactly one field can be meant. */
  readonly value: unknown;
  /** One warning for each name that changed. */
  readonly problems: readonly Problem[];
}

/**
 * Reads names in any letter case, as Go's JSON does for calicoctl (spec 21). A name that the schema
 * has is never touched, nor is one whose meaning is there already under its right name.
 */
export function spellFields(schema: JsonSchema, value: unknown, path = ''): SpelledFields {
  const problems: Problem[] = [];
  return { value: spelled(schema, value, { path, problems }), problems };
}

interface Place {
  readonly path: string;
  readonly problems: Problem[];
}

function spelled(schema: JsonSchema, value: unknown, place: Place): unknown {
  if (schema.anyOf) {
    const fitting = schema.anyOf.find(({ properties, items }) =>
      Array.isArray(value) ? items : properties,
    );
    return fitting ? spelled(fitting, value, place) : value;
  }
  if (Array.isArray(value)) {
    const { items } = schema;
    if (!items || !value.some((item) => typeof item === 'object')) return value;
    return value.map((item: unknown, index) =>
      spelled(items, item, { ...place, path: `${place.path}[${index}]` }),
    );
  }
  const { properties } = schema;
  if (!isObject(value) || !properties) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => {
      const meant = spelling(name, properties, value);
      const path = memberPath(place.path, meant);
      if (meant !== name) {
        const message = `is read as ${quoted(meant)}; write it so, kubectl refuses it`;
        place.problems.push(caution(memberPath(place.path, name), message));
      }
      const member = Object.hasOwn(properties, meant) ? properties[meant] : undefined;
      return [meant, member ? spelled(member, item, { ...place, path }) : item];
    }),
  );
}

function spelling(
  name: string,
  properties: Readonly<Record<string, JsonSchema>>,
  object: Readonly<Record<string, unknown>>,
): string {
  if (Object.hasOwn(properties, name)) return name;
  const lower = name.toLowerCase();
  const meant = Object.keys(properties).filter((it) => it.toLowerCase() === lower);
  const [only] = meant;
  return only !== undefined && meant.length === 1 && !Object.hasOwn(object, only) ? only : name;
}

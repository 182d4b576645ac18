// Fields of FelixConfiguration that Calico Enterprise has for parts that are not built: taken, checked, without effect.
import { type TOptional, type TSchema, Type } from 'typebox';
import { ENTERPRISE_PARAMETERS, ENTERPRISE_PARTS } from './parameters/enterprise-parameters.ts';
import type { Parameter } from './parameters/parameter.ts';

const SECONDS = /Secs$/;

function schemaOf({ field, parser }: Parameter, duration: TSchema): TSchema {
  const { words, unitMs, zero } = parser;
  if (words) return Type.Unsafe<string>({ type: 'string', anyCase: words });
  if (unitMs !== undefined) return SECONDS.test(field) ? Type.Integer({ minimum: 0 }) : duration;
  if (typeof zero === 'boolean') return Type.Boolean();
  return typeof zero === 'number' ? Type.Integer() : Type.String();
}

/** By name; `duration` is the schema of durations. */
export function enterpriseFields(duration: TSchema): Readonly<Record<string, TOptional<TSchema>>> {
  const fields = ENTERPRISE_PARAMETERS.filter(({ field }) => field !== '');
  return Object.fromEntries(
    fields.map((one) => [one.field, Type.Optional(schemaOf(one, duration))]),
  );
}

/** What is said of each field. */
export function enterpriseTexts(): Readonly<Record<string, string>> {
  const texts = [...ENTERPRISE_PARTS].flatMap(([part, parameters]) =>
    parameters.map(({ field }) => [
      field,
      `Of Calico Enterprise, for ${part}: without effect here`,
    ]),
  );
  return Object.fromEntries(texts.filter(([field]) => field !== '')) as Record<string, string>;
}

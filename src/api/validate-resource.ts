// Turns an unknown value into a resource of a known kind, with defaults, or says everything that is wrong with it.
import { closestName, isObject } from '#lib';
import { apiVersionOf, type KindDefinition, type Problem, type Resource } from './kind.ts';
import { DERIVED_KINDS, KINDS, kindOf } from './kinds.ts';
import { metadataProblems } from './metadata-check.ts';
import { fault, quoted } from './problem.ts';
import { conform } from './schema-check.ts';

export interface ValidatedResource {
  /** With defaults; undefined where a problem is an error. */
  readonly resource: Resource | undefined;
  readonly problems: readonly Problem[];
}

/**
 * Kind, schema, defaults, then the rules that no schema can say. Optional fields that are null count as absent. The
 * name must be there: whoever accepts `generateName` fills it in before. With `dropUnknown` fields that the kind
 * does not have are left out with a warning; they are errors otherwise.
 */
export function validateResource(
  value: unknown,
  options: { readonly dropUnknown?: boolean } = {},
): ValidatedResource {
  if (!isObject(value)) return refused(fault('', `must be an object, is ${quoted(value)}`));
  const { apiVersion, kind, ...body } = value;
  if (typeof apiVersion !== 'string' || apiVersion === '') {
    return refused(fault('apiVersion', 'is required, such as "projectcalico.org/v3"'));
  }
  if (typeof kind !== 'string' || kind === '') {
    return refused(fault('kind', 'is required, such as "NetworkPolicy"'));
  }
  const definition = kindOf(apiVersion, kind);
  if (!definition) return refused(unknownKind(apiVersion, kind));
  const { value: conformed, problems, shaped } = conform(definition.schema, body, options);
  if (!shaped) return { resource: undefined, problems };
  // The schema vouches for the shape: it holds ObjectMeta, and the kind's type is made from it.
  const written = { apiVersion, kind, ...(conformed as object) } as Resource;
  const resource = definition.defaults ? definition.defaults(written) : written;
  const all = [
    ...problems,
    ...metadataProblems(definition, written),
    ...(definition.check?.(resource) ?? []),
  ];
  const sound = all.every(({ severity }) => severity !== 'error');
  return { resource: sound ? resource : undefined, problems: all };
}

function refused(problem: Problem): ValidatedResource {
  return { resource: undefined, problems: [problem] };
}

function unknownKind(apiVersion: string, kind: string): Problem {
  const kinds: readonly KindDefinition[] = [...KINDS, ...DERIVED_KINDS];
  const sameKind = kinds.filter((known) => known.kind === kind);
  if (sameKind.length > 0) {
    const versions = sameKind.map((known) => quoted(apiVersionOf(known))).join(' or ');
    const message = `${quoted(apiVersion)} has no kind ${kind} here; did you mean ${versions}?`;
    return fault('apiVersion', message);
  }
  const inVersion = kinds.filter((known) => apiVersionOf(known) === apiVersion);
  const candidates = inVersion.length > 0 ? inVersion : kinds;
  const meant = closestName(
    kind,
    candidates.map((known) => known.kind),
  );
  const hint = meant === undefined ? '' : `; did you mean ${quoted(meant)}?`;
  return fault('kind', `${quoted(`${apiVersion} ${kind}`)} is no known kind${hint}`);
}

/**
 * Whether a kind is none of Tortie's business, such as a Deployment. A kind that it does not know in a group that it
 * does know, or in the core group with a name like one of its own, is a mistake.
 */
export function isForeignKind(apiVersion: string, kind: string): boolean {
  if (apiVersion === '' || kind === '' || kindOf(apiVersion, kind)) return false;
  const [group, version] = apiVersion.split('/');
  if (version !== undefined) return KINDS.every((known) => known.group !== group);
  return (
    closestName(
      kind,
      KINDS.map((known) => known.kind),
    ) === undefined
  );
}

// Who may do what: administrators everything, a node what its agent needs and no more.
import {
  agentStatusKind,
  blockAffinityKind,
  ipamBlockKind,
  ipamHandleKind,
  type KindDefinition,
  podKind,
  type Resource,
} from '#api';
import { isObject, jsonEqual } from '#lib';
import { forbidden } from './request-error.ts';
import type { User } from './tokens.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete';

export interface Attempt {
  readonly verb: Verb;
  readonly kind: KindDefinition;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** Looks at a write's outcome before it is stored; throws a 403. */
export type WriteCheck = (next: Resource, current?: Resource) => void;

/** A node borrows from and takes over blocks of others, so it may write them all. */
const ADDRESS_KINDS: ReadonlySet<KindDefinition> = new Set([
  ipamBlockKind,
  blockAffinityKind,
  ipamHandleKind,
]);
const READS: ReadonlySet<Verb> = new Set(['get', 'list', 'watch']);

/** Throws a 403, or returns what has still to be checked once the outcome is known. */
export function authorize(user: User, attempt: Attempt): WriteCheck | undefined {
  if (user.kind === 'admin' || READS.has(attempt.verb)) return undefined;
  const { verb, kind, subresource } = attempt;
  const node = user.name;
  if (ADDRESS_KINDS.has(kind) && verb !== 'patch') return undefined;
  if (kind === agentStatusKind && verb !== 'delete') {
    return (next) => {
      if (next.metadata.name !== node) throw refusal(user, attempt, 'of its own name');
    };
  }
  if (kind === podKind && verb === 'patch' && subresource === undefined) {
    return (next, current) => {
      if (!current || nodeNameOf(current) !== node) throw refusal(user, attempt, 'on its own node');
      if (!onlyAnnotationsDiffer(current, next)) throw refusal(user, attempt, 'in its annotations');
    };
  }
  throw refusal(user, attempt);
}

function refusal(user: User, { verb, kind, namespace, name }: Attempt, only?: string): Error {
  const place = kind.namespaced && namespace ? `${namespace}/` : '';
  const object = name ? `${kind.singular} "${place}${name}"` : kind.plural;
  const limit = only ? `, only such ${only}` : '';
  return forbidden(`${user.kind} "${user.name}" may not ${verb} ${object}${limit}`);
}

function nodeNameOf(pod: Resource): unknown {
  const { spec }: Resource & { spec?: unknown } = pod;
  return isObject(spec) ? spec['nodeName'] : undefined;
}

function onlyAnnotationsDiffer(current: Resource, next: Resource): boolean {
  return jsonEqual(withoutAnnotations(current), withoutAnnotations(next));
}

function withoutAnnotations(resource: Resource): unknown {
  const {
    annotations: _,
    resourceVersion: __,
    managedFields: ___,
    ...metadata
  } = resource.metadata;
  return { ...resource, metadata };
}

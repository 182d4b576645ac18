// What a delete request asks for: how long to wait, what becomes of dependents, and under which conditions.
import { isObject } from '#lib';
import { badRequest, invalidOption } from './request-error.ts';

/** What becomes of the objects that name the deleted one as their owner. */
export type PropagationPolicy = 'Background' | 'Foreground' | 'Orphan';

export interface DeleteOptions {
  readonly dryRun: boolean;
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
  /** Undefined: the kind's or the object's own; 0: at once. */
  readonly gracePeriodSeconds?: number | undefined;
  /** Undefined: as an earlier request said, else in the background. */
  readonly propagationPolicy?: PropagationPolicy | undefined;
}

type Query = Readonly<Record<string, string | undefined>>;

const POLICIES: readonly PropagationPolicy[] = ['Background', 'Foreground', 'Orphan'];
const MAX_GRACE = 2 ** 31 - 1;

/** `metav1.DeleteOptions` of a body, and those that the query may carry. Throws 400 and 422. */
export function deleteOptions(query: Query, body: unknown): DeleteOptions {
  const given = isObject(body) ? body : {};
  if (body !== undefined && !isObject(body)) throw badRequest('the body must be DeleteOptions');
  expectKind(given);
  const preconditions = isObject(given['preconditions']) ? given['preconditions'] : {};
  return {
    dryRun: isDryRun(query['dryRun'] ?? given['dryRun']),
    uid: optionalText(preconditions['uid']),
    resourceVersion: optionalText(preconditions['resourceVersion']),
    gracePeriodSeconds: graceOf(query['gracePeriodSeconds'] ?? given['gracePeriodSeconds']),
    propagationPolicy: policyOf(
      query['propagationPolicy'] ?? given['propagationPolicy'],
      query['orphanDependents'] ?? given['orphanDependents'],
    ),
  };
}

/** Whether nothing may be stored: `All`, as a text or in a list. Throws 400 for anything else. */
export function isDryRun(wanted: unknown): boolean {
  const values: readonly unknown[] = Array.isArray(wanted) ? wanted : [wanted];
  const [value] = values;
  if (values.length <= 1 && (value === undefined || value === '')) return false;
  if (values.every((item) => item === 'All')) return true;
  throw badRequest('dryRun can only be "All"');
}

function expectKind({ kind, apiVersion }: Record<string, unknown>): void {
  if (kind === undefined && apiVersion === undefined) return;
  if (kind === 'DeleteOptions') return;
  throw badRequest(`the body is a ${JSON.stringify(kind)?.slice(0, 100)}, not DeleteOptions`);
}

function graceOf(value: unknown): number | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  const seconds = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof seconds === 'number' && Number.isInteger(seconds)) {
    if (seconds >= 0 && seconds <= MAX_GRACE) return seconds;
  }
  throw invalidOption('gracePeriodSeconds', `must be a whole number from 0 to ${MAX_GRACE}`);
}

function policyOf(policy: unknown, orphan: unknown): PropagationPolicy | undefined {
  const hasPolicy = policy !== undefined && policy !== null && policy !== '';
  if (orphan === undefined || orphan === null) {
    if (!hasPolicy) return undefined;
    const known = POLICIES.find((candidate) => candidate === policy);
    if (known) return known;
    throw invalidOption('propagationPolicy', `must be one of ${POLICIES.join(', ')}`);
  }
  if (hasPolicy) {
    throw invalidOption('propagationPolicy', 'does not go with orphanDependents; leave that out');
  }
  return orphan === true || orphan === 'true' ? 'Orphan' : 'Background';
}

function optionalText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

// JSON merge patch (RFC 7386) and JSON patch (RFC 6902).
import { isObject, jsonEqual } from '#lib';
import { badRequest, RequestError } from './request-error.ts';

/** The target with the patch merged in; null removes. Neither is changed. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

const MAX_OPERATIONS = 10_000;

/** Applies the operations in order; a failed `test` or a missing path refuses the whole patch. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations');
  if (patch.length > MAX_OPERATIONS) {
    throw badRequest(
      `a JSON patch may have ${MAX_OPERATIONS} operations, this has ${patch.length}`,
    );
  }
  return patch.reduce((value, operation) => applyOperation(value, operation), target);
}

function applyOperation(target: unknown, operation: unknown): unknown {
  if (!isObject(operation)) throw badRequest('an operation of a JSON patch must be an object');
  const { op, value } = operation;
  const path = pointer(operation['path']);
  switch (op) {
    case 'add':
      return edit(target, path, { kind: 'add', value });
    case 'replace':
      return edit(target, path, { kind: 'replace', value });
    case 'remove':
      return edit(target, path, { kind: 'remove' });
    case 'test':
      if (jsonEqual(read(target, path), value)) return target;
      throw failed(`"${String(operation['path'])}" does not have the value that it is tested for`);
    case 'copy':
      return edit(target, path, { kind: 'add', value: read(target, pointer(operation['from'])) });
    case 'move': {
      const from = pointer(operation['from']);
      const moved = read(target, from);
      return edit(edit(target, from, { kind: 'remove' }), path, { kind: 'add', value: moved });
    }
    default:
      throw badRequest(`"${String(op)}" is no operation of a JSON patch`);
  }
}

type Edit = { kind: 'add' | 'replace'; value: unknown } | { kind: 'remove' };

function edit(target: unknown, path: readonly string[], change: Edit): unknown {
  const [step, ...rest] = path;
  if (step === undefined) {
    if (change.kind === 'remove') throw failed('the whole object cannot be removed');
    return change.value;
  }
  if (Array.isArray(target)) return editList(target, path, change);
  if (!isObject(target)) throw missing(path);
  const exists = Object.hasOwn(target, step);
  const needed = rest.length > 0 || change.kind !== 'add';
  if (needed && !exists) throw missing(path);
  const members = new Map(Object.entries(target));
  if (rest.length > 0) members.set(step, edit(members.get(step), rest, change));
  else if (change.kind === 'remove') members.delete(step);
  else members.set(step, change.value);
  return Object.fromEntries(members);
}

function editList(list: readonly unknown[], path: readonly string[], change: Edit): unknown[] {
  const [step = '', ...rest] = path;
  const adding = rest.length === 0 && change.kind === 'add';
  const index = step === '-' && adding ? list.length : Number(step);
  const inRange = /^(-|0|[1-9]\d*)$/.test(step) && index < list.length + (adding ? 1 : 0);
  if (!inRange) throw missing(path);
  const copy = [...list];
  if (rest.length > 0) copy[index] = edit(copy[index], rest, change);
  else if (change.kind === 'add') copy.splice(index, 0, change.value);
  else if (change.kind === 'remove') copy.splice(index, 1);
  else copy[index] = change.value;
  return copy;
}

function read(target: unknown, path: readonly string[]): unknown {
  let value = target;
  for (const step of path) {
    const known = typeof value === 'object' && value !== null && Object.hasOwn(value, step);
    if (!known) throw missing(path);
    value = (value as Record<string, unknown>)[step];
  }
  return value;
}

function pointer(text: unknown): string[] {
  if (text === '') return [];
  if (typeof text !== 'string' || !text.startsWith('/')) {
    throw badRequest(`"${String(text)}" is no JSON pointer; it begins with /`);
  }
  const steps = text.slice(1).split('/');
  return steps.map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function missing(path: readonly string[]): RequestError {
  return failed(`the object has nothing at "/${path.join('/')}"`);
}

function failed(why: string): RequestError {
  return new RequestError(422, 'Invalid', `cannot apply the JSON patch: ${why}`);
}

// JSON patch (RFC 6902), within bounds: what is copied adds up, and no path is walked by recursion.
import { isObject, jsonEqual } from '#lib';
import { badRequest, RequestError } from './request-error.ts';

const MAX_OPERATIONS = 10_000;
/** Values that may be copied in all: as many as a body of the largest size could hold. */
const MAX_COPIED = 100_000;

type Container = Record<string, unknown> | unknown[];

/** Applies the operations in order; a failed `test` or a missing path refuses the whole patch. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('a JSON patch must be a list of operations');
  if (patch.length > MAX_OPERATIONS) {
    throw badRequest(
      `a JSON patch may have ${MAX_OPERATIONS} operations, this has ${patch.length}`,
    );
  }
  const patched = new PatchedValue(structuredClone(target));
  for (const operation of patch as readonly unknown[]) patched.apply(operation);
  return patched.value;
}

/** A value of its own, which the operations change in place. */
class PatchedValue {
  value: unknown;
  #copied = 0;

  constructor(value: unknown) {
    this.value = value;
  }

  apply(operation: unknown): void {
    if (!isObject(operation)) throw badRequest('an operation of a JSON patch must be an object');
    const { op } = operation;
    const path = pointer(operation['path']);
    switch (op) {
      case 'add':
        return this.#add(path, structuredClone(operation['value']));
      case 'replace':
        return this.#replace(path, structuredClone(operation['value']));
      case 'remove':
        return this.#remove(path);
      case 'test':
        if (jsonEqual(this.#read(path), operation['value'])) return;
        throw failed(
          `"${String(operation['path'])}" does not have the value that it is tested for`,
        );
      case 'copy':
        return this.#add(path, this.#copyOf(pointer(operation['from'])));
      case 'move':
        return this.#move(pointer(operation['from']), path);
      default:
        throw badRequest(`"${String(op)}" is no operation of a JSON patch`);
    }
  }

  #add(path: readonly string[], value: unknown): void {
    const step = path.at(-1);
    if (step === undefined) {
      this.value = value;
      return;
    }
    const container = this.#containerOf(path);
    if (!Array.isArray(container)) setMember(container, step, value);
    else container.splice(indexIn(container, step, path, true), 0, value);
  }

  #replace(path: readonly string[], value: unknown): void {
    const step = path.at(-1);
    this.#read(path);
    if (step === undefined) this.value = value;
    else setMember(this.#containerOf(path), step, value);
  }

  #remove(path: readonly string[]): void {
    const step = path.at(-1);
    if (step === undefined) throw failed('the whole object cannot be removed');
    const container = this.#containerOf(path);
    if (Array.isArray(container)) container.splice(indexIn(container, step, path, false), 1);
    else if (Object.hasOwn(container, step)) Reflect.deleteProperty(container, step);
    else throw missing(path);
  }

  #move(from: readonly string[], path: readonly string[]): void {
    if (from.length < path.length && from.every((step, index) => step === path[index])) {
      throw failed(`"/${from.join('/')}" cannot be moved into itself`);
    }
    const moved = this.#read(from);
    this.#remove(from);
    this.#add(path, moved);
  }

  #copyOf(path: readonly string[]): unknown {
    const value = this.#read(path);
    this.#copied += countValues(value, MAX_COPIED - this.#copied);
    if (this.#copied >= MAX_COPIED) {
      throw badRequest(`a JSON patch may copy ${MAX_COPIED} values, this copies more`);
    }
    return structuredClone(value);
  }

  /** What holds the last step of the path. */
  #containerOf(path: readonly string[]): Container {
    const container = this.#read(path.slice(0, -1), path);
    if (Array.isArray(container) || isObject(container)) return container;
    throw missing(path);
  }

  #read(path: readonly string[], told = path): unknown {
    let value = this.value;
    for (const step of path) {
      const isIndex = !Array.isArray(value) || INDEX.test(step);
      const known = typeof value === 'object' && value !== null && Object.hasOwn(value, step);
      if (!known || !isIndex) throw missing(told);
      value = (value as Record<string, unknown>)[step];
    }
    return value;
  }
}

const INDEX = /^(0|[1-9]\d*)$/;

/** `-` is the end, where something is added. */
function indexIn(
  list: readonly unknown[],
  step: string,
  path: readonly string[],
  adding: boolean,
): number {
  if (adding && step === '-') return list.length;
  const index = INDEX.test(step) ? Number(step) : Infinity;
  if (index < list.length + (adding ? 1 : 0)) return index;
  throw missing(path);
}

/** A member of any name, `__proto__` too. */
function setMember(container: Container, name: string, value: unknown): void {
  const member = { value, enumerable: true, configurable: true, writable: true };
  Object.defineProperty(container, name, member);
}

/** How many values there are in one; it is not looked further than `most`. */
function countValues(value: unknown, most: number): number {
  const waiting = [value];
  let count = 0;
  for (let next = waiting.pop(); count < most; next = waiting.pop()) {
    // Long texts weigh as much as what could stand in their place.
    count += typeof next === 'string' ? 1 + Math.floor(next.length / 30) : 1;
    if (typeof next === 'object' && next !== null) {
      for (const member of Object.values(next)) waiting.push(member);
    }
    if (waiting.length === 0) break;
  }
  return count;
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
  const text = `/${path.join('/')}`;
  return failed(`the object has nothing at "${text.slice(0, 200)}"`);
}

function failed(why: string): RequestError {
  return new RequestError(422, 'Invalid', `cannot apply the JSON patch: ${why}`);
}

// Reads the fields of foreign JSON one by one: strict, bounded, every problem named by its path.
import { isObject } from '#lib';

const TEXT_MAX = 512;
const LABELS_MAX = 128;
const PROBLEMS_MAX = 16;

/** Problems of one text, and the objects in it. */
export class Reader {
  readonly problems: string[] = [];

  problem(path: string, message: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${path || 'flow'} ${message}`);
  }

  /** The fields of what is no object have no problems of their own. */
  object(value: unknown, path: string): Fields {
    if (isObject(value)) return new Fields(this, value, path);
    this.problem(path, 'is no object');
    return new Fields(new Reader(), {}, path);
  }
}

/** The fields of one object: each is read once, what is left over is a problem. */
export class Fields {
  readonly #reader: Reader;
  readonly #value: Record<string, unknown>;
  readonly #path: string;
  readonly #read = new Set<string>();

  constructor(reader: Reader, value: Record<string, unknown>, path: string) {
    this.#reader = reader;
    this.#value = value;
    this.#path = path;
  }

  end(): void {
    for (const name of Object.keys(this.#value)) {
      if (!this.#read.has(name)) this.#problem(name.slice(0, 64), 'is no field of a flow');
    }
  }

  object(name: string): Fields {
    return this.#reader.object(this.#take(name), this.#at(name));
  }

  objects(name: string, max: number): Fields[] {
    const value = this.#take(name);
    if (Array.isArray(value) && value.length <= max) {
      return value.map((item, index) => this.#reader.object(item, `${this.#at(name)}[${index}]`));
    }
    this.#problem(name, `is no list of at most ${max}`);
    return [];
  }

  optionalObject(name: string): Fields | undefined {
    return this.#has(name) ? this.object(name) : undefined;
  }

  optionalObjects(name: string, max: number): Fields[] | undefined {
    return this.#has(name) ? this.objects(name, max) : undefined;
  }

  texts(name: string, max: number): string[] {
    const value = this.#take(name);
    const fits = (item: unknown) => typeof item === 'string' && item.length <= TEXT_MAX;
    if (Array.isArray(value) && value.length <= max && value.every(fits)) return value.map(String);
    this.#problem(name, `is no list of at most ${max} texts`);
    return [];
  }

  text(name: string): string {
    const value = this.#take(name);
    if (typeof value === 'string' && value.length <= TEXT_MAX) return value;
    this.#problem(name, `is no text of at most ${TEXT_MAX} characters`);
    return '';
  }

  nullableText(name: string): string | null {
    if (this.#value[name] !== null) return this.text(name);
    this.#read.add(name);
    return null;
  }

  optionalText(name: string): string | undefined {
    return this.#has(name) ? this.text(name) : undefined;
  }

  integer(name: string, max = Number.MAX_SAFE_INTEGER, min = 0): number {
    const value = this.#take(name);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
      return value;
    }
    this.#problem(name, `is no whole number from ${min} to ${max}`);
    return 0;
  }

  optionalInteger(name: string, max: number): number | undefined {
    return this.#has(name) ? this.integer(name, max) : undefined;
  }

  oneOf<const T extends string>(name: string, values: readonly [T, ...T[]]): T {
    const value = this.#take(name);
    const known = values.find((candidate) => candidate === value);
    if (known === undefined) this.#problem(name, `is none of ${values.join(', ')}`);
    return known ?? values[0];
  }

  labels(name: string): Record<string, string> {
    const value = this.#take(name);
    const entries = isObject(value) ? Object.entries(value) : undefined;
    if (!entries || entries.length > LABELS_MAX) {
      this.#problem(name, `is no object of at most ${LABELS_MAX} labels`);
      return {};
    }
    const labels: [string, string][] = [];
    for (const [key, text] of entries) {
      if (typeof text === 'string' && text.length + key.length <= TEXT_MAX)
        labels.push([key, text]);
      else this.#problem(`${name}[${JSON.stringify(key.slice(0, 64))}]`, 'is no text');
    }
    return Object.fromEntries(labels);
  }

  #has(name: string): boolean {
    return Object.hasOwn(this.#value, name);
  }

  #take(name: string): unknown {
    this.#read.add(name);
    return this.#has(name) ? this.#value[name] : undefined;
  }

  #at(name: string): string {
    return this.#path ? `${this.#path}.${name}` : name;
  }

  #problem(name: string, message: string): void {
    this.#reader.problem(this.#at(name), message);
  }
}

// The agent's parameters for one host: its own sources, and the FelixConfigurations that concern it (spec 04).
import {
  type FelixConfiguration,
  type ParameterProblem,
  type ParameterSource,
  type ParameterValue,
  parametersInConfiguration,
  resolveParameters,
  withoutEffect,
} from '#api';
import { compareCodePoints } from '#lib';
import { parseSelector, SelectorError } from '#selector';
import type { Labels } from './model.ts';

/**
 * The last source of all. Felix itself would drop what workloads send to their host, but every installation of Calico
 * by operator or manifest sets Accept, and pods need their host.
 */
const INSTALLATION: ParameterSource = {
  name: 'the installation',
  local: true,
  values: { DefaultEndpointToHostAction: 'ACCEPT' },
};

/** The parameters in force, with their types made sure. */
export class Parameters {
  readonly values: ReadonlyMap<string, ParameterValue>;
  readonly problems: readonly ParameterProblem[];

  /** `problems`: those of the sources themselves. */
  constructor(sources: readonly ParameterSource[], problems: readonly ParameterProblem[] = []) {
    const resolved = resolveParameters([...sources, INSTALLATION]);
    this.values = resolved.values;
    this.problems = [...problems, ...resolved.problems, ...withoutEffect(resolved.values)];
  }

  text(name: string): string {
    const value = this.values.get(name);
    return typeof value === 'string' ? value : '';
  }

  number(name: string): number {
    const value = this.values.get(name);
    return typeof value === 'number' ? value : 0;
  }

  flag(name: string): boolean {
    return this.values.get(name) === true;
  }

  /** Null where nothing says. */
  choice(name: string): boolean | null {
    const value = this.values.get(name);
    return typeof value === 'boolean' ? value : null;
  }

  is(name: string, word: string): boolean {
    return this.values.get(name) === word;
  }

  list(name: string): readonly ParameterValue[] {
    const value = this.values.get(name);
    return Array.isArray(value) ? value : [];
  }
}

export class Configuration {
  readonly #hostname: string;
  readonly #local: readonly ParameterSource[];
  readonly #resources = new Map<string, FelixConfiguration>();
  #nodeLabels: Labels = {};
  #parameters: Parameters | undefined;

  /** `local`: environment and file of the host, the stronger first. */
  constructor(hostname: string, local: readonly ParameterSource[]) {
    this.#hostname = hostname;
    this.#local = local;
  }

  setResource(name: string, resource: FelixConfiguration | undefined): void {
    if (resource) this.#resources.set(name, resource);
    else this.#resources.delete(name);
    this.#parameters = undefined;
  }

  /** Of the host's own Node: a FelixConfiguration may select by them. */
  setNodeLabels(labels: Labels): void {
    this.#nodeLabels = labels;
    const selects = [...this.#resources.values()].some(({ spec }) => spec.nodeSelector);
    if (selects) this.#parameters = undefined;
  }

  /** The same object while nothing changed. */
  get parameters(): Parameters {
    this.#parameters ??= new Parameters(this.#sources(), this.#problems());
    return this.#parameters;
  }

  #sources(): ParameterSource[] {
    const named = (name: string) => {
      const resource = this.#resources.get(name);
      return resource ? [resource] : [];
    };
    const resources = [
      ...named(`node.${this.#hostname}`),
      ...this.#selecting().slice(0, 1),
      ...named('default'),
    ];
    const sources = resources.map(({ metadata, spec }) => ({
      name: `FelixConfiguration ${metadata.name}`,
      local: false,
      values: parametersInConfiguration(spec),
    }));
    return [...this.#local, ...sources];
  }

  #problems(): ParameterProblem[] {
    const [chosen, ...others] = this.#selecting().map(({ metadata }) => metadata.name);
    if (chosen === undefined || others.length === 0) return [];
    const message = `selects this node in ${[chosen, ...others].join(', ')}: ${chosen}, the oldest, counts`;
    return [{ parameter: 'nodeSelector', message, fatal: false }];
  }

  /** Those that select this host's Node, the oldest first. */
  #selecting(): FelixConfiguration[] {
    return [...this.#resources.values()]
      .filter(({ metadata, spec }) => {
        const isNamed = metadata.name === 'default' || metadata.name.startsWith('node.');
        return !isNamed && selects(spec.nodeSelector, this.#nodeLabels);
      })
      .sort((a, b) => compareCodePoints(ageText(a), ageText(b)));
  }
}

/** A selector that is missing or cannot be read selects nothing: settings stay what they are without it. */
function selects(selector: string | undefined, labels: Labels): boolean {
  if (!selector) return false;
  try {
    return parseSelector(selector).evaluate(labels);
  } catch (error) {
    if (error instanceof SelectorError) return false;
    throw error;
  }
}

function ageText({ metadata }: FelixConfiguration): string {
  return `${metadata.creationTimestamp ?? '~'} ${metadata.name}`;
}

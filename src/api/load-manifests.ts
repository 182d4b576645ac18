// Reads manifests: YAML or JSON, several documents, lists; what is wrong comes with source, document and line.
import { isObject } from '#lib';
import { type Document, isMap, isNode, LineCounter, parseAllDocuments } from 'yaml';
import { type SpelledFields, spellFields } from './field-case.ts';
import type { Problem, Resource } from './kind.ts';
import { kindOf } from './kinds.ts';
import { KUBERNETES_YAML } from './kubernetes-yaml.ts';
import { isForeignKind, validateResource } from './validate-resource.ts';
import { caution, fault, quoted } from './problem.ts';

export interface ManifestProblem extends Problem {
  /** Where the text came from: a file's name, `stdin`. */
  readonly source: string;
  /** 1-based. */
  readonly document: number;
  /** 1-based line in the source. */
  readonly line?: number;
}

export interface Manifests {
  /** Valid ones, with defaults, in their order. */
  readonly resources: Resource[];
  readonly problems: ManifestProblem[];
}

const TEXT_MAX = 16 * 1024 * 1024;
const ALIASES_MAX = 100;

/**
 * All resources of a text. Kinds of groups that Tortie has nothing to do with are left out with a warning; any other
 * mistake is an error, and its resource is left out.
 */
export function loadManifests(text: string, source: string): Manifests {
  const manifests: Manifests = { resources: [], problems: [] };
  if (text.length > TEXT_MAX) {
    const message = `the text is ${text.length} characters long, at most ${TEXT_MAX} are allowed; split it`;
    manifests.problems.push({ ...fault('', message), source, document: 1 });
    return manifests;
  }
  const lines = new LineCounter();
  let documents: Document.Parsed[] = [];
  try {
    documents = parseDocuments(text, lines);
  } catch (error) {
    const message = `YAML: ${error instanceof Error ? error.message : String(error)}`;
    manifests.problems.push({ ...fault('', message), source, document: 1 });
  }
  for (const [index, document] of documents.entries()) {
    const reader = new DocumentReader(document, lines, { source, document: index + 1 });
    const { resources, problems } = reader.read();
    manifests.resources.push(...resources);
    manifests.problems.push(...problems);
  }
  return manifests;
}

function parseDocuments(text: string, lineCounter: LineCounter): Document.Parsed[] {
  const documents = parseAllDocuments(text, {
    ...KUBERNETES_YAML,
    lineCounter,
    prettyErrors: false,
    logLevel: 'error',
  });
  return Array.isArray(documents) ? documents : [];
}

type Path = readonly (string | number)[];

class DocumentReader {
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;
  readonly #place: { readonly source: string; readonly document: number };
  readonly #found: Manifests = { resources: [], problems: [] };

  constructor(
    document: Document.Parsed,
    lines: LineCounter,
    place: { readonly source: string; readonly document: number },
  ) {
    this.#document = document;
    this.#lines = lines;
    this.#place = place;
  }

  read(): Manifests {
    for (const error of this.#document.errors) {
      this.#report(fault('', `YAML: ${error.message}`), this.#lines.linePos(error.pos[0]).line);
    }
    if (this.#document.errors.length === 0) this.#item(this.#content(), []);
    return this.#found;
  }

  #content(): unknown {
    try {
      return this.#document.toJS({ maxAliasCount: ALIASES_MAX });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#report(fault('', `YAML: ${reason}`), undefined);
      return undefined;
    }
  }

  #item(value: unknown, at: Path): void {
    if (value === undefined || value === null) return;
    if (Array.isArray(value) && at.length === 0) {
      for (const [index, item] of value.entries()) this.#item(item, [index]);
      return;
    }
    if (isList(value)) {
      for (const [index, item] of value.items.entries()) this.#item(item, [...at, 'items', index]);
      return;
    }
    const ignored = foreignKind(value);
    if (ignored !== undefined) {
      const problem = caution('kind', `${quoted(ignored)} is no kind of Tortie's; left out`);
      this.#report(problem, this.#lineOf(at));
      return;
    }
    const spelt = spelledAsCalico(value);
    const { resource, problems } = validateResource(spelt.value);
    if (resource) this.#found.resources.push(resource);
    for (const problem of [...spelt.problems, ...problems]) {
      this.#report(problem, this.#lineOf([...at, ...stepsOf(problem.path)]));
    }
  }

  #report(problem: Problem, line: number | undefined): void {
    this.#found.problems.push({
      ...problem,
      ...this.#place,
      ...(line === undefined ? {} : { line }),
    });
  }

  /** The line of the deepest node on the path that is there. */
  #lineOf(path: Path): number | undefined {
    for (let length = path.length; length >= 0; length--) {
      const offset = this.#offsetOf(path.slice(0, length));
      if (offset !== undefined) return this.#lines.linePos(offset).line;
    }
    return undefined;
  }

  /** Where a member's key stands, or an item begins. */
  #offsetOf(path: Path): number | undefined {
    const last = path.at(-1);
    const parent: unknown = this.#document.getIn(path.slice(0, -1), true);
    if (typeof last === 'string' && isMap(parent)) {
      const pair = parent.items.find(({ key }) => isNode(key) && String(key) === last);
      return pair && isNode(pair.key) ? pair.key.range?.[0] : undefined;
    }
    const node: unknown = this.#document.getIn(path, true);
    return isNode(node) ? node.range?.[0] : undefined;
  }
}

/** `kind: List`, and any typed list with items such as NetworkPolicyList. */
function isList(value: unknown): value is { items: unknown[] } {
  return (
    isObject(value) &&
    typeof value['kind'] === 'string' &&
    value['kind'].endsWith('List') &&
    Array.isArray(value['items'])
  );
}

/** Calico's own kinds in the schema's spelling: calicoctl takes any letter case. */
function spelledAsCalico(value: unknown): SpelledFields {
  if (!isObject(value)) return { value, problems: [] };
  const { apiVersion, kind } = value;
  const known = typeof apiVersion === 'string' && typeof kind === 'string';
  const definition = known ? kindOf(apiVersion, kind) : undefined;
  if (definition?.group !== 'projectcalico.org') return { value, problems: [] };
  return spellFields(definition.schema, value);
}

function foreignKind(value: unknown): string | undefined {
  if (!isObject(value)) return undefined;
  const { apiVersion, kind } = value;
  if (typeof apiVersion !== 'string' || typeof kind !== 'string') return undefined;
  return isForeignKind(apiVersion, kind) ? `${apiVersion} ${kind}` : undefined;
}

/** `spec.ingress[0].action` and `labels["a/b"]` as steps into a document. */
function stepsOf(path: string): (string | number)[] {
  const steps: (string | number)[] = [];
  for (const [, name, index, key] of path.matchAll(
    /([^.[\]]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]/g,
  )) {
    if (name !== undefined) steps.push(name);
    else if (index !== undefined) steps.push(Number(index));
    else if (key !== undefined) steps.push(String(JSON.parse(key)));
  }
  return steps;
}

// Reads the manifests that `-f` names: files, folders, standard input. All problems come at once.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isNode, LineCounter, parseAllDocuments } from 'yaml';
import { loadManifests, type ManifestProblem, type Problem, type Resource } from '#api';
import { readingProblem } from '#datastore/client';
import { isLabManifest, type LabSpec, readLabSpec } from '#lab';
import { isPolicyTest, type PolicyTest, readPolicyTest } from '#policy';
import { UsageError } from './cli-error.ts';
import type { Terminal } from './terminal.ts';

export interface LoadedManifests {
  readonly resources: Resource[];
  /** Manifests of kind Lab, which are not for the API. */
  readonly labs: LabSpec[];
  /** Neither are those of kind PolicyTest. */
  readonly tests: LoadedTest[];
}

export interface LoadedTest {
  readonly test: PolicyTest;
  /** The file that it stands in. */
  readonly source: string;
}

export interface ReadManifests extends LoadedManifests {
  /** Warnings and errors, in order. */
  readonly problems: ManifestProblem[];
}

export interface LoadOptions {
  /** Whether the folders inside of folders are read too. */
  readonly recursive: boolean;
  /** For namespaced resources that do not say one. */
  readonly namespace?: string;
}

const EXTENSIONS = ['.yaml', '.yml', '.json'];
const FILES_MAX = 10_000;

/** Reads everything, and says what is wrong with it. Throws UsageError where there is nothing to read. */
export async function readManifestFiles(
  paths: readonly string[],
  options: LoadOptions,
  terminal: Terminal,
): Promise<ReadManifests> {
  const all: ReadManifests = { resources: [], labs: [], tests: [], problems: [] };
  for (const path of paths) {
    for (const { source, text } of await readSources(path, options.recursive, terminal)) {
      const read = readSource(text, source);
      all.resources.push(...read.resources);
      all.labs.push(...read.labs);
      all.tests.push(...read.tests);
      all.problems.push(...read.problems);
    }
  }
  return all;
}

/** Prints warnings; throws UsageError with every problem of every file. */
export async function loadManifestFiles(
  paths: readonly string[],
  options: LoadOptions,
  terminal: Terminal,
): Promise<LoadedManifests> {
  const { problems, ...loaded } = await readManifestFiles(paths, options, terminal);
  const errors = problems.filter(({ severity }) => severity === 'error');
  for (const warning of problems.filter(({ severity }) => severity === 'warning')) {
    terminal.err(`warning: ${problemText(warning)}\n`);
  }
  if (errors.length > 0) {
    throw new UsageError(`Cannot use these manifests:\n${errors.map(problemText).join('\n')}`);
  }
  return loaded;
}

/** `shop/policies.yaml:12: spec.ingress[0].action: is required`. */
export function problemText({ source, line, path, message }: ManifestProblem): string {
  const place = line === undefined ? source : `${source}:${line}`;
  return path === '' ? `${place}: ${message}` : `${place}: ${path}: ${message}`;
}

interface Source {
  readonly source: string;
  readonly text: string;
}

async function readSources(
  path: string,
  recursive: boolean,
  terminal: Terminal,
): Promise<Source[]> {
  if (path === '-') return [{ source: 'stdin', text: await terminal.readInput() }];
  try {
    if (!statSync(path).isDirectory()) return [{ source: path, text: readFileSync(path, 'utf8') }];
    const files = manifestsBelow(path, recursive);
    if (files.length > 0)
      return files.map((file) => ({ source: file, text: readFileSync(file, 'utf8') }));
  } catch (error) {
    throw new UsageError(`Cannot read ${path}: ${readingProblem(error)}`);
  }
  const hint = recursive ? '' : '; folders inside of it are read with -R';
  throw new UsageError(
    `Cannot find manifests in ${path}: no file ends in ${EXTENSIONS.join(', ')}${hint}`,
  );
}

function manifestsBelow(folder: string, recursive: boolean): string[] {
  const files = readdirSync(folder, { recursive, withFileTypes: true })
    .filter((entry) => entry.isFile() && EXTENSIONS.some((it) => entry.name.endsWith(it)))
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
  if (files.length > FILES_MAX) throw new Error(`more than ${FILES_MAX} files`);
  return files;
}

/** Manifests that are not for the API are taken out; what the API's reader says of them does not count. */
function readSource(text: string, source: string): ReadManifests {
  const { resources, problems } = loadManifests(text, source);
  const read: ReadManifests = { resources, labs: [], tests: [], problems: [] };
  const own = new Set<number>();
  for (const [index, { value, lineOf }] of ownDocuments(text).entries()) {
    const document = index + 1;
    const faults = isLabManifest(value)
      ? readLab(value, read)
      : isPolicyTest(value)
        ? readTest(value, source, read)
        : undefined;
    if (!faults) continue;
    own.add(document);
    for (const fault of faults) {
      const line = lineOf(fault.path);
      read.problems.push({ ...fault, source, document, ...(line === undefined ? {} : { line }) });
    }
  }
  read.problems.push(...problems.filter(({ document }) => !own.has(document)));
  return read;
}

function readLab(value: unknown, { labs }: ReadManifests): readonly Problem[] {
  const { spec, problems } = readLabSpec(value);
  labs.push(spec);
  return problems;
}

function readTest(
  value: Record<string, unknown>,
  source: string,
  { tests }: ReadManifests,
): readonly Problem[] {
  const { test, problems } = readPolicyTest(value);
  if (test) tests.push({ test, source });
  return problems;
}

interface OwnDocument {
  readonly value: unknown;
  readonly lineOf: (path: string) => number | undefined;
}

/** Every document of a text, if any can be of Tortie's own kinds that the API does not know. */
function ownDocuments(text: string): OwnDocument[] {
  if (!text.includes('tortie.dev/')) return [];
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { prettyErrors: false, lineCounter: lines });
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => ({
    value: document.errors.length > 0 ? undefined : document.toJS(),
    lineOf: (path) => {
      const steps = [...path.matchAll(/([^.[\]]+)|\[(\d+)\]/g)].map(([, name, index]) =>
        index === undefined ? name : Number(index),
      );
      for (let length = steps.length; length >= 0; length--) {
        const node: unknown = document.getIn(steps.slice(0, length), true);
        if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
      }
      return undefined;
    },
  }));
}

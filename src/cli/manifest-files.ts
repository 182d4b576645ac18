// Reads the manifests that `-f` names: files, folders, standard input. All problems come at once.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { loadManifests, type ManifestProblem, type Resource } from '#api';
import { isLabManifest, type LabSpec, readLabSpec } from '#lab';
import { UsageError } from './cli-error.ts';
import type { Terminal } from './terminal.ts';

export interface LoadedManifests {
  readonly resources: Resource[];
  /** Manifests of kind Lab, which are not for the API. */
  readonly labs: LabSpec[];
}

export interface LoadOptions {
  /** Whether the folders inside of folders are read too. */
  readonly recursive: boolean;
  /** For namespaced resources that do not say one. */
  readonly namespace?: string;
}

const EXTENSIONS = ['.yaml', '.yml', '.json'];
const FILES_MAX = 10_000;

/** Prints warnings; throws UsageError with every problem of every file. */
export async function loadManifestFiles(
  paths: readonly string[],
  options: LoadOptions,
  terminal: Terminal,
): Promise<LoadedManifests> {
  const loaded: LoadedManifests = { resources: [], labs: [] };
  const problems: ManifestProblem[] = [];
  for (const path of paths) {
    for (const { source, text } of await readSources(path, options.recursive, terminal)) {
      const read = readSource(text, source);
      loaded.resources.push(...read.resources);
      loaded.labs.push(...read.labs);
      problems.push(...read.problems);
    }
  }
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
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`Cannot read ${path}: ${reason}`);
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

/** A manifest of the lab is taken out; what the API's reader says of it does not count. */
function readSource(text: string, source: string) {
  const { resources, problems } = loadManifests(text, source);
  const labs: LabSpec[] = [];
  const labDocuments = new Set<number>();
  const found: ManifestProblem[] = [];
  for (const [index, value] of documentsOf(text).entries()) {
    if (!isLabManifest(value)) continue;
    const document = index + 1;
    labDocuments.add(document);
    const { spec, problems: faults } = readLabSpec(value);
    labs.push(spec);
    found.push(...faults.map((fault) => ({ ...fault, source, document })));
  }
  found.push(...problems.filter(({ document }) => !labDocuments.has(document)));
  return { resources, labs, problems: found };
}

function documentsOf(text: string): unknown[] {
  if (!text.includes('lab.tortie.dev')) return [];
  const documents = parseAllDocuments(text, { prettyErrors: false });
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => (document.errors.length > 0 ? undefined : document.toJS()));
}

// Rules for the metadata of every kind: name, namespace, labels and annotations (spec 01, 1.3).
import { isLabelKey, isSubdomain } from './formats.ts';
import { formatProblem } from './formats.ts';
import type { KindDefinition, Problem, Resource } from './kind.ts';
import { fault, memberPath, quoted } from './problem.ts';

/** Of labels, and of annotations. */
const TEXTS_MAX = 256 * 1024;
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** What is wrong with the metadata, names by the kind's own rule. */
export function metadataProblems(kind: KindDefinition, { metadata }: Resource): Problem[] {
  const { name, namespace, labels, annotations } = metadata;
  const problems: Problem[] = [];
  const nameProblem = (kind.nameProblem ?? subdomainProblem)(name);
  if (nameProblem !== undefined) problems.push(fault('metadata.name', nameProblem));
  if (namespace !== undefined && namespace !== '') {
    problems.push(...namespaceProblems(kind, namespace));
  }
  const size = sizeOf(labels);
  if (size > TEXTS_MAX) problems.push(tooLong('metadata.labels', size));
  for (const [key, value] of size > TEXTS_MAX ? [] : Object.entries(labels ?? {})) {
    const path = memberPath('metadata.labels', key);
    if (!isLabelKey(key)) problems.push(fault(path, `${quoted(key)} is no label key`));
    const problem = formatProblem('label-value', value);
    if (problem !== undefined) problems.push(fault(path, problem));
  }
  return [...problems, ...annotationProblems(annotations, 'metadata.annotations')];
}

/** Keys as for labels (in any case), 256 KiB in all. */
export function annotationProblems(
  annotations: Readonly<Record<string, string>> | undefined,
  path: string,
): Problem[] {
  const problems: Problem[] = [];
  for (const key of Object.keys(annotations ?? {})) {
    if (!isLabelKey(key.toLowerCase())) {
      problems.push(fault(memberPath(path, key), `${quoted(key)} is no annotation key`));
    }
  }
  const size = sizeOf(annotations);
  return size > TEXTS_MAX ? [...problems, tooLong(path, size)] : problems;
}

/** Bytes of keys and values. */
function sizeOf(texts: Readonly<Record<string, string>> | undefined): number {
  const encoder = new TextEncoder();
  return Object.entries(texts ?? {}).reduce(
    (size, [key, value]) => size + encoder.encode(key + value).length,
    0,
  );
}

function tooLong(path: string, size: number): Problem {
  return fault(path, `are ${size} bytes long, at most ${TEXTS_MAX} are allowed`);
}

function subdomainProblem(name: string): string | undefined {
  return isSubdomain(name) ? undefined : formatProblem('subdomain', name);
}

function namespaceProblems(kind: KindDefinition, namespace: string): Problem[] {
  if (!kind.namespaced) {
    return [
      fault('metadata.namespace', `a ${kind.kind} belongs to no namespace; remove the field`),
    ];
  }
  if (NAMESPACE.test(namespace)) return [];
  return [fault('metadata.namespace', `${quoted(namespace)} is no namespace's name`)];
}

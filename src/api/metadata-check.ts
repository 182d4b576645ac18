// Rules for the metadata of every kind: name, namespace, labels and annotations (spec 01, 1.3).
import { isLabelKey, isSubdomain } from './formats.ts';
import { formatProblem } from './formats.ts';
import type { KindDefinition, Problem, Resource } from './kind.ts';
import { fault, memberPath, quoted } from './problem.ts';

const ANNOTATIONS_MAX = 256 * 1024;
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
  for (const [key, value] of Object.entries(labels ?? {})) {
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
  let size = 0;
  for (const [key, value] of Object.entries(annotations ?? {})) {
    size += new TextEncoder().encode(key + value).length;
    if (!isLabelKey(key.toLowerCase())) {
      problems.push(fault(memberPath(path, key), `${quoted(key)} is no annotation key`));
    }
  }
  if (size > ANNOTATIONS_MAX) {
    problems.push(fault(path, `are ${size} bytes long, at most ${ANNOTATIONS_MAX} are allowed`));
  }
  return problems;
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

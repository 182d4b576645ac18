// `tortie get`: resources as a table, JSON, YAML or names.
import { type Command, Option } from 'commander';
import { kindOf, type KindDefinition, type Pod, podToWorkloadEndpoint, type Resource } from '#api';
import { type ApiClient, readGivenFile } from '#datastore/client';
import { definitionOf, inNamespace } from './apply-resources.ts';
import { CommandFailure, UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { displayName, lookupKind } from './kind-lookup.ts';
import { loadManifestFiles } from './manifest-files.ts';
import {
  checkColumns,
  formatResources,
  OUTPUTS,
  type OutputForm,
  readOutputForm,
  type ResourceGroup,
} from './resource-output.ts';
import type { Terminal } from './terminal.ts';

interface GetFlags extends ClusterFlags {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly output?: string;
  readonly filename?: readonly string[];
  readonly recursive?: boolean;
  readonly export?: boolean;
}

const VALUED = 'custom-columns=A,B|go-template=...|go-template-file=...';

export function addGetCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('get')
    .summary('show resources')
    .description('Shows resources of one kind, or of several with commas between.')
    .argument('[kind]', 'plural, singular or short name, such as pods, np, netpol, gnp, tiers')
    .argument('[name...]', 'only these')
    .option('-f, --filename <path...>', 'what these manifests name, or - for standard input')
    .option('-R, --recursive', 'read the folders inside of folders too')
    .option('-n, --namespace <namespace>', 'the namespace to look in')
    .option('-A, --all-namespaces', 'look in all namespaces')
    .addOption(new Option('-a').hideHelp())
    .option('--export', "without what belongs to this cluster's copy: uid, version, times")
    .option('-l, --selector <selector>', 'only what has these labels, such as app=web,tier!=test')
    .option('-o, --output <format>', `${OUTPUTS.join('|')}|${VALUED}`);
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie get pods -A -o wide
  tortie get np -n shop              Calico's NetworkPolicy
  tortie get netpol -n data          Kubernetes' own NetworkPolicy
  tortie get tiers,gnp -o yaml
  tortie get wep -A                  pods as policy sees them`,
    )
    .action(
      async (kinds: string | undefined, names: string[], flags: GetFlags & { a?: boolean }) => {
        const allNamespaces = flags.allNamespaces === true || flags.a === true;
        await get({ kinds, names }, { ...flags, allNamespaces }, terminal);
      },
    );
}

interface Words {
  readonly kinds: string | undefined;
  readonly names: readonly string[];
}

function readTemplate(path: string): string {
  return readGivenFile({ name: '--output', path, holds: 'text' }).toString('utf8');
}

type Find = (client: ApiClient, namespace: string) => Promise<ResourceGroup[]>;

async function get(words: Words, flags: GetFlags, terminal: Terminal): Promise<void> {
  const output = readOutputForm(flags.output, readTemplate);
  const find = await finder(words, { ...flags, form: output }, terminal);
  const client = connect(flags, terminal);
  try {
    const namespace = flags.namespace ?? client.namespace;
    const found = await find(client, namespace);
    const groups = flags.export === true ? found.map(exported) : found;
    const single = words.names.length === 1 || flags.filename !== undefined ? only(groups) : false;
    const withNamespace = flags.allNamespaces === true;
    terminal.out(formatResources(groups, { output, single, withNamespace, nowMs: Date.now() }));
    if (isTable(output) && isEmpty(groups)) {
      const where = flags.allNamespaces || !groups.some(({ kind }) => kind.namespaced);
      terminal.err(
        where ? 'No resources found\n' : `No resources found in namespace ${namespace}\n`,
      );
    }
  } finally {
    await client.close();
  }
}

/** What is to be read, once the default namespace is known. Throws UsageError. */
async function finder(
  { kinds, names }: Words,
  flags: GetFlags & { readonly form: OutputForm },
  terminal: Terminal,
): Promise<Find> {
  if (flags.allNamespaces && flags.namespace !== undefined) {
    throw new UsageError('Cannot use -A and -n together: choose one');
  }
  if (names.length > 0 && (flags.allNamespaces || flags.selector !== undefined)) {
    throw new UsageError('Cannot look for names with -A or -l: give a namespace with -n');
  }
  if (flags.filename !== undefined) {
    if (kinds !== undefined) {
      throw new UsageError('Cannot get by -f and by kind together: choose one');
    }
    const recursive = flags.recursive === true;
    const { resources } = await loadManifestFiles(flags.filename, { recursive }, terminal);
    for (const resource of resources) checkColumns(flags.form, definitionOf(resource));
    return (client, namespace) => readNamed(client, resources, namespace);
  }
  if (kinds === undefined) throw new UsageError('Cannot get nothing: give a kind, or -f FILE');
  const wanted = kinds.split(',').map(lookupKind);
  for (const kind of wanted) checkColumns(flags.form, kind);
  return (client, namespace) =>
    Promise.all(
      wanted.map(async (kind) => {
        const scope = kind.namespaced && !flags.allNamespaces ? { namespace } : {};
        return { kind, resources: await read(client, { kind, names, scope, flags }) };
      }),
    );
}

/** The resources that manifests name, by kind. Throws CommandFailure for those that are not there. */
async function readNamed(
  client: ApiClient,
  wanted: readonly Resource[],
  namespace: string,
): Promise<ResourceGroup[]> {
  const groups = new Map<KindDefinition, Resource[]>();
  const missing: string[] = [];
  for (const resource of wanted.map((it) => inNamespace(it, namespace))) {
    const kind = definitionOf(resource);
    const found = await client.get(kind, resource.metadata);
    if (found) groups.set(kind, [...(groups.get(kind) ?? []), found]);
    else missing.push(displayName(kind, resource.metadata.name));
  }
  if (missing.length > 0) {
    throw new CommandFailure(`Cannot get ${missing.join(', ')}: not found`);
  }
  return [...groups].map(([kind, resources]) => ({ kind, resources }));
}

/** Without what only this cluster's copy has. */
function exported({ kind, resources }: ResourceGroup): ResourceGroup {
  return { kind, resources: resources.map(withoutIdentity) };
}

function withoutIdentity(resource: Resource): Resource {
  const { uid: _, resourceVersion: __, creationTimestamp: ___, ...metadata } = resource.metadata;
  const kept = Object.entries(metadata).filter(
    ([key]) => key !== 'managedFields' && key !== 'generation' && key !== 'selfLink',
  );
  return { ...resource, metadata: { ...Object.fromEntries(kept), name: resource.metadata.name } };
}

/** Whether there is one resource in all. */
function only(groups: readonly ResourceGroup[]): boolean {
  return groups.flatMap(({ resources }) => resources).length === 1;
}

function isTable({ type }: OutputForm): boolean {
  return type === undefined || type === 'ps' || type === 'wide' || type === 'columns';
}

function isEmpty(groups: readonly ResourceGroup[]): boolean {
  return groups.every(({ resources }) => resources.length === 0);
}

interface Query {
  readonly kind: KindDefinition;
  readonly names: readonly string[];
  readonly scope: { readonly namespace?: string };
  readonly flags: GetFlags;
}

async function read(client: ApiClient, query: Query): Promise<Resource[]> {
  const { kind, names, scope, flags } = query;
  if (kind.kind === 'WorkloadEndpoint') return readEndpoints(client, query);
  if (names.length === 0) {
    const { selector } = flags;
    const options = { ...scope, ...(selector === undefined ? {} : { labelSelector: selector }) };
    return (await client.list(kind, options)).items;
  }
  const found = await Promise.all(names.map((name) => client.get(kind, { ...scope, name })));
  return chosen(query, found);
}

function chosen(
  { kind, names, scope }: Query,
  found: readonly (Resource | undefined)[],
): Resource[] {
  const missing = names.filter((_, index) => found[index] === undefined);
  if (missing.length > 0) {
    const where = scope.namespace === undefined ? '' : ` in namespace ${scope.namespace}`;
    throw new CommandFailure(`Cannot get ${kind.plural} ${missing.join(', ')}: not found${where}`);
  }
  return found.filter((resource) => resource !== undefined);
}

/** Workload endpoints follow from pods; those of other orchestrators are stored. */
async function readEndpoints(client: ApiClient, query: Query): Promise<Resource[]> {
  const pods = kindOf('v1', 'Pod');
  if (!pods) return [];
  const [derived, stored] = await Promise.all([
    client.list(pods, query.scope),
    client.list(query.kind, query.scope),
  ]);
  const endpoints = [
    ...stored.items,
    ...derived.items.flatMap((pod) => podToWorkloadEndpoint(pod as Pod) ?? []),
  ];
  if (query.names.length === 0) return endpoints;
  return chosen(
    query,
    query.names.map((name) => endpoints.find(({ metadata }) => metadata.name === name)),
  );
}

// `tortie convert`: Kubernetes policies as the Calico policies that mean the same.
import type { Command } from 'commander';
import {
  type ClusterNetworkPolicy,
  enforcedClusterPolicy,
  type EntityRule,
  type KubernetesNetworkPolicy,
  type KubernetesNode,
  kubernetesPolicyToCalico,
  type NetworkPolicySpec,
  type Resource,
  type Rule,
  validateResource,
} from '#api';
import { type Family, parsePrefix } from '#lib';
import { UsageError } from './cli-error.ts';
import { loadManifestFiles } from './manifest-files.ts';
import { formatValue, readOutput } from './resource-output.ts';
import type { Terminal } from './terminal.ts';

const CALICO = 'projectcalico.org/v3';

interface ConvertFlags {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly output: string;
}

export function addConvertCommand(program: Command, terminal: Terminal): void {
  program
    .command('convert')
    .summary('turn Kubernetes policies into Calico ones')
    .description(
      'Prints the manifests with every Kubernetes NetworkPolicy and ClusterNetworkPolicy in Calico terms; all else ' +
        'is printed as it is, so that the result stands for the whole.',
    )
    .requiredOption('-f, --filename <path...>', 'files, folders, or - for standard input')
    .option('-R, --recursive', 'read the folders inside of folders too')
    .option('-o, --output <format>', 'yaml or json', 'yaml')
    .addHelpText(
      'after',
      `
Examples:
  tortie convert -f examples/offline
  tortie convert -f policies -o json > calico.json`,
    )
    .action((flags: ConvertFlags) => convert(flags, terminal));
}

async function convert(flags: ConvertFlags, terminal: Terminal): Promise<void> {
  const output = readOutput(flags.output, ['yaml', 'json']);
  const recursive = flags.recursive === true;
  const { resources } = await loadManifestFiles(flags.filename, { recursive }, terminal);
  if (resources.length === 0) throw new UsageError('Cannot convert: there is no resource in it');
  const place: Place = {
    nodes: resources.filter(isKubernetesNode),
    taken: new Set(resources.filter((it) => it.apiVersion === CALICO).map(identity)),
    warn: (resource, text) => {
      terminal.err(`warning: ${resource.kind} ${fullName(resource)}: ${text}\n`);
    },
  };
  const items = resources.flatMap((it) => convertOne(it, place));
  if (output === 'json') {
    terminal.out(formatValue({ apiVersion: 'v1', kind: 'List', items }, 'json'));
  } else terminal.out(items.map((it) => formatValue(it, 'yaml')).join('---\n'));
}

/** What the conversion of one resource must know of the others. */
interface Place {
  readonly nodes: readonly KubernetesNode[];
  /** Calico's resources that there are already. */
  readonly taken: ReadonlySet<string>;
  readonly warn: (resource: Resource, text: string) => void;
}

function identity({ kind, metadata: { namespace = 'default', name } }: Resource): string {
  return `${kind} ${namespace}/${name}`;
}

function fullName({ metadata: { namespace, name } }: Resource): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function convertOne(resource: Resource, place: Place): Resource[] {
  if (!isKubernetesPolicy(resource) && !isClusterPolicy(resource)) return [resource];
  const { policy, problems } = isKubernetesPolicy(resource)
    ? kubernetesPolicyToCalico(resource)
    : enforcedClusterPolicy(resource, place.nodes);
  for (const { path, message } of problems) place.warn(resource, `${path}: ${message}`);
  if (!policy || (policy.spec.types ?? []).length === 0) {
    place.warn(resource, 'has no rules that can be converted, and so does nothing; left out');
    return [];
  }
  const named = {
    ...policy,
    metadata: metadataOf(resource, policy.metadata.name),
    spec: oneFamilyARule(policy.spec),
  };
  if (isFreeName(named, place)) return [named];
  const { name } = named.metadata;
  const other = isKubernetesPolicy(resource)
    ? `knp.default.${name}`
    : `kcnp-${name.replaceAll('.', '-')}`;
  place.warn(resource, `is named ${other} now: Calico has no place for the name`);
  return [{ ...named, metadata: { ...named.metadata, name: other } }];
}

/** Calico wants the networks of a rule to be of one family. */
function oneFamilyARule<S extends NetworkPolicySpec>(spec: S): S {
  const split = (rules: readonly Rule[]) => rules.flatMap(familiesApart);
  return {
    ...spec,
    ...(spec.ingress && { ingress: split(spec.ingress) }),
    ...(spec.egress && { egress: split(spec.egress) }),
  };
}

const NETS = ['nets', 'notNets'] as const;

/** A rule whose networks are of both families as a rule for each: it matches the same packets. */
function familiesApart(rule: Rule): Rule[] {
  const { source = {}, destination = {} } = rule;
  const lists = [source, destination].flatMap((entity) => NETS.map((field) => entity[field] ?? []));
  const families = new Set(lists.flat().map((net) => parsePrefix(net)?.family));
  if (families.size < 2) return [rule];
  return ([4, 6] as const)
    .filter((family) =>
      lists.every((nets) => nets.length === 0 || ofFamily(nets, family).length > 0),
    )
    .map((ipVersion) => ({
      ...rule,
      ipVersion,
      source: entityOf(source, ipVersion),
      destination: entityOf(destination, ipVersion),
    }));
}

function entityOf(entity: EntityRule, family: Family): EntityRule {
  const lists = NETS.flatMap((field) => {
    const nets = entity[field];
    return nets === undefined ? [] : [[field, ofFamily(nets, family)] as const];
  });
  return { ...entity, ...Object.fromEntries(lists) };
}

function ofFamily(nets: readonly string[], family: Family): string[] {
  return nets.filter((net) => parsePrefix(net)?.family === family);
}

function isFreeName(policy: Resource, { taken }: Place): boolean {
  const { problems } = validateResource(policy);
  return !taken.has(identity(policy)) && problems.every(({ path }) => path !== 'metadata.name');
}

/** What the author wrote, without what a server added. */
function metadataOf({ metadata }: Resource, name: string): Resource['metadata'] {
  const { namespace, labels, annotations } = metadata;
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

function isKubernetesPolicy(resource: Resource): resource is KubernetesNetworkPolicy {
  return resource.kind === 'NetworkPolicy' && resource.apiVersion.startsWith('networking.k8s.io/');
}

function isClusterPolicy(resource: Resource): resource is ClusterNetworkPolicy {
  return resource.kind === 'ClusterNetworkPolicy';
}

function isKubernetesNode(resource: Resource): resource is KubernetesNode {
  return resource.kind === 'Node' && resource.apiVersion === 'v1';
}

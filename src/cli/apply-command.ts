// `tortie apply`, `create` and `replace`: make the cluster hold what manifests say.
import type { Command } from 'commander';
import { type ApiClient, ApiError } from '#datastore/client';
import type { Resource } from '#api';
import { applyResource, definitionOf, inApplyOrder, inNamespace } from './apply-resources.ts';
import { announceChange, readConfirmWithin } from './confirm-command.ts';
import { displayName } from './kind-lookup.ts';
import { type ManifestFlags, withManifestFlags, writeManifests } from './manifest-flags.ts';
import type { Terminal } from './terminal.ts';
import { WriteReport } from './write-report.ts';

export function addApplyCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('apply')
    .summary('create or change resources from manifests')
    .description(
      'Creates what manifests name, or replaces it where it differs. Nothing is applied while a manifest is malformed.',
    );
  withManifestFlags(command)
    .option(
      '--confirm-within <duration>',
      'undo all of it unless "tortie confirm" comes in time',
      readConfirmWithin,
    )
    .addHelpText(
      'after',
      `
Examples:
  tortie apply -f examples/shop
  tortie apply --confirm-within 60s -f host-policy.yaml && tortie confirm
  kubectl get netpol -A -o yaml | tortie apply -f - --lab demo`,
    )
    .action((flags: ApplyFlags) =>
      writeManifests('apply', { flags, terminal }, async (client, resources) => {
        const { confirmWithin } = flags;
        const report = lineTo(terminal);
        if (confirmWithin !== undefined) {
          const name = await announceChange(client, resources, confirmWithin);
          report(`${name} is undone in ${confirmWithin} s unless "tortie confirm ${name}" comes`);
        }
        await applyAll(client, resources, { namespace: 'default', report });
      }),
    );
}

interface ApplyFlags extends ManifestFlags {
  /** Seconds. */
  readonly confirmWithin?: number;
}

interface CreateFlags extends ManifestFlags {
  readonly skipExists?: boolean;
}

export function addCreateCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('create')
    .summary('create resources from manifests')
    .description('Creates what manifests name. What is there already stays, and is a failure.')
    .option('--skip-exists', 'what is there already is no failure');
  withManifestFlags(command)
    .addHelpText('after', '\nExample:\n  tortie create -f policies --skip-exists')
    .action((flags: CreateFlags) =>
      writeManifests('create', { flags, terminal }, (client, resources) =>
        writeAll(resources, { verb: 'create', report: lineTo(terminal) }, async (resource) => {
          try {
            await client.create(definitionOf(resource), resource);
            return 'created';
          } catch (error) {
            const there = error instanceof ApiError && error.alreadyExists;
            if (there && flags.skipExists === true) return undefined;
            throw error;
          }
        }),
      ),
    );
}

export function addReplaceCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('replace')
    .summary('replace resources by those of manifests')
    .description('Replaces what manifests name. What is not there is a failure.');
  withManifestFlags(command)
    .addHelpText(
      'after',
      '\nExample:\n  tortie get gnp -o yaml > all.yaml; tortie replace -f all.yaml',
    )
    .action((flags: ManifestFlags) =>
      writeManifests('replace', { flags, terminal }, (client, resources) =>
        writeAll(resources, { verb: 'replace', report: lineTo(terminal) }, async (resource) => {
          await client.replace(definitionOf(resource), resource);
          return 'replaced';
        }),
      ),
    );
}

function lineTo(terminal: Terminal): (line: string) => void {
  return (line) => terminal.out(`${line}\n`);
}

export interface ApplyAllOptions {
  /** For resources that do not say one. */
  readonly namespace: string;
  /** One line for each resource, and one for all. */
  readonly report: (line: string) => void;
}

/** Applies in order of dependency; one that fails does not stop the others. Throws CommandFailure with all. */
export function applyAll(
  client: ApiClient,
  resources: readonly Resource[],
  { namespace, report }: ApplyAllOptions,
): Promise<void> {
  const ordered = inApplyOrder(resources).map((it) => inNamespace(it, namespace));
  return writeAll(ordered, { verb: 'apply', report }, (it) => applyResource(client, it));
}

interface WriteAllOptions {
  readonly verb: 'create' | 'apply' | 'replace';
  readonly report: (line: string) => void;
}

/** `write` says what it did, or undefined where it skipped. */
async function writeAll(
  resources: readonly Resource[],
  { verb, report }: WriteAllOptions,
  write: (resource: Resource) => Promise<string | undefined>,
): Promise<void> {
  const result = new WriteReport(verb);
  for (const resource of resources) {
    const kind = definitionOf(resource);
    const name = displayName(kind, resource.metadata.name);
    try {
      refuseConverted(resource);
      const did = await write(resource);
      report(`${name} ${did ?? 'is there already, skipped'}`);
      if (did === undefined) result.skipped(kind);
      else result.done(kind);
    } catch (error) {
      result.failed(kind, name, error instanceof Error ? error.message : String(error));
    }
  }
  report(result.conclude());
}

/** Policies that Kubernetes' became are not written: the next change of theirs would undo it. */
function refuseConverted({ apiVersion, kind, metadata }: Resource): void {
  const converted = metadata.name.startsWith('knp.default.');
  if (apiVersion !== 'projectcalico.org/v3' || kind !== 'NetworkPolicy' || !converted) return;
  const name = metadata.name.slice('knp.default.'.length);
  throw new Error(
    'metadata.name: kubernetes network policies must be managed through the kubernetes API, ' +
      `as networking.k8s.io/v1 NetworkPolicy ${name}`,
  );
}

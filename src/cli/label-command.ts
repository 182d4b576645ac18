// `tortie label` and `tortie patch`: change one resource where it stands.
import type { Command } from 'commander';
import type { KindDefinition, Resource } from '#api';
import type { ApiClient } from '#datastore/client';
import { parse } from 'yaml';
import { CommandFailure, UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import { displayName, lookupKind } from './kind-lookup.ts';
import type { Terminal } from './terminal.ts';
import { WriteReport } from './write-report.ts';

interface LabelFlags extends ClusterFlags {
  readonly overwrite?: boolean;
  readonly remove?: boolean;
  readonly namespace?: string;
}

interface Change {
  readonly key: string;
  /** Undefined removes. */
  readonly value: string | undefined;
}

export function addLabelCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('label')
    .summary('set or remove labels of a resource')
    .description('Sets labels of one resource, or removes them with --remove or a final minus.')
    .argument('<kind>', 'plural, singular or short name')
    .argument('<name>', 'the resource')
    .argument('<label...>', 'key=value to set; key with --remove, or key- to remove')
    .option('--overwrite', 'change labels that have another value')
    .option('--remove', 'remove these labels')
    .option('-n, --namespace <namespace>', 'the namespace it is in');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie label hep eth0 zone=dmz
  tortie label netset partners -n shop trusted=yes --overwrite
  tortie label nodes one rack --remove`,
    )
    .action((kind: string, name: string, words: string[], flags: LabelFlags) =>
      label({ kind: lookupKind(kind), name, words }, flags, terminal),
    );
}

interface Labelling {
  readonly kind: KindDefinition;
  readonly name: string;
  readonly words: readonly string[];
}

async function label(
  { kind, name, words }: Labelling,
  flags: LabelFlags,
  terminal: Terminal,
): Promise<void> {
  const changes = words.map((word) => readChange(word, flags.remove === true));
  const client = connect(flags, terminal);
  try {
    const key = { name, ...scope(kind, flags.namespace ?? client.namespace) };
    const present = await existing(client, kind, key);
    const labels = present.metadata.labels ?? {};
    for (const change of changes) checkChange(change, { labels, kind, name, flags });
    const merge = Object.fromEntries(changes.map((it) => [it.key, it.value ?? null]));
    const { resourceVersion } = present.metadata;
    await client.patch(kind, key, { metadata: { resourceVersion, labels: merge } });
    for (const change of changes) {
      const done =
        change.value === undefined
          ? 'removed label'
          : Object.hasOwn(labels, change.key)
            ? 'updated label'
            : 'set label';
      terminal.out(`Successfully ${done} ${change.key} on ${kind.kind} ${name}\n`);
    }
  } finally {
    await client.close();
  }
}

function readChange(word: string, remove: boolean): Change {
  const [key = '', ...rest] = word.split('=');
  const set = rest.length > 0;
  if (remove && set) {
    throw new UsageError(`Cannot remove ${JSON.stringify(word)}: give the key alone`);
  }
  if (set) return { key, value: rest.join('=') };
  if (remove) return { key, value: undefined };
  if (key.endsWith('-')) return { key: key.slice(0, -1), value: undefined };
  throw new UsageError(
    `Cannot read the label ${JSON.stringify(word)}: write key=value, or give --remove`,
  );
}

interface Checked {
  readonly labels: Readonly<Record<string, string>>;
  readonly kind: KindDefinition;
  readonly name: string;
  readonly flags: LabelFlags;
}

function checkChange({ key, value }: Change, { labels, kind, name, flags }: Checked): void {
  const there = Object.hasOwn(labels, key) ? labels[key] : undefined;
  if (value === undefined) {
    if (there !== undefined) return;
    throw new CommandFailure(
      `Cannot remove label ${key} from ${displayName(kind, name)}: it has no such label`,
    );
  }
  if (there === undefined || there === value || flags.overwrite === true) return;
  const wanted = `label ${key} on ${displayName(kind, name)} to ${JSON.stringify(value)}`;
  throw new CommandFailure(
    `Cannot set ${wanted}: it is ${JSON.stringify(there)}; give --overwrite to change it`,
  );
}

const PATCH_TYPES = ['strategic', 'json', 'merge'] as const;

interface PatchFlags extends ClusterFlags {
  readonly patch: string;
  readonly type: string;
  readonly namespace?: string;
}

export function addPatchCommand(program: Command, terminal: Terminal): void {
  const command = program
    .command('patch')
    .summary('change fields of a resource')
    .description('Changes fields of one resource by a patch in JSON or YAML.')
    .argument('<kind>', 'plural, singular or short name')
    .argument('<name>', 'the resource')
    .requiredOption('-p, --patch <patch>', 'the patch')
    .option('-t, --type <type>', PATCH_TYPES.join('|'), 'strategic')
    .option('-n, --namespace <namespace>', 'the namespace it is in');
  withClusterFlags(command)
    .addHelpText(
      'after',
      `
Examples:
  tortie patch ippool pods -p '{"spec": {"natOutgoing": true}}'
  tortie patch gnp deny -t json -p '[{"op": "replace", "path": "/spec/order", "value": 5}]'`,
    )
    .action(async (kindName: string, name: string, flags: PatchFlags) => {
      const kind = lookupKind(kindName);
      const type = PATCH_TYPES.find((it) => it === flags.type);
      if (type === undefined) {
        throw new UsageError(
          `Cannot patch by ${JSON.stringify(flags.type)}: use -t ${PATCH_TYPES.join('|')}`,
        );
      }
      const body = readPatch(flags.patch);
      const client = connect(flags, terminal);
      try {
        const key = { name, ...scope(kind, flags.namespace ?? client.namespace) };
        await client.patch(kind, key, body, { type: wireType(kind, type) });
        const report = new WriteReport('patch');
        report.done(kind);
        terminal.out(`${report.conclude()}\n`);
      } finally {
        await client.close();
      }
    });
}

/** Kinds of Calico's have no strategy: as with custom resources, lists are replaced (spec 21). */
function wireType(
  kind: KindDefinition,
  type: (typeof PATCH_TYPES)[number],
): 'strategic' | 'json' | 'merge' {
  return type === 'strategic' && kind.group === 'projectcalico.org' ? 'merge' : type;
}

function readPatch(text: string): unknown {
  try {
    return parse(text, { maxAliasCount: 0 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`Cannot read the patch ${JSON.stringify(text)}: ${reason}`);
  }
}

function scope(kind: KindDefinition, namespace: string): { namespace?: string } {
  return kind.namespaced ? { namespace } : {};
}

async function existing(
  client: ApiClient,
  kind: KindDefinition,
  key: { name: string; namespace?: string },
): Promise<Resource> {
  const present = await client.get(kind, key);
  if (present) return present;
  const where = key.namespace === undefined ? '' : ` in namespace ${key.namespace}`;
  throw new CommandFailure(`Cannot find ${displayName(kind, key.name)}${where}`);
}

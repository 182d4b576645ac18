// `tortie lab`: many nodes on this machine, from ordinary manifests.
import type { Command } from 'commander';
import type { Resource } from '#api';
import {
  allLabs,
  claimLab,
  DEFAULT_LAB,
  execInLab,
  existingLabs,
  keepLab,
  type LabSpec,
  type LabStatus,
  isPod,
  labStatus,
  podProblems,
  NODES_MAX,
  readNodeCount,
  requireLabHost,
  startLab,
  stopLab,
} from '#lab';
import { applyAll } from './apply-command.ts';
import { CommandFailure, UsageError } from './cli-error.ts';
import { chooseLab, labsOf } from './connection.ts';
import { runDemo } from './demo.ts';
import { loadManifestFiles } from './manifest-files.ts';
import { programName } from './program-name.ts';
import type { ProgramPlace } from './program.ts';
import { formatValue, OUTPUTS, readOutput } from './resource-output.ts';
import { StepReporter } from './step-reporter.ts';
import type { Terminal } from './terminal.ts';
import { formatTable } from './text-table.ts';

const NODES_DEFAULT = 3;

export function addLabCommands(program: Command, terminal: Terminal, place: ProgramPlace): void {
  const lab = program
    .command('lab')
    .summary('run many nodes on this machine')
    .description(
      'Nodes are network namespaces with an agent each; pods are namespaces with the processes of their ' +
        'manifests, attached by the CNI plugin. Needs root; makes nothing in the root network namespace.',
    );
  addUp(lab, terminal, place);
  addDown(lab, terminal);
  addStatus(lab, terminal);
  addExec(lab);
  lab
    .command('demo')
    .summary('bring up the example shop and watch it until Ctrl-C')
    .description(
      'Brings up the example shop, shows who talks to whom and what is denied, until Ctrl-C.',
    )
    .option('--name <name>', 'what the lab is called', DEFAULT_LAB)
    .action((flags: { name: string }) => runDemo(flags.name, terminal, place));
  lab.command('keep', { hidden: true }).argument('<name>').action(keepLab);
}

interface UpFlags {
  readonly filename?: readonly string[];
  readonly name: string;
  readonly nodes?: string;
  readonly etcdEndpoints?: string;
}

function addUp(lab: Command, terminal: Terminal, place: ProgramPlace): void {
  lab
    .command('up')
    .summary('start a lab from manifests and leave it running')
    .description(
      'Starts a lab, applies the manifests, and returns when all pods are ready and policy is enforced.',
    )
    .option('-f, --filename <path...>', 'manifests: files, folders with all in them, or -')
    .option('--name <name>', 'what the lab is called', DEFAULT_LAB)
    .option(
      '--nodes <count>',
      `how many nodes (default: what a Lab manifest says, else ${NODES_DEFAULT})`,
    )
    .option(
      '--etcd-endpoints <urls>',
      'keep the objects in this etcd (http://HOST:PORT, by commas)',
    )
    .addHelpText(
      'after',
      `
A manifest "apiVersion: lab.tortie.dev/v1, kind: Lab" may say how many nodes, and which machines stand outside:
  spec: {nodes: 3, outside: [{name: bank, addresses: [203.0.113.10], command: [node, bank.ts]}]}

Examples:
  tortie lab up -f examples/shop
  tortie lab up -f my-pods.yaml --name second --nodes 5`,
    )
    .action((flags: UpFlags) => up(flags, terminal, place));
}

async function up(flags: UpFlags, terminal: Terminal, place: ProgramPlace): Promise<void> {
  requireLabHost('start a lab');
  const { etcdEndpoints } = flags;
  const kept = etcdEndpoints === undefined ? {} : { etcdEndpoints };
  const plan = { ...(await readLabPlan(flags, terminal)), ...kept };
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => interrupted.abort(new CommandFailure(`Stopped by ${signal}`)));
  }
  await startOrClean(flags.name, plan, { terminal, place, signal: interrupted.signal });
  const program = programName(place.executable);
  const labFlag = labsOf(existingLabs).length > 1 ? ` --lab ${flags.name}` : '';
  terminal.err(`
Lab ${flags.name} runs. What next:
  ${program} get pods -A${labFlag}
  ${program} flows --follow${labFlag}
  ${program} lab status
  ${program} lab down ${flags.name}
`);
}

/** What a lab is to be made of. */
export interface LabPlan {
  readonly nodes: number;
  readonly outside: LabSpec['outside'];
  readonly resources: readonly Resource[];
  /** Where the objects are kept; in a file of the lab when absent. */
  readonly etcdEndpoints?: string;
}

export async function readLabPlan(
  flags: { readonly filename?: readonly string[]; readonly nodes?: string },
  terminal: Terminal,
): Promise<LabPlan> {
  const wanted = readNodeCount(flags.nodes);
  if (flags.nodes !== undefined && wanted === undefined) {
    throw new UsageError(
      `Cannot make ${JSON.stringify(flags.nodes)} nodes: say a number from 1 to ${NODES_MAX}`,
    );
  }
  const { resources, labs } = await loadManifestFiles(
    flags.filename ?? [],
    { recursive: true },
    terminal,
  );
  const [spec, second] = labs;
  if (second)
    throw new UsageError('Cannot start lab: the manifests have more than one of kind Lab');
  const nodes = wanted ?? spec?.nodes ?? NODES_DEFAULT;
  const problems = resources.filter(isPod).flatMap((pod) => podProblems(pod, nodes));
  if (problems.length > 0) throw new UsageError(`Cannot start lab:\n${problems.join('\n')}`);
  return { nodes, outside: spec?.outside ?? [], resources };
}

export interface StartPlace {
  readonly terminal: Terminal;
  readonly place: ProgramPlace;
  readonly signal: AbortSignal;
}

/** Starts a lab with progress; where that fails, removes what there is of it and throws why. */
export async function startOrClean(
  name: string,
  plan: LabPlan,
  { terminal, place, signal }: StartPlace,
): Promise<void> {
  claimLab(name);
  const steps = new StepReporter(terminal);
  const report = (line: string) => steps.step(line);
  try {
    await startLab({
      name,
      nodes: plan.nodes,
      outside: plan.outside,
      ...(plan.etcdEndpoints === undefined ? {} : { etcdEndpoints: plan.etcdEndpoints }),
      executable: place.executable,
      workingFolder: place.root,
      report,
      signal,
      apply: async (client) => {
        await applyAll(client, plan.resources, { namespace: 'default', report: () => undefined });
        report(`manifests: ${plan.resources.length} resources applied`);
      },
    });
  } catch (error) {
    await stopLab(name);
    report(`removed what there was of lab ${name}`);
    throw signal.aborted ? signal.reason : error;
  }
}

function addDown(lab: Command, terminal: Terminal): void {
  lab
    .command('down')
    .summary('remove a lab')
    .description(
      'Ends all processes of a lab and removes its namespaces and files, also after a crash.',
    )
    .argument('[name]', 'the lab; may be left out where there is one')
    .option('--all', 'all labs')
    .action(async (name: string | undefined, flags: { all?: boolean }) => {
      requireLabHost('remove a lab');
      const names = labsToRemove(name, flags.all === true);
      for (const each of names) {
        const { processes, namespaces } = await stopLab(each);
        terminal.out(
          `lab ${each} removed: ${processes} processes ended, ${namespaces} namespaces removed\n`,
        );
      }
      if (names.length === 0) terminal.out('no lab to remove\n');
    });
}

function labsToRemove(name: string | undefined, all: boolean): string[] {
  if (name !== undefined && all) throw new UsageError('Cannot use a name and --all together');
  if (name !== undefined) return [name];
  const existing = labsOf(existingLabs);
  if (!all && existing.length > 1) {
    throw new UsageError(
      `Cannot choose a lab, there are ${existing.join(', ')}: name one, or say --all`,
    );
  }
  return existing;
}

function addStatus(lab: Command, terminal: Terminal): void {
  lab
    .command('status')
    .summary('show labs and what they consist of')
    .description('Shows all labs, or one with its nodes and processes.')
    .argument('[name]', 'one lab')
    .option('-o, --output <format>', OUTPUTS.join('|'))
    .action((name: string | undefined, flags: { output?: string }) => {
      const output = readOutput(flags.output, OUTPUTS);
      const labs = name === undefined ? allLabsOf() : [oneLab(name)];
      if (output === 'json' || output === 'yaml') {
        terminal.out(formatValue(name === undefined ? labs : labs[0], output));
      } else if (output === 'name') terminal.out(labs.map((it) => `lab/${it.name}\n`).join(''));
      else if (labs.length === 0)
        terminal.err('no lab runs; start one with "tortie lab up -f FILE"\n');
      else terminal.out(statusTables(labs, output === 'wide' || name !== undefined));
    });
}

function allLabsOf(): LabStatus[] {
  labsOf(existingLabs);
  return allLabs();
}

function oneLab(name: string): LabStatus {
  return labStatus(labsOf(existingLabs).find((it) => it === name) ?? chooseLab({ lab: name }));
}

function statusTables(labs: readonly LabStatus[], detailed: boolean): string {
  const overview = formatTable(
    ['NAME', 'STATUS', 'NODES', 'OUTSIDE', 'PROCESSES', 'KUBECONFIG'],
    labs.map((lab) => [
      lab.name,
      lab.condition,
      String(lab.nodes.length),
      lab.outside.join(',') || '<none>',
      `${lab.processes.filter(({ running }) => running).length}/${lab.processes.length}`,
      lab.kubeconfig,
    ]),
  );
  if (!detailed) return overview;
  const rows = labs.flatMap((lab) =>
    lab.processes.map(({ label, pid, running, log }) => [
      lab.name,
      label,
      running ? 'running' : 'ended',
      String(pid),
      log,
    ]),
  );
  return `${overview}\n${formatTable(['LAB', 'PROCESS', 'STATUS', 'PID', 'LOG'], rows)}`;
}

function addExec(lab: Command): void {
  lab
    .command('exec')
    .summary('run a command in the network of a node or pod')
    .description(
      'Runs a command in the network of a node, pod or machine outside; ends with its exit code.',
    )
    .argument(
      '<target>',
      'a node (node-1), a pod (shop/cart, or cart), or a machine outside (bank)',
    )
    .argument('<command...>', 'the program and its arguments')
    .option('--lab <name>', 'the lab, where several run')
    .passThroughOptions()
    .addHelpText(
      'after',
      `
Examples:
  tortie lab exec web/intruder -- curl -sS -m 2 http://10.65.0.3:8080/
  tortie lab exec node-1 -- nft list ruleset`,
    )
    .action(async (target: string, command: string[], flags: { lab?: string }) => {
      requireLabHost('run in a lab');
      const { argv, lab: named = flags.lab } = splitAtDashes(command);
      if (argv.length === 0) throw new UsageError('Cannot run nothing: say a program after --');
      const chosen = chooseLab(named === undefined ? {} : { lab: named });
      process.exitCode = await execInLab(chosen, target, argv);
    });
}

/** Options between the target and `--` are ours; a word that is no option begins the program. */
function splitAtDashes(words: readonly string[]): { argv: readonly string[]; lab?: string } {
  const dashes = words.indexOf('--');
  if (dashes < 0 || !words[0]?.startsWith('-')) return { argv: words };
  const [option, name, ...rest] = words.slice(0, dashes);
  const argv = words.slice(dashes + 1);
  if (option === undefined) return { argv };
  if (option === '--lab' && name !== undefined && rest.length === 0) return { argv, lab: name };
  const before = words.slice(0, dashes).join(' ');
  throw new UsageError(`Cannot run "${before}": before -- only --lab NAME may stand`);
}

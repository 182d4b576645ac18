// `tortie capture`: packets of pods into files of their nodes, and these files to here; calicoctl's captured-packets.
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import {
  apiVersionOf,
  type CaptureFilter,
  type PacketCapture,
  packetCaptureKind,
  parseDuration,
  type PacketCaptureSpec,
  podKind,
  PROTOCOL_NAMES,
  type Resource,
  VERDICT_ANNOTATION,
} from '#api';
import type { ApiClient } from '#datastore/client';
import { readZip } from '#lib';
import { CommandFailure, UsageError } from './cli-error.ts';
import { type ClusterFlags, connect, withClusterFlags } from './connection.ts';
import type { Terminal } from './terminal.ts';
import { formatAge, formatTable } from './text-table.ts';

interface CaptureFlags extends ClusterFlags {
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
}

interface StartFlags extends CaptureFlags {
  readonly pod?: string;
  readonly selector?: string;
  readonly protocol?: string;
  readonly port?: readonly string[];
  readonly verdict?: string;
  readonly duration?: string;
  readonly wait?: boolean;
}

/** Of `start` as well. */
interface OutputFlags {
  readonly follow?: boolean;
  readonly output: string;
}

interface FollowFlags extends CaptureFlags {
  readonly output: string;
  readonly fromStart?: boolean;
}

interface CopyFlags extends CaptureFlags {
  readonly dest: string;
}

const READY_MS = 30_000;
const LOOK_MS = 200;
/** Of one capture's files together. */
const FILES_MAX = 1024 * 1024 * 1024;

export function addCaptureCommands(program: Command, terminal: Terminal): void {
  const capture = program
    .command('capture')
    .summary("capture pods' packets, fetch the files")
    .description(
      'Captures packets of pods into pcapng files of their nodes, which any program that reads these can show.',
    )
    .addHelpText(
      'after',
      `
Examples:
  tortie capture start web -n shop --selector "app == 'web'" --protocol tcp --port 80 --duration 5m
  tortie capture start denied -n shop --verdict deny
  tortie capture follow web -n shop | tshark -i -
  tortie capture copy web -n shop --dest . && tshark -r node-1/web_*.pcap

Packets say in their comments what policy decided about them, where that is known.`,
    );
  addStart(capture, terminal);
  withCaptureFlags(
    capture.command('stop <name>').description('end a capture; its files stay'),
  ).action(run(terminal, stopCapture));
  withCaptureFlags(
    capture.command('list').description('show captures, and their files on nodes'),
    true,
  ).action(run(terminal, (client, flags, _name) => listCaptures(client, flags, terminal)));
  addFollow(capture, terminal);
  addFileCommands(capture, terminal);
  const captured = program
    .command('captured-packets')
    .description("files of packet captures, with calicoctl's commands and flags");
  addFileCommands(captured, terminal);
}

function addStart(capture: Command, terminal: Terminal): void {
  const repeat = (value: string, list: readonly string[] = []): string[] => [...list, value];
  withCaptureFlags(capture.command('start <name>').description('begin a capture'))
    .option('-l, --selector <selector>', 'pods by their labels, such as "app == \'web\'"; else all')
    .option('--pod <name>', 'one pod')
    .option('--protocol <protocol>', 'tcp, udp, icmp, icmpv6, sctp, udplite, or a number')
    .option('--port <port>', 'of either end, or a range first:last; repeatable', repeat)
    .option('--verdict <verdict>', 'deny: the packets that policy denied, and no others')
    .option('--duration <time>', 'end by itself, such as after 30s or 5m')
    .option('--no-wait', 'do not wait until packets are captured')
    .option('-f, --follow', 'give out packets as they are captured, as "capture follow" does')
    .option('-o, --output <file>', 'where packets go; - is the standard output', '-')
    .action((name: string, flags: StartFlags & OutputFlags) =>
      withClient(flags, terminal, async (client) => {
        if (flags.follow) refuseScreen(flags, terminal);
        await startCapture(client, name, flags);
        const namespace = flags.namespace ?? client.namespace;
        const nodes = flags.wait === false ? [] : await untilReady(client, namespace, name);
        const where = nodes.length > 0 ? ` on ${nodes.join(', ')}` : '';
        const said = `packet capture ${namespace}/${name} has begun${where}\n`;
        if (!flags.follow) return terminal.out(said);
        terminal.err(said);
        await followCapture(client, terminal, name, { ...flags, fromStart: true });
      }),
    );
}

function addFollow(capture: Command, terminal: Terminal): void {
  withCaptureFlags(
    capture
      .command('follow <name>')
      .summary('give out packets as they are captured')
      .description(
        'Gives out the packets of all pods and nodes of a capture as they come, as one pcapng, until the capture ' +
          'ends. Takes the right to watch packetcaptures/files.',
      ),
  )
    .option('-o, --output <file>', 'where packets go; - is the standard output', '-')
    .option('--from-start', 'begin with the packets that are in the files already')
    .action((name: string, flags: FollowFlags) => {
      refuseScreen(flags, terminal);
      return withClient(flags, terminal, (client) => followCapture(client, terminal, name, flags));
    });
}

function refuseScreen({ output }: { readonly output: string }, terminal: Terminal): void {
  if (output !== '-' || !terminal.isScreen) return;
  throw new UsageError(
    'Cannot write packets to a screen: give -o FILE, or a program that reads them, such as | tshark -i -',
  );
}

async function followCapture(
  client: ApiClient,
  terminal: Terminal,
  name: string,
  { namespace = client.namespace, output, fromStart }: FollowFlags,
): Promise<void> {
  const path = `/packet-capture/stream/${namespace}/${name}`;
  const query = fromStart ? { from: 'start' } : {};
  const chunks = await client.download('GET', path, { query });
  const file = output === '-' ? undefined : openSync(output, 'w', 0o600);
  try {
    for await (const chunk of chunks) {
      if (file === undefined) await terminal.outBytes(chunk);
      else writeSync(file, chunk);
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(
      `Cannot go on with packet capture ${namespace}/${name}, packets may be missing: ${reason}`,
    );
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function addFileCommands(parent: Command, terminal: Terminal): void {
  withCaptureFlags(parent.command('copy <name>').description('fetch the files of a capture'), true)
    .option('-d, --dest <dir>', 'folder to write to', '.')
    .action((name: string, flags: CopyFlags) =>
      withClient(flags, terminal, async (client) => {
        for (const namespace of await namespacesOf(client, name, flags)) {
          // Of several captures each gets a folder of its own.
          const dest = flags.allNamespaces ? join(flags.dest, namespace, name) : flags.dest;
          for (const path of await copyFiles(client, namespace, name, dest)) {
            terminal.out(`${path}\n`);
          }
        }
      }),
    );
  withCaptureFlags(
    parent.command('clean <name>').description('remove the files of a capture'),
    true,
  ).action((name: string, flags: CaptureFlags) =>
    withClient(flags, terminal, async (client) => {
      for (const namespace of await namespacesOf(client, name, flags)) {
        await client.request('DELETE', `/packet-capture/files/${namespace}/${name}`);
        terminal.out(`files of packet capture ${namespace}/${name} are removed\n`);
      }
    }),
  );
}

function withCaptureFlags(command: Command, all = false): Command {
  withClusterFlags(command).option('-n, --namespace <name>', 'of the capture and its pods');
  return all ? command.option('-a, --all-namespaces', 'in every namespace') : command;
}

function run(
  terminal: Terminal,
  act: (client: ApiClient, flags: CaptureFlags, name: string) => Promise<string | undefined>,
): (...words: (string | CaptureFlags | undefined)[]) => Promise<void> {
  return async (...words) => {
    const [first, second] = words;
    const name = typeof first === 'string' ? first : '';
    const flags = (typeof first === 'string' ? second : first) as CaptureFlags;
    await withClient(flags, terminal, async (client) => {
      const said = await act(client, flags, name);
      if (said !== undefined) terminal.out(`${said}\n`);
    });
  };
}

async function withClient(
  flags: ClusterFlags,
  terminal: Terminal,
  act: (client: ApiClient) => Promise<void>,
): Promise<void> {
  const client = connect(flags, terminal);
  try {
    await act(client);
  } finally {
    await client.close();
  }
}

/** The specification that the flags mean. Throws UsageError. */
export function captureSpec(flags: StartFlags, nowMs: number): PacketCaptureSpec {
  const { selector, pod, protocol, port: ports = [], duration } = flags;
  if (selector !== undefined && pod !== undefined) {
    throw new UsageError('Cannot use --selector and --pod together: choose one');
  }
  const filter: CaptureFilter = {
    ...(protocol === undefined ? {} : { protocol: readProtocolFlag(protocol) }),
    ...(ports.length === 0
      ? {}
      : { ports: ports.map((it) => (/^\d+$/.test(it) ? Number(it) : it)) }),
  };
  const length = duration === undefined ? undefined : parseDuration(duration);
  if (duration !== undefined && !(length && length > 0)) {
    throw new UsageError(
      `Cannot read the duration ${JSON.stringify(duration)}: write it like 30s or 5m`,
    );
  }
  return {
    ...(selector === undefined ? {} : { selector }),
    ...(Object.keys(filter).length === 0 ? {} : { filters: [filter] }),
    ...(length === undefined ? {} : { endTime: new Date(nowMs + length).toISOString() }),
  };
}

function readProtocolFlag(text: string): string | number {
  const name = PROTOCOL_NAMES.find((it) => it.toLowerCase() === text.toLowerCase());
  if (name !== undefined) return name;
  if (/^\d{1,3}$/.test(text)) return Number(text);
  throw new UsageError(
    `Cannot capture protocol ${JSON.stringify(text)}: use ${PROTOCOL_NAMES.join(', ').toLowerCase()} or a number`,
  );
}

async function startCapture(client: ApiClient, name: string, flags: StartFlags): Promise<void> {
  const namespace = flags.namespace ?? client.namespace;
  const { verdict, pod } = flags;
  const spec = captureSpec(flags, Date.now());
  const selector = pod === undefined ? undefined : await podSelector(client, namespace, pod);
  const annotations = verdict === undefined ? {} : { [VERDICT_ANNOTATION]: verdict };
  const body = {
    apiVersion: apiVersionOf(packetCaptureKind),
    kind: packetCaptureKind.kind,
    metadata: { name, namespace, annotations },
    spec: { ...spec, ...(selector === undefined ? {} : { selector }) },
  };
  await client.create(packetCaptureKind, body as Resource);
}

/** Selects one pod by all its labels; no label has a pod's name. */
async function podSelector(client: ApiClient, namespace: string, name: string): Promise<string> {
  const pod = await client.get(podKind, { namespace, name });
  if (!pod) throw new CommandFailure(`Cannot find pod ${namespace}/${name}`);
  const labels = pod.metadata.labels ?? {};
  if (Object.keys(labels).length === 0) {
    throw new CommandFailure(`Cannot capture pod ${name} alone: it has no labels; give it one`);
  }
  const { items } = await client.list(podKind, { namespace });
  const alike = items.filter((other) =>
    Object.entries(labels).every(([key, value]) => other.metadata.labels?.[key] === value),
  );
  if (alike.length > 1) {
    const names = alike
      .map(({ metadata }) => metadata.name)
      .slice(0, 5)
      .join(', ');
    throw new CommandFailure(
      `Cannot capture pod ${name} alone: ${names} have its labels too; give it one more, or use --selector`,
    );
  }
  return Object.entries(labels)
    .map(([key, value]) => `${key} == ${JSON.stringify(value)}`)
    .join(' && ');
}

/** The nodes that capture; waits until every one that is concerned does. */
async function untilReady(client: ApiClient, namespace: string, name: string): Promise<string[]> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const { status } = await captureOf(client, namespace, name);
    const files = status?.files ?? [];
    const failed = files.find(({ state }) => state === 'Error');
    if (failed) {
      throw new CommandFailure(
        `Cannot capture on ${failed.node}: ${failed.message ?? 'see its log'}`,
      );
    }
    const waiting = files.some(({ state }) => state === 'Scheduled');
    if (files.length > 0 && !waiting) return files.map(({ node }) => node);
    if (Date.now() > deadline) {
      throw new CommandFailure(
        `Packet capture ${namespace}/${name} captures nothing yet: does it select a pod? See "tortie capture list"`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function captureOf(
  client: ApiClient,
  namespace: string,
  name: string,
): Promise<PacketCapture> {
  const found = await client.get(packetCaptureKind, { namespace, name });
  if (!found) throw new CommandFailure(`Cannot find packet capture ${namespace}/${name}`);
  return found as PacketCapture;
}

async function stopCapture(client: ApiClient, flags: CaptureFlags, name: string): Promise<string> {
  const namespace = flags.namespace ?? client.namespace;
  const { spec } = await captureOf(client, namespace, name);
  const now = new Date().toISOString();
  // One that was to begin later never begins.
  const startTime = spec?.startTime && spec.startTime > now ? { startTime: null } : {};
  await client.patch(
    packetCaptureKind,
    { namespace, name },
    { spec: { endTime: now, ...startTime } },
  );
  return `packet capture ${namespace}/${name} has ended`;
}

async function listCaptures(
  client: ApiClient,
  flags: CaptureFlags,
  terminal: Terminal,
): Promise<undefined> {
  const namespace = flags.namespace ?? client.namespace;
  const { items } = await client.list(packetCaptureKind, flags.allNamespaces ? {} : { namespace });
  const now = Date.now();
  const rows = items.flatMap((item) => {
    const { metadata, status } = item as PacketCapture;
    const head = [metadata.namespace ?? '', metadata.name];
    const age = formatAge(metadata.creationTimestamp, now);
    const files = status?.files ?? [];
    if (files.length === 0) return [[...head, '', '', '', '', '', age]];
    return files.map((one) => [
      ...head,
      one.node,
      one.state ?? '',
      String(one.packets ?? ''),
      String(one.droppedPackets ?? ''),
      String(one.fileNames?.length ?? 0),
      age,
    ]);
  });
  const headings = ['NAMESPACE', 'NAME', 'NODE', 'STATE', 'PACKETS', 'DROPPED', 'FILES', 'AGE'];
  terminal.out(formatTable(headings, rows));
  return undefined;
}

async function namespacesOf(
  client: ApiClient,
  name: string,
  flags: CaptureFlags,
): Promise<string[]> {
  if (!flags.allNamespaces) return [flags.namespace ?? client.namespace];
  const { items } = await client.list(packetCaptureKind);
  const found = items.filter(({ metadata }) => metadata.name === name);
  if (found.length === 0)
    throw new CommandFailure(`Cannot find packet capture ${name} in any namespace`);
  return found.map(({ metadata }) => metadata.namespace ?? '');
}

/** Writes the files below `dest`, a folder for each node; their paths. */
async function copyFiles(
  client: ApiClient,
  namespace: string,
  name: string,
  dest: string,
): Promise<string[]> {
  const path = `/packet-capture/download/${namespace}/${name}/files.zip`;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of await client.download('GET', path)) {
    length += chunk.length;
    if (length > FILES_MAX) {
      throw new CommandFailure(
        `Cannot copy more than ${FILES_MAX} bytes at once: capture fewer pods`,
      );
    }
    chunks.push(chunk);
  }
  return membersOf(Buffer.concat(chunks)).map(({ name: member, bytes }) => {
    const target = join(dest, basename(dirname(member)), basename(member));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, bytes, { mode: 0o600 });
    return target;
  });
}

function membersOf(file: Uint8Array): ReturnType<typeof readZip> {
  try {
    return readZip(file);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CommandFailure(`Cannot read what the server sent: ${error.message}; try again`);
  }
}

// The CNI plugin: reads the CNI protocol from environment and stdin, asks the agent, prints its answer.
import { connect } from 'node:net';
import {
  type AgentCommand,
  CNI_CODE,
  type CniReply,
  type CniRequest,
  type CniResult,
  MAX_LINE,
} from './protocol.ts';

/** The process as the plugin sees it. */
export interface PluginWorld {
  /** Command line arguments after the program. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: { write(text: string): unknown };
}

const VERSIONS = ['0.4.0', '1.0.0', '1.1.0'] as const;
type Version = (typeof VERSIONS)[number];
const NEWEST: Version = '1.1.0';
const DEFAULT_SOCKET = '/run/tortie/cni.sock';
const DEFAULT_TIMEOUT_SECONDS = 60;

/** What each command must be given, and the first version of CNI that knows it. */
const COMMANDS: Readonly<Record<AgentCommand, { requires: readonly string[]; since: Version }>> = {
  ADD: { requires: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'], since: '0.4.0' },
  DEL: { requires: ['CNI_CONTAINERID', 'CNI_IFNAME'], since: '0.4.0' },
  CHECK: { requires: ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME'], since: '0.4.0' },
  GC: { requires: [], since: '1.1.0' },
  STATUS: { requires: [], since: '1.1.0' },
};

const USAGE = `Usage: tortie cni (with CNI_COMMAND in the environment and a network configuration on stdin)

The CNI plugin: container runtimes execute it. CNI versions: ${VERSIONS.join(', ')}.
Commands: ${Object.keys(COMMANDS).join(', ')}, VERSION.
Configuration: {"cniVersion":"${NEWEST}","name":"k8s-pod-network","type":"tortie",
  "socket":"${DEFAULT_SOCKET}","timeoutSeconds":${DEFAULT_TIMEOUT_SECONDS}}
`;

class PluginError extends Error {
  readonly code: number;
  readonly details: string | undefined;

  constructor(code: number, message: string, details?: string) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

interface NetworkConfig {
  readonly cniVersion: Version;
  readonly name: string;
  readonly socket: string;
  readonly timeoutSeconds: number;
  /** The agent checks its items. */
  readonly validAttachments: CniRequest['validAttachments'] | undefined;
  readonly hasPreviousResult: boolean;
  /** The agent reads both. */
  readonly ipam: unknown;
  readonly features: unknown;
}

/** Runs one CNI command; the answer is the exit code. Never throws. */
export async function runPlugin(world: PluginWorld): Promise<number> {
  const command = world.env['CNI_COMMAND'];
  if (!command || world.args.includes('--help')) {
    world.stdout.write(USAGE);
    return 0;
  }
  let cniVersion: string = NEWEST;
  try {
    const input = parseObject(await readAll(world.stdin), 'the network configuration on stdin');
    if (command === 'VERSION') {
      const asked = typeof input['cniVersion'] === 'string' ? input['cniVersion'] : NEWEST;
      print(world, { cniVersion: asked, supportedVersions: VERSIONS });
      return 0;
    }
    const config = parseConfig(input);
    cniVersion = config.cniVersion;
    const request = buildRequest(command, world.env, config);
    const reply = await askAgent(config, request);
    if ('error' in reply) {
      throw new PluginError(reply.error.code, reply.error.msg, reply.error.details);
    }
    if (reply.result) print(world, { cniVersion, ...inVersion(reply.result, config.cniVersion) });
    return 0;
  } catch (error) {
    const code = error instanceof PluginError ? error.code : CNI_CODE.internal;
    const details = error instanceof PluginError ? error.details : undefined;
    const msg = error instanceof Error ? error.message : String(error);
    print(world, { cniVersion, code, msg, ...(details === undefined ? {} : { details }) });
    return 1;
  }
}

function print(world: PluginWorld, value: unknown): void {
  world.stdout.write(`${JSON.stringify(value)}\n`);
}

async function readAll(stdin: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stdin) {
    length += chunk.length;
    if (length > MAX_LINE) {
      throw new PluginError(CNI_CODE.decodeFailure, `stdin is longer than ${MAX_LINE} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseObject(text: string, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (isRecord(value)) return value;
  } catch {
    // Falls through to the one message for both.
  }
  throw new PluginError(CNI_CODE.decodeFailure, `${what} is not a JSON object`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseConfig(input: Record<string, unknown>): NetworkConfig {
  const { name, socket = DEFAULT_SOCKET, timeoutSeconds = DEFAULT_TIMEOUT_SECONDS } = input;
  const attachments = input['cni.dev/valid-attachments'];
  const cniVersion = VERSIONS.find((version) => version === input['cniVersion']);
  if (!cniVersion) {
    throw new PluginError(
      CNI_CODE.incompatibleVersion,
      `cniVersion ${JSON.stringify(input['cniVersion'])} is not supported; use one of ${VERSIONS.join(', ')}`,
    );
  }
  const problems: string[] = [];
  if (typeof name !== 'string' || !isIdentifier(name)) {
    problems.push(`name: ${JSON.stringify(name)} is not a network name`);
  }
  if (typeof socket !== 'string' || !socket.startsWith('/')) {
    problems.push(`socket: ${JSON.stringify(socket)} is not an absolute path`);
  }
  const isTime = typeof timeoutSeconds === 'number' && timeoutSeconds > 0 && timeoutSeconds <= 3600;
  if (!isTime) problems.push(`timeoutSeconds: ${JSON.stringify(timeoutSeconds)} is not in 0-3600`);
  if (problems.length > 0) throw new PluginError(CNI_CODE.invalidConfig, problems.join('; '));
  return {
    cniVersion,
    name: String(name),
    socket: String(socket),
    timeoutSeconds: Number(timeoutSeconds),
    validAttachments: Array.isArray(attachments) ? attachments : undefined,
    hasPreviousResult: input['prevResult'] !== undefined && input['prevResult'] !== null,
    ipam: input['ipam'],
    features: input['feature_control'],
  };
}

function buildRequest(command: string, env: PluginWorld['env'], config: NetworkConfig): CniRequest {
  if (!isCommand(command)) {
    const known = `use ${Object.keys(COMMANDS).join(', ')} or VERSION`;
    const text = `CNI_COMMAND ${JSON.stringify(command)} is unknown; ${known}`;
    throw new PluginError(CNI_CODE.invalidEnvironment, text);
  }
  const { requires, since } = COMMANDS[command];
  if (VERSIONS.indexOf(config.cniVersion) < VERSIONS.indexOf(since)) {
    const text = `${command} needs cniVersion ${since}; the configuration says ${config.cniVersion}`;
    throw new PluginError(CNI_CODE.incompatibleVersion, text);
  }
  if (command === 'ADD' && config.hasPreviousResult) {
    const text =
      'prevResult: another plugin made the interface already; put tortie first in the chain';
    throw new PluginError(CNI_CODE.invalidConfig, text);
  }
  const { CNI_CONTAINERID: containerId = '', CNI_NETNS: netns = '', CNI_IFNAME: ifname = '' } = env;
  const problems = requires.filter((name) => !env[name]).map((name) => `${name} is missing`);
  if (containerId !== '' && !isIdentifier(containerId)) {
    problems.push(`CNI_CONTAINERID ${JSON.stringify(containerId)} is not a container ID`);
  }
  if (ifname !== '' && !isInterfaceName(ifname)) {
    problems.push(`CNI_IFNAME ${JSON.stringify(ifname)} cannot name an interface`);
  }
  const args = parseArgs(env['CNI_ARGS'] ?? '');
  if (!args)
    problems.push(`CNI_ARGS ${JSON.stringify(env['CNI_ARGS'])} is not KEY=VALUE;KEY=VALUE`);
  if (problems.length > 0 || !args) {
    throw new PluginError(CNI_CODE.invalidEnvironment, `${command}: ${problems.join('; ')}`);
  }
  const { name: network, validAttachments, ipam, features } = config;
  if (command === 'GC' && !validAttachments) {
    const text = 'GC: cni.dev/valid-attachments is not a list; without it everything would go';
    throw new PluginError(CNI_CODE.invalidConfig, text);
  }
  const base = { command, network, containerId, netns, ifname, args, ipam, features };
  return { ...base, validAttachments: validAttachments ?? [] };
}

function isCommand(text: string): text is AgentCommand {
  return Object.hasOwn(COMMANDS, text);
}

function isIdentifier(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(text);
}

function isInterfaceName(text: string): boolean {
  return text.length < 16 && text !== '.' && text !== '..' && !/[/:\s]/.test(text);
}

function parseArgs(text: string): Record<string, string> | undefined {
  const pairs = text.split(';').filter((pair) => pair !== '');
  if (pairs.some((pair) => pair.indexOf('=') < 1)) return undefined;
  return Object.fromEntries(
    pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  );
}

function inVersion(result: CniResult, version: Version): Record<string, unknown> {
  const interfaces = result.interfaces.map(({ mtu, ...older }) =>
    version === '1.1.0' ? { ...older, mtu } : older,
  );
  const ips = result.ips.map((ip) =>
    version === '0.4.0' ? { version: ip.address.includes(':') ? '6' : '4', ...ip } : ip,
  );
  return { interfaces, ips, routes: result.routes, dns: {} };
}

/** STATUS asks whether ADD would work: there an absent agent is the answer, not a failure. */
function askAgent(config: NetworkConfig, request: CniRequest): Promise<CniReply> {
  const { socket: path, timeoutSeconds } = config;
  const absent = request.command === 'STATUS' ? CNI_CODE.notAvailable : CNI_CODE.tryAgainLater;
  return new Promise((resolve, reject) => {
    const fail = (code: number, text: string) => {
      clearTimeout(timer);
      connection.destroy();
      reject(new PluginError(code, `${request.command}: ${text}`));
    };
    const chunks: Buffer[] = [];
    let length = 0;
    const connection = connect(path, () => connection.write(`${JSON.stringify(request)}\n`));
    const timer = setTimeout(
      () => fail(absent, `the agent at ${path} did not answer within ${timeoutSeconds} s`),
      timeoutSeconds * 1000,
    );
    connection.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EACCES' ? CNI_CODE.ioFailure : absent;
      const advice = code === absent ? 'is the agent (tortie node) running?' : 'run it as root';
      fail(code, `cannot reach the agent at ${path} (${error.code}); ${advice}`);
    });
    connection.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_LINE)
        fail(CNI_CODE.decodeFailure, `the agent's answer is over ${MAX_LINE} bytes`);
      else chunks.push(chunk);
    });
    connection.on('end', () => {
      const reply = parseReply(Buffer.concat(chunks).toString('utf8'));
      if (!reply) return fail(absent, `the agent at ${path} ended without an answer; try again`);
      clearTimeout(timer);
      connection.destroy();
      return resolve(reply);
    });
  });
}

function parseReply(text: string): CniReply | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && ('result' in value || isRecord(value['error']))
      ? (value as unknown as CniReply)
      : undefined;
  } catch {
    return undefined;
  }
}

// Runs a CNI plugin by the protocol of CNI 1.1: parameters in the environment, configuration on stdin, JSON on stdout.
import { spawn } from 'node:child_process';
import { dirname } from 'node:path';
import { isObject } from '#lib';
import { inNamespace, labEnvironment } from './launch.ts';

export interface CniInvocation {
  readonly command: 'ADD' | 'DEL' | 'CHECK' | 'STATUS';
  readonly lab: string;
  /** The plugin's program. */
  readonly plugin: string;
  /** The network namespace of the node, in which the plugin runs. */
  readonly nodeNamespace: string;
  /** The agent's socket. */
  readonly socket: string;
  readonly containerId: string;
  /** The pod's network namespace. */
  readonly namespace: string;
  /** `namespace/name` and UID of the pod. */
  readonly pod: string;
  readonly uid: string;
}

/** The plugin refused, or could not run. */
export class CniError extends Error {
  /** As the CNI specification counts; 11 is "try again later". */
  readonly code: number;

  constructor(command: string, code: number, message: string) {
    super(`CNI ${command} failed (code ${code}): ${message}`);
    this.name = 'CniError';
    this.code = code;
  }
}

const OUTPUT_MAX = 1024 * 1024;
const TIMEOUT_MS = 60_000;
const CNI_FAILED = 999;

/** Runs the plugin; resolves to the result of ADD, undefined for commands without one. Throws CniError. */
export async function runCniPlugin(invocation: CniInvocation): Promise<unknown> {
  const { code, stdout, stderr } = await runPlugin(invocation);
  const result = parseJson(stdout);
  if (code === 0) return result;
  if (isObject(result) && typeof result['code'] === 'number') {
    const details = typeof result['details'] === 'string' ? `: ${result['details']}` : '';
    throw new CniError(invocation.command, result['code'], `${String(result['msg'])}${details}`);
  }
  const said = stderr.trim() || stdout.trim() || `the plugin ended with code ${code}`;
  throw new CniError(invocation.command, CNI_FAILED, said.slice(0, 1000));
}

/** The addresses in a result of ADD, without prefix lengths. Throws CniError where there is none. */
export function addressesOf(result: unknown): string[] {
  const ips: unknown = isObject(result) ? result['ips'] : undefined;
  const addresses = (Array.isArray(ips) ? ips : []).flatMap((ip: unknown) =>
    isObject(ip) && typeof ip['address'] === 'string' ? [ip['address'].replace(/\/.*$/, '')] : [],
  );
  if (addresses.length === 0) throw new CniError('ADD', CNI_FAILED, 'the result has no address');
  return addresses;
}

interface PluginOutput {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function runPlugin(invocation: CniInvocation): Promise<PluginOutput> {
  const [program = '', ...args] = inNamespace(invocation.nodeNamespace, [invocation.plugin]);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: pluginEnvironment(invocation),
      stdio: ['pipe', 'pipe', 'pipe'],
      timeout: TIMEOUT_MS,
    });
    const output = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].setEncoding('utf8').on('data', (text: string) => {
        if (output[stream].length < OUTPUT_MAX) output[stream] += text;
      });
    }
    child.once('error', (error) =>
      reject(new CniError(invocation.command, CNI_FAILED, error.message)),
    );
    child.once('close', (code) => resolve({ code: code ?? 1, ...output }));
    child.stdin.on('error', () => undefined);
    child.stdin.end(JSON.stringify(configuration(invocation)));
  });
}

function configuration({ socket }: CniInvocation) {
  return { cniVersion: '1.1.0', name: 'tortie', type: 'tortie', socket };
}

function pluginEnvironment(invocation: CniInvocation): Record<string, string> {
  const { command, lab, plugin, containerId, namespace, pod, uid } = invocation;
  const [podNamespace = '', podName = ''] = pod.split('/');
  const args = {
    IgnoreUnknown: '1',
    K8S_POD_NAMESPACE: podNamespace,
    K8S_POD_NAME: podName,
    K8S_POD_INFRA_CONTAINER_ID: containerId,
    K8S_POD_UID: uid,
  };
  return {
    ...labEnvironment(lab),
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: namespace,
    CNI_IFNAME: 'eth0',
    CNI_PATH: dirname(plugin),
    CNI_ARGS: Object.entries(args)
      .map(([name, value]) => `${name}=${value}`)
      .join(';'),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

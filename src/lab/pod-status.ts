// The status of a pod, from what its containers do: what a kubelet reports.
import type { Container } from '#api';
import type { ProcessExit } from './process-record.ts';

export type ContainerState =
  | { readonly type: 'waiting'; readonly reason: string; readonly message?: string }
  | { readonly type: 'running'; readonly startedAt: string }
  | { readonly type: 'terminated'; readonly startedAt: string; readonly exit: ProcessExit };

export interface PodSituation {
  readonly containers: readonly Container[];
  /** By container name; absent ones wait to be created. */
  readonly states: ReadonlyMap<string, ContainerState>;
  readonly addresses: readonly string[];
  readonly hostAddresses: readonly string[];
  /** RFC 3339. */
  readonly startTime: string;
  /** Why it does not start; the lab tries again. */
  readonly trouble?: string;
}

const CREATING: ContainerState = { type: 'waiting', reason: 'ContainerCreating' };

/** The `status` of a Pod. */
export function podStatus(situation: PodSituation): Record<string, unknown> {
  const { containers, addresses, hostAddresses, startTime, trouble } = situation;
  const states = containers.map(({ name }) => situation.states.get(name) ?? CREATING);
  const allRunning = states.every(({ type }) => type === 'running');
  const started = states.some(({ type }) => type !== 'waiting');
  return {
    phase: podPhase(states),
    startTime,
    podIP: addresses[0] ?? null,
    podIPs: addresses.map((ip) => ({ ip })),
    hostIP: hostAddresses[0] ?? null,
    hostIPs: hostAddresses.map((ip) => ({ ip })),
    message: trouble ?? null,
    conditions: [
      condition('PodScheduled', true),
      condition('PodReadyToStartContainers', addresses.length > 0, trouble),
      condition('Initialized', started),
      condition('ContainersReady', allRunning),
      condition('Ready', allRunning),
    ],
    containerStatuses: containers.map((container, index) =>
      containerStatus(container, states[index] ?? CREATING),
    ),
  };
}

function podPhase(states: readonly ContainerState[]): string {
  if (states.every(({ type }) => type === 'waiting')) return 'Pending';
  if (states.some(({ type }) => type !== 'terminated')) return 'Running';
  return states.every((state) => state.type === 'terminated' && state.exit.code === 0)
    ? 'Succeeded'
    : 'Failed';
}

function condition(type: string, holds: boolean, message?: string) {
  const status = holds ? 'True' : 'False';
  return { type, status, ...(message === undefined || holds ? {} : { message }) };
}

function containerStatus(container: Container, state: ContainerState) {
  const isRunning = state.type === 'running';
  return {
    name: container.name,
    image: container.image ?? '',
    ready: isRunning,
    started: isRunning,
    restartCount: 0,
    state: kubernetesState(state),
  };
}

function kubernetesState(state: ContainerState) {
  switch (state.type) {
    case 'waiting': {
      const { reason, message } = state;
      return { waiting: { reason, ...(message === undefined ? {} : { message }) } };
    }
    case 'running':
      return { running: { startedAt: state.startedAt } };
    case 'terminated': {
      const { code, at } = state.exit;
      const reason = code === 0 ? 'Completed' : 'Error';
      const { startedAt } = state;
      return {
        terminated: { ...exitNumbers(state.exit), reason, startedAt, finishedAt: at },
      };
    }
  }
}

/** As shells and kubelets count: 128 and the signal's number where a signal ended it. */
function exitNumbers({ code, signal }: ProcessExit) {
  if (code !== null) return { exitCode: code };
  const number = signal === 'SIGKILL' ? 9 : signal === 'SIGTERM' ? 15 : 0;
  return { exitCode: 128 + number, message: `ended by ${signal ?? 'a signal'}` };
}

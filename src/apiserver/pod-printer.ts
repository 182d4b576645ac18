// What `kubectl get pods` says of a pod's containers: how many are ready, what they do, how often they began.
import { isObject } from '#lib';
import { ageText } from './age-text.ts';

type Fields = Readonly<Record<string, unknown>>;

/** `1/2`: containers that are ready, of all. */
export function podReady({ spec, status }: Fields): string {
  const total = list(isObject(spec) ? spec['containers'] : undefined).length;
  const ready = statuses(status, 'containerStatuses').filter((entry) => entry['ready'] === true);
  return `${ready.length}/${total}`;
}

/** The phase, or what says more: why a container waits or has ended, or that the pod is being deleted. */
export function podStatus({ metadata, spec, status }: Fields): string {
  const state = isObject(status) ? status : {};
  const reason = word(state['reason']);
  if (isObject(metadata) && metadata['deletionTimestamp'] !== undefined) {
    return reason === 'NodeLost' ? 'Unknown' : 'Terminating';
  }
  const initial = initialReason(state, isObject(spec) ? list(spec['initContainers']).length : 0);
  if (initial !== undefined) return initial;
  const found = statuses(state, 'containerStatuses').map(containerReason).find(Boolean);
  return found ?? (reason || word(state['phase']) || 'Unknown');
}

/** The number, and how long ago the last restart was. */
export function podRestarts({ status }: Fields, now: number): string {
  const containers = statuses(status, 'containerStatuses');
  const restarts = containers.reduce((sum, entry) => sum + whole(entry['restartCount']), 0);
  const ends = containers
    .map((entry) => terminated(entry['lastState'])?.['finishedAt'])
    .filter((time) => typeof time === 'string')
    .sort();
  const last = ends.at(-1);
  return restarts > 0 && last !== undefined
    ? `${restarts} (${ageText(last, now)} ago)`
    : String(restarts);
}

/** Undefined where all of them are done. */
function initialReason(status: Fields, total: number): string | undefined {
  for (const [index, entry] of statuses(status, 'initContainerStatuses').entries()) {
    const ended = terminated(entry['state']);
    if (ended && whole(ended['exitCode']) === 0) continue;
    if (ended) return `Init:${endReason(ended)}`;
    const waiting = stateOf(entry['state'], 'waiting');
    const why = word(waiting?.['reason']);
    if (why !== '' && why !== 'PodInitializing') return `Init:${why}`;
    return `Init:${index}/${total}`;
  }
  return undefined;
}

function containerReason(entry: Fields): string | undefined {
  const why = word(stateOf(entry['state'], 'waiting')?.['reason']);
  if (why !== '') return why;
  const ended = terminated(entry['state']);
  return ended ? endReason(ended) : undefined;
}

function endReason({ reason, signal, exitCode }: Fields): string {
  if (word(reason) !== '') return word(reason);
  return whole(signal) > 0 ? `Signal:${whole(signal)}` : `ExitCode:${whole(exitCode)}`;
}

function terminated(state: unknown): Fields | undefined {
  return stateOf(state, 'terminated');
}

function stateOf(state: unknown, name: string): Fields | undefined {
  const found = isObject(state) ? state[name] : undefined;
  return isObject(found) ? found : undefined;
}

function statuses(status: unknown, field: string): Fields[] {
  return list(isObject(status) ? status[field] : undefined);
}

function list(value: unknown): Fields[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function word(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function whole(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) ? value : 0;
}

// What a node says of a capture in its status: state, files and counts, beside what other nodes said.
import type { CaptureFiles, CaptureState } from '#api';
import type { PlannedCapture } from './capture-plan.ts';

export interface CaptureSituation {
  readonly node: string;
  readonly directory: string;
  readonly fileNames: readonly string[];
  readonly packets: number;
  readonly dropped: number;
  /** Pods whose packets are read by now. */
  readonly open: number;
  readonly errors: readonly string[];
}

const MESSAGE_MAX = 1000;

/** Undefined where the node has nothing to do with the capture. */
export function captureEntry(
  capture: PlannedCapture,
  situation: CaptureSituation,
): CaptureFiles | undefined {
  const { node, directory, fileNames, packets, dropped, errors } = situation;
  if (capture.pods.length === 0 && fileNames.length === 0) return undefined;
  const message = errors.join('; ').slice(0, MESSAGE_MAX);
  return {
    node,
    directory,
    fileNames: [...fileNames],
    state: stateOf(capture, situation),
    packets,
    droppedPackets: dropped,
    ...(message === '' ? {} : { message }),
  };
}

function stateOf(capture: PlannedCapture, situation: CaptureSituation): CaptureState {
  if (capture.phase === 'scheduled') return 'Scheduled';
  if (capture.phase === 'finished' || capture.pods.length === 0) return 'Finished';
  if (situation.errors.length > 0) return 'Error';
  if (situation.packets > 0) return 'Capturing';
  // Who waits for this knows that the next packet is in a file.
  return situation.open === capture.pods.length ? 'WaitingForTraffic' : 'Scheduled';
}

/** The status' list with this node's entry, by name of node. */
export function withEntry(
  files: readonly CaptureFiles[],
  node: string,
  entry: CaptureFiles | undefined,
): CaptureFiles[] {
  const others = files.filter((one) => one.node !== node);
  return [...others, ...(entry ? [entry] : [])].sort((one, other) =>
    one.node < other.node ? -1 : 1,
  );
}

// The thread that captures: it follows the plan it is given, and says how many packets there were.
import { parentPort, workerData } from 'node:worker_threads';
import { Capturer } from './capturer.ts';
import type { FromCaptureThread, ToCaptureThread } from './capture-messages.ts';

export interface CaptureThreadOptions {
  readonly namespace?: number | undefined;
}

function run({ namespace }: CaptureThreadOptions): void {
  const port = parentPort;
  if (!port) throw new Error('the capturing thread runs as a worker only');
  const tell = (message: FromCaptureThread): void => port.postMessage(message);
  const capturer = new Capturer({
    namespace,
    onCounts: (counts) => tell({ type: 'counts', counts }),
  });
  port.on('message', (message: ToCaptureThread) => {
    switch (message.type) {
      case 'plan':
        return capturer.setPlan(message.pods);
      case 'remove': {
        const error = capturer.remove(message.directory);
        return tell({ type: 'removed', id: message.id, ...(error !== undefined && { error }) });
      }
      case 'stop':
        void capturer.close().finally(() => port.close());
        return;
      default:
        return message satisfies never;
    }
  });
}

run(workerData as CaptureThreadOptions);

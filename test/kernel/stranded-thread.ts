// A worker that cannot return from a namespace: it says when it goes on nevertheless.
import { closeSync, openSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { withNamespace } from '#linux';

// The next descriptor that is opened, which is that of the thread's own namespace.
const home = openSync('/dev/null', 'r');
withNamespace(workerData, () => undefined);
closeSync(home);
try {
  withNamespace(workerData, () => closeSync(home));
} finally {
  parentPort?.postMessage('it went on');
}

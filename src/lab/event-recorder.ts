// Tells as Kubernetes events what happens to the lab's pods; nobody waits for them, and none is told twice.
import { createHash } from 'node:crypto';
import { eventKind, type Pod } from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import { podKey, uidOf } from './pod-watch.ts';

export interface PodEvent {
  readonly type: 'Normal' | 'Warning';
  /** One word, such as `Started`. */
  readonly reason: string;
  readonly message: string;
}

const COMPONENT = 'tortie-lab';
/** Events that may wait for the server; more are dropped: they tell, and nothing follows from them. */
const WAITING_MAX = 200;
const MESSAGE_MAX = 1024;

export class EventRecorder {
  readonly #client: ApiClient;
  readonly #log: (message: string) => void;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(client: ApiClient, log: (message: string) => void) {
    this.#client = client;
    this.#log = log;
  }

  /** `node`: where it happens. The same event again is counted. */
  record(pod: Pod, node: string, event: PodEvent): void {
    if (this.#waiting >= WAITING_MAX) return;
    this.#waiting++;
    const now = new Date().toISOString();
    this.#last = this.#last
      .then(() => this.#send(pod, { node, now }, event))
      .catch((error: unknown) =>
        this.#log(`pod ${podKey(pod)}: cannot tell ${event.reason}: ${String(error)}`),
      )
      .finally(() => this.#waiting--);
  }

  async #send(
    pod: Pod,
    { node, now }: { node: string; now: string },
    { type, reason, message }: PodEvent,
  ): Promise<void> {
    const { name, namespace = 'default' } = pod.metadata;
    const text = message.slice(0, MESSAGE_MAX);
    const hash = createHash('sha256').update(JSON.stringify([uidOf(pod), node, reason, text]));
    const key = { namespace, name: `${name.slice(0, 200)}.${hash.digest('hex').slice(0, 16)}` };
    const before = await this.#client.get(eventKind, key);
    if (before) {
      const count = 'count' in before && typeof before.count === 'number' ? before.count + 1 : 2;
      await this.#client.patch(eventKind, key, { count, lastTimestamp: now }).catch(ignoreRefusal);
      return;
    }
    const { apiVersion, kind, metadata } = pod;
    const { uid, resourceVersion } = metadata;
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: key,
      involvedObject: { apiVersion, kind, namespace, name, uid, resourceVersion },
      type,
      reason,
      message: text,
      count: 1,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: COMPONENT, host: node },
      reportingComponent: COMPONENT,
      reportingInstance: node,
    };
    await this.#client.create(eventKind, event).catch(ignoreRefusal);
  }
}

/** Its namespace is being deleted, or somebody was faster: then there is nothing to tell. */
function ignoreRefusal(error: unknown): void {
  if (!(error instanceof ApiError && error.status < 500)) throw error;
}

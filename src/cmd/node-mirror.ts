// Keeps a Calico Node for each Kubernetes Node, for Calico's tools on the same etcd; what others wrote is theirs.
import type { Logger } from 'pino';
import {
  type CalicoNode,
  calicoNodeKind,
  isMirroredNode,
  type KubernetesNode,
  mirroredNode,
  nodeKind,
} from '#api';
import { type ApiClient, ApiError } from '#datastore/client';
import { Syncer, type SyncerUpdate } from '#datastore/syncer';
import { jsonEqual } from '#lib';
import { type Controller, startController } from './controller.ts';

const AGAIN_MS = 1_000;

/** Works until `stop`. */
export function startNodeMirror(kubeconfig: string, log: Logger): Pick<Controller, 'stop'> {
  const onError = (error: unknown) =>
    log.warn({ err: error }, "cannot write Calico's Node; trying again");
  return startController(kubeconfig, (client) => new NodeMirror(client, onError));
}

type MirrorClient = Pick<ApiClient, 'create' | 'replace' | 'delete'>;

class NodeMirror implements Controller {
  readonly #client: MirrorClient;
  readonly #onError: (error: unknown) => void;
  readonly #syncer: Syncer;
  readonly #nodes = new Map<string, KubernetesNode>();
  readonly #copies = new Map<string, CalicoNode>();
  /** Names whose copy may not be right. */
  readonly #due = new Set<string>();
  #inSync = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();

  constructor(client: ApiClient, onError: (error: unknown) => void) {
    this.#client = client;
    this.#onError = onError;
    this.#syncer = new Syncer({
      client,
      kinds: [nodeKind, calicoNodeKind],
      callbacks: {
        onUpdates: (updates) => this.#onUpdates(updates),
        onStatus: (status) => {
          this.#inSync = status === 'in-sync';
          this.#go();
        },
      },
    });
  }

  start(): void {
    this.#syncer.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#syncer.stop();
    await this.#turn;
  }

  #onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      const name = resource?.metadata.name ?? key.slice(key.indexOf(' ') + 1);
      const known: Map<string, unknown> = kind === nodeKind ? this.#nodes : this.#copies;
      if (resource) known.set(name, resource);
      else known.delete(name);
      this.#due.add(name);
    }
    this.#go();
  }

  #go(): void {
    if (this.#inSync && !this.#stopped) this.#turn = this.#turn.then(() => this.#write());
  }

  async #write(): Promise<void> {
    for (const name of this.#due) {
      if (this.#stopped) return;
      this.#due.delete(name);
      try {
        await this.#mirror(name);
      } catch (error) {
        // Somebody else's change comes as an update, and the name is due again.
        if (error instanceof ApiError && error.status === 409) continue;
        this.#onError(error);
        // What is refused is refused again until the node is another.
        if (error instanceof ApiError && error.status === 422) continue;
        this.#due.add(name);
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#go(), AGAIN_MS);
        return;
      }
    }
  }

  async #mirror(name: string): Promise<void> {
    const node = this.#nodes.get(name);
    const copy = this.#copies.get(name);
    if (copy && !isMirroredNode(copy)) return;
    if (!node) {
      if (copy) await this.#client.delete(calicoNodeKind, { name });
      return;
    }
    const wanted = mirroredNode(node);
    if (!copy) {
      await this.#client.create(calicoNodeKind, wanted);
    } else if (!isCopy(copy, wanted)) {
      const { resourceVersion = '' } = copy.metadata;
      await this.#client.replace(calicoNodeKind, {
        ...wanted,
        metadata: { ...wanted.metadata, resourceVersion },
      });
    }
  }
}

function isCopy(copy: CalicoNode, wanted: CalicoNode): boolean {
  const part = ({ metadata: { labels, annotations }, spec }: CalicoNode): unknown => [
    labels ?? {},
    annotations ?? {},
    spec,
  ];
  return jsonEqual(part(copy), part(wanted));
}

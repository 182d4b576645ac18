// Says on this host's Node what others need of it: its subnets, and its addresses on tunnels.
import type { IPPool, KubernetesNode } from '#api';
import { parseAddress } from '#lib';
import type { SyncerStatus, SyncerUpdate } from '#datastore/syncer';

type Annotations = Readonly<Record<string, string | null>>;

export interface NodeAnnotatorOptions {
  readonly nodeName: string;
  /** The host's own addresses, with the lengths of their subnets. */
  readonly addresses: () => readonly { readonly prefix: string }[];
  /** The tunnel addresses that these pools want, by annotation; null where none is wanted. */
  readonly tunnels: (pools: readonly IPPool[]) => Promise<{
    readonly annotations: Annotations;
    readonly problems: readonly string[];
  }>;
  /** Null removes an annotation. */
  readonly patch: (annotations: Annotations) => Promise<void>;
  readonly log: (message: string) => void;
}

const SUBNET = { 4: 'projectcalico.org/IPv4Address', 6: 'projectcalico.org/IPv6Address' } as const;
const COALESCE_MS = 50;
const BACKOFF_MS = { first: 500, most: 30_000 } as const;

/**
 * Looks whenever the own Node or a pool has changed, and after a failure again and again. Nothing is done
 * before the first in-sync: pools not yet read would look like pools that have gone.
 */
export class NodeAnnotator {
  readonly #options: NodeAnnotatorOptions;
  readonly #pools = new Map<string, IPPool>();
  #node: KubernetesNode | undefined;
  #inSync = false;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #again = false;
  #failures = 0;
  #stopped = false;

  constructor(options: NodeAnnotatorOptions) {
    this.#options = options;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      if (kind.kind === 'IPPool') {
        if (resource) this.#pools.set(key, resource as IPPool);
        else this.#pools.delete(key);
        this.#schedule(COALESCE_MS);
      } else if (kind.kind === 'Node' && kind.group === '') {
        if (resource?.metadata.name !== this.#options.nodeName) continue;
        this.#node = resource as KubernetesNode;
        this.#schedule(COALESCE_MS);
      }
    }
  }

  onStatus(status: SyncerStatus): void {
    if (status !== 'in-sync' || this.#inSync) return;
    this.#inSync = true;
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #schedule(delayMs: number): void {
    if (!this.#inSync || this.#stopped) return;
    if (this.#running) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#run(), delayMs);
  }

  async #run(): Promise<void> {
    this.#running = true;
    this.#again = false;
    const problems = await this.#annotate();
    this.#running = false;
    for (const problem of problems) this.#options.log(`cannot annotate this node: ${problem}`);
    this.#failures = problems.length === 0 ? 0 : this.#failures + 1;
    const wait = Math.min(BACKOFF_MS.first * 2 ** (this.#failures - 1), BACKOFF_MS.most);
    if (this.#failures > 0) this.#schedule(wait);
    else if (this.#again) this.#schedule(COALESCE_MS);
  }

  /** Returns what went wrong. */
  async #annotate(): Promise<readonly string[]> {
    const node = this.#node;
    if (!node) return [];
    try {
      const tunnels = await this.#options.tunnels([...this.#pools.values()]);
      const wanted: Annotations = { ...this.#subnets(node), ...tunnels.annotations };
      const held = node.metadata.annotations ?? {};
      const changed = Object.entries(wanted).filter(([name, value]) => {
        return (Object.hasOwn(held, name) ? held[name] : null) !== value;
      });
      if (changed.length > 0) await this.#options.patch(Object.fromEntries(changed));
      return tunnels.problems;
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  }

  /** The first internal address of each family, as it is on an interface; what is on none is not said. */
  #subnets({ status }: KubernetesNode): Annotations {
    const own = this.#options.addresses();
    const internal = (status?.addresses ?? []).filter(({ type }) => type === 'InternalIP');
    const found: Record<string, string> = {};
    for (const family of [4, 6] as const) {
      const address = internal.find((it) => parseAddress(it.address)?.family === family)?.address;
      const prefix = own.find((it) => it.prefix.split('/')[0] === address)?.prefix;
      if (prefix !== undefined) found[SUBNET[family]] = prefix;
    }
    return found;
  }
}

// Says on this host's Node what others need of it: its subnets, its interfaces, and its addresses on tunnels.
import type { IPPool, KubernetesNode } from '#api';
import type { HostSettings } from '#calc/dataplane-update';
import { jsonEqual, parseAddress, parsePrefix, prefixContains } from '#lib';
import type { SyncerStatus, SyncerUpdate } from '#datastore/syncer';

type Annotations = Readonly<Record<string, string | null>>;

export interface NodeAnnotatorOptions {
  readonly nodeName: string;
  /** The host's own addresses, with the lengths of their subnets, and their interfaces. */
  readonly addresses: () => readonly { readonly prefix: string; readonly interface: string }[];
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
/** Who asks which host endpoint governs which interface reads it here: a JSON list of `{name, addresses}`. */
const INTERFACES = 'projectcalico.org/Interfaces';
const INTERFACES_MOST = 100;
const COALESCE_MS = 50;
/** Addresses also change with every pod. */
const ADDRESSES_MS = 2_000;
const BACKOFF_MS = { first: 500, most: 30_000 } as const;

type InterfaceSettings = Pick<HostSettings, 'workloadPrefixes' | 'excludedInterfaces'>;

/**
 * Looks whenever the own Node, a pool or the host's interfaces have changed, and after a failure again and again.
 * Nothing is done before the first in-sync: pools not yet read would look like pools that have gone.
 */
export class NodeAnnotator {
  readonly #options: NodeAnnotatorOptions;
  readonly #pools = new Map<string, IPPool>();
  #node: KubernetesNode | undefined;
  #settings: InterfaceSettings | undefined;
  #addressTimer: NodeJS.Timeout | undefined;
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

  /** Nothing is said of interfaces before it is known which are workloads'. */
  onSettings({ workloadPrefixes, excludedInterfaces }: InterfaceSettings): void {
    const settings = { workloadPrefixes, excludedInterfaces };
    if (jsonEqual(settings, this.#settings)) return;
    this.#settings = settings;
    this.#schedule(COALESCE_MS);
  }

  /** Some address has come or gone. */
  onAddresses(): void {
    if (this.#stopped) return;
    this.#addressTimer ??= setTimeout(() => {
      this.#addressTimer = undefined;
      const said = this.#node?.metadata.annotations?.[INTERFACES] ?? null;
      if (this.#settings && this.#interfaces(this.#settings) !== said) this.#schedule(0);
    }, ADDRESSES_MS);
  }

  onStatus(status: SyncerStatus): void {
    if (status !== 'in-sync' || this.#inSync) return;
    this.#inSync = true;
    this.#schedule(0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#addressTimer);
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
      const wanted: Annotations = {
        ...this.#subnets(node),
        ...(this.#settings && { [INTERFACES]: this.#interfaces(this.#settings) }),
        ...tunnels.annotations,
      };
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

  /** In the order in which the dataplane goes through them; null where there are none, or too many to say. */
  #interfaces({ workloadPrefixes, excludedInterfaces }: InterfaceSettings): string | null {
    const excluded = excludedInterfaces.map((pattern) => new RegExp(pattern));
    const interfaces = new Map<string, string[]>();
    for (const { interface: name, prefix } of this.#options.addresses()) {
      const [address = ''] = prefix.split('/');
      if (name === 'lo' || isOfLink(address)) continue;
      if (workloadPrefixes.some((it) => name.startsWith(it))) continue;
      if (excluded.some((pattern) => pattern.test(name))) continue;
      interfaces.set(name, [...(interfaces.get(name) ?? []), address]);
    }
    if (interfaces.size === 0 || interfaces.size > INTERFACES_MOST) return null;
    return JSON.stringify([...interfaces].map(([name, addresses]) => ({ name, addresses })));
  }
}

const LINK_SCOPES = ['169.254.0.0/16', 'fe80::/10'].flatMap((text) => parsePrefix(text) ?? []);

function isOfLink(text: string): boolean {
  const address = parseAddress(text);
  return address !== undefined && LINK_SCOPES.some((scope) => prefixContains(scope, address));
}

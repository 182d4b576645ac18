// Which pools may serve this node and a pod's namespace: their selectors, against the labels known now.
import type { IPPool } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { parseSelector } from '#selector';

type Labels = Readonly<Record<string, string>>;

/** Fails closed: a selector that cannot be read selects nothing. */
export class PoolSelection {
  readonly #nodeName: string;
  readonly #nodes = new Map<string, Labels>();
  readonly #namespaces = new Map<string, Labels>();

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      if (kind.group !== '' || (kind.kind !== 'Node' && kind.kind !== 'Namespace')) continue;
      const labels = kind.kind === 'Node' ? this.#nodes : this.#namespaces;
      const name = resource?.metadata.name ?? key.slice(key.lastIndexOf('/') + 1);
      if (resource) labels.set(name, resource.metadata.labels ?? {});
      else labels.delete(name);
    }
  }

  /** `attributes.namespace` is the pod's (spec 05: nodeSelector, namespaceSelector). */
  selects(pool: IPPool, attributes: Readonly<Record<string, string>>): boolean {
    const { nodeSelector, namespaceSelector } = pool.spec;
    const namespace = attributes['namespace'] ?? '';
    return (
      matches(nodeSelector, this.#nodes.get(this.#nodeName) ?? {}) &&
      matches(namespaceSelector, this.#namespaces.get(namespace) ?? {})
    );
  }
}

function matches(selector: string | undefined, labels: Labels): boolean {
  try {
    return parseSelector(selector ?? '').evaluate(labels);
  } catch {
    return false;
  }
}

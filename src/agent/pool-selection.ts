// Which pools may serve this node and a pod's namespace, and what the namespace says of its pods' pools.
import type { IPPool } from '#api';
import type { SyncerUpdate } from '#datastore/syncer';
import { parseSelector } from '#selector';

type Texts = Readonly<Record<string, string>>;

interface Known {
  readonly labels: Texts;
  readonly annotations: Texts;
}

/** Fails closed: a selector that cannot be read selects nothing. */
export class PoolSelection {
  readonly #nodeName: string;
  readonly #nodes = new Map<string, Known>();
  readonly #namespaces = new Map<string, Known>();

  constructor(nodeName: string) {
    this.#nodeName = nodeName;
  }

  onUpdates(updates: readonly SyncerUpdate[]): void {
    for (const { kind, key, resource } of updates) {
      if (kind.group !== '' || (kind.kind !== 'Node' && kind.kind !== 'Namespace')) continue;
      const known = kind.kind === 'Node' ? this.#nodes : this.#namespaces;
      const name = resource?.metadata.name ?? key.slice(key.search(/[ /][^ /]*$/) + 1);
      const { labels = {}, annotations = {} } = resource?.metadata ?? {};
      if (resource) known.set(name, { labels, annotations });
      else known.delete(name);
    }
  }

  /** Whether the nodeSelector chooses this node (spec 05); undefined while the node is not known. */
  node({ spec }: IPPool): boolean | undefined {
    const known = this.#nodes.get(this.#nodeName);
    return known && matches(spec.nodeSelector, known.labels);
  }

  /** Whether the namespaceSelector chooses `attributes.namespace`, the pod's. */
  namespace({ spec }: IPPool, attributes: Texts): boolean {
    const known = this.#namespaces.get(attributes['namespace'] ?? '');
    return matches(spec.namespaceSelector, known?.labels ?? {});
  }

  /** The annotations of a namespace: those of a pod come before them. */
  annotationsOf(namespace: string): Texts {
    return this.#namespaces.get(namespace)?.annotations ?? {};
  }
}

function matches(selector: string | undefined, labels: Texts): boolean {
  try {
    return parseSelector(selector ?? '').evaluate(labels);
  } catch {
    return false;
  }
}

// What a store is: keyed values under one revision counter, with compare-and-swap and watches.

/** A JSON object as it is stored. Never changed in place: whoever reads it shares it. */
export type StoredObject = Readonly<Record<string, unknown>>;

export interface StoreKey {
  /** Collection, such as `projectcalico.org/tiers`; it may not hold a NUL. */
  readonly kind: string;
  /** Empty for cluster-wide kinds. */
  readonly namespace: string;
  readonly name: string;
}

export interface StoredValue {
  readonly key: StoreKey;
  readonly value: StoredObject;
  /** Revision of the last write of this key. */
  readonly revision: number;
}

/** One write that became durable. State, not type: what it was before and what it is now. */
export interface StoreEvent {
  readonly key: StoreKey;
  readonly revision: number;
  /** Undefined: it was deleted. */
  readonly value: StoredObject | undefined;
  /** Undefined: it was created. */
  readonly previous: StoredObject | undefined;
}

export interface StoreWrite {
  readonly key: StoreKey;
  /** Undefined deletes. */
  readonly value: StoredObject | undefined;
  /** The revision that the key must have now: 0 for "must not exist". Absent: whatever it has. */
  readonly expected?: number;
}

export interface StoreListOptions {
  /** All namespaces when absent. */
  readonly namespace?: string | undefined;
  /** As everything was at this revision; as it is now when absent. */
  readonly at?: number | undefined;
}

export interface StoreList {
  readonly items: StoredValue[];
  readonly revision: number;
}

export interface StoreWatch {
  readonly kind: string;
  /** All namespaces when absent. */
  readonly namespace?: string;
  /** Events after this revision. */
  readonly from: number;
  /** Called in the order of revisions, first with what is past. Must not throw. */
  readonly onEvent: (event: StoreEvent) => void;
}

export interface Store {
  /** The newest durable revision; every event up to it has been delivered. Above 0. */
  readonly revision: number;
  get(key: StoreKey): Promise<StoredValue | undefined>;
  /** Ordered by namespace and name, all as of `revision`. Throws `RevisionTooOld`. */
  list(kind: string, options?: StoreListOptions): Promise<StoreList>;
  /** Resolves to the new revision once it is durable and visible. Throws `RevisionConflict`. */
  write(write: StoreWrite): Promise<number>;
  /** Throws `RevisionTooOld`; resolves to the function that ends the watch. */
  watch(watch: StoreWatch): Promise<() => void>;
  /** Waits for writes under way; later ones are refused. */
  close(): Promise<void>;
}

/** The key does not have the revision that the write expected. */
export class RevisionConflict extends Error {
  readonly key: StoreKey;
  readonly expected: number;
  /** 0: it does not exist. */
  readonly actual: number;

  constructor(key: StoreKey, expected: number, actual: number) {
    super(
      `${key.kind} ${key.namespace}/${key.name} is at revision ${actual}, expected ${expected}`,
    );
    this.name = 'RevisionConflict';
    this.key = key;
    this.expected = expected;
    this.actual = actual;
  }
}

/** The change log does not reach back to this revision (or never had it): list again. */
export class RevisionTooOld extends Error {
  readonly revision: number;

  constructor(revision: number, oldest: number) {
    super(`revision ${revision} is not kept; the change log begins after ${oldest}`);
    this.name = 'RevisionTooOld';
    this.revision = revision;
  }
}

/** The write was not made durable, and nothing of it is visible. It may be tried again. */
export class StoreUnavailable extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'StoreUnavailable';
  }
}

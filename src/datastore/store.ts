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

/** A place in the order of a list, whether or not there is (still) anything. */
export interface StorePosition {
  /** Empty for cluster-wide kinds. */
  readonly namespace: string;
  readonly name: string;
}

export interface StoreListOptions {
  /** All namespaces when absent. */
  readonly namespace?: string | undefined;
  /** As everything was at this revision; as it is now when absent. */
  readonly at?: number | undefined;
  /** Items at most, above 0; all when absent. */
  readonly limit?: number | undefined;
  /** Only what comes after it: to go on, the key of the last item, with `at` the page's revision. */
  readonly after?: StorePosition | undefined;
}

export interface StoreList {
  readonly items: StoredValue[];
  /** What the items are as of. */
  readonly revision: number;
}

export interface StorePage extends StoreList {
  /** How many items the limit left out; 0: this is the end. */
  readonly remaining: number;
}

export interface StoreWatch {
  readonly kind: string;
  /** All namespaces when absent. */
  readonly namespace?: string;
  /** All names when absent; needs the namespace (empty for cluster-wide kinds). */
  readonly name?: string;
  /** Events after this revision. */
  readonly from: number;
  /** Called in the order of revisions, first with what is past. Must not throw. */
  readonly onEvent: (event: StoreEvent) => void;
  /**
   * A bookmark: every event up to this revision has been told, so that a watch may begin from it.
   * In order with the events and rising; told at least before a `Store.sync` resolves where the
   * revision is another than what was last told. Must not throw.
   */
  readonly onBookmark?: (revision: number) => void;
  /**
   * Nothing will be told any more, although nobody ended the watch: `RevisionTooOld` (list again) or
   * `StoreUnavailable` (closed, or out of reach). Not called once the watch is ended. Must not throw.
   */
  readonly onEnd?: (error: RevisionTooOld | StoreUnavailable) => void;
}

export interface Store {
  /** Durable, above 0, never falling; every event up to it has been told to every watch. */
  readonly revision: number;
  get(key: StoreKey): Promise<StoredValue | undefined>;
  /**
   * In the order of the characters of `namespace/name`, all as of `revision`; pages of one revision
   * make the whole list. Throws `RevisionTooOld`.
   */
  list(kind: string, options?: StoreListOptions): Promise<StorePage>;
  /** Resolves to the new revision once it is durable and visible. Throws `RevisionConflict`. */
  write(write: StoreWrite): Promise<number>;
  /** Resolves, when what is past has been told, to the function that ends the watch. Throws `RevisionTooOld`. */
  watch(watch: StoreWatch): Promise<() => void>;
  /**
   * Resolves to `revision` once that has reached every write that anyone had acknowledged before the
   * call, and bookmarks are told. A bookmark of one's own is `revision`, read when this resolves.
   */
  sync(): Promise<number>;
  /**
   * Forgets the changes up to the revision: lists before it and watches from before it are refused.
   * Nothing to do where that much is forgotten. Throws `RevisionTooOld` for a revision to come.
   */
  compact(revision: number): Promise<void>;
  /** Waits for writes under way; later ones are refused, and watches end. */
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

// One set that changes, and its past values, each of which stays what it was: a reader pays, a writer does not.

/** A value of the set. `members` may be asked for at any time, and is always the same set. */
export interface SetVersion {
  readonly members: ReadonlySet<string>;
}

class Version implements SetVersion {
  readonly #read: (version: Version) => ReadonlySet<string>;
  known: ReadonlySet<string> | undefined;
  /** How the next value came out of this one; only where this one may still have to be worked out. */
  next:
    | {
        readonly version: Version;
        readonly added: readonly string[];
        readonly removed: readonly string[];
      }
    | undefined;

  constructor(read: (version: Version) => ReadonlySet<string>) {
    this.#read = read;
  }

  get members(): ReadonlySet<string> {
    return this.#read(this);
  }
}

/**
 * A value that nobody reads costs what changed. The newest that is read is the working set itself, copied at the next
 * change; an older one is worked out from it. Old values that nobody holds are garbage.
 */
export class SetVersions {
  #live = new Set<string>();
  #isShared = false;
  readonly #added = new Set<string>();
  readonly #removed = new Set<string>();
  #head: Version;

  constructor() {
    this.#head = new Version((version) => this.#membersOf(version));
  }

  get size(): number {
    return this.#live.size;
  }

  has(member: string): boolean {
    return this.#live.has(member);
  }

  /** The members now, before the next `version` too. Not to be kept. */
  now(): Iterable<string> {
    return this.#live;
  }

  add(member: string): void {
    if (this.#live.has(member)) return;
    this.#own().add(member);
    if (!this.#removed.delete(member)) this.#added.add(member);
  }

  delete(member: string): void {
    if (!this.#live.has(member)) return;
    this.#own().delete(member);
    if (!this.#added.delete(member)) this.#removed.add(member);
  }

  /** The present value; the same object as before where nothing has changed. */
  version(): SetVersion {
    if (this.#added.size === 0 && this.#removed.size === 0) return this.#head;
    const version = new Version((one) => this.#membersOf(one));
    if (!this.#head.known) {
      this.#head.next = { version, added: [...this.#added], removed: [...this.#removed] };
    }
    this.#added.clear();
    this.#removed.clear();
    this.#head = version;
    return version;
  }

  /** The working set, which no reader has. */
  #own(): Set<string> {
    if (this.#isShared) {
      this.#live = new Set(this.#live);
      this.#isShared = false;
    }
    return this.#live;
  }

  #membersOf(version: Version): ReadonlySet<string> {
    if (version.known) return version.known;
    if (version === this.#head && this.#added.size === 0 && this.#removed.size === 0) {
      this.#isShared = true;
      version.known = this.#live;
      return this.#live;
    }
    const path: Version[] = [];
    let newest: Version = version;
    while (!newest.known && newest.next) {
      path.push(newest);
      newest = newest.next.version;
    }
    const members = new Set(newest.known ?? this.#headMembers());
    for (const { next } of path.reverse()) {
      for (const member of next?.added ?? []) members.delete(member);
      for (const member of next?.removed ?? []) members.add(member);
    }
    version.known = members;
    version.next = undefined;
    return members;
  }

  /** Of the newest value, while the working set is already ahead of it. */
  #headMembers(): Set<string> {
    const members = new Set(this.#live);
    for (const member of this.#added) members.delete(member);
    for (const member of this.#removed) members.add(member);
    return members;
  }
}

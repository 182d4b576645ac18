// The real kernel, which refuses what it is told to: objects of the packet filter, routes, settings, readings.
import {
  describeOperation,
  ERRNO,
  NetlinkError,
  NftError,
  type NftablesSocket,
  type NftOperation,
  type Route,
  type RouteSocket,
  type sysctlsOfNamespace,
  SystemError,
} from '#linux';

export interface KernelParts {
  readonly nftables: NftablesSocket;
  readonly routes: RouteSocket;
  readonly sysctls: ReturnType<typeof sysctlsOfNamespace>;
}

/** What is told about it goes by name: of a chain or set, of a route's destination, of a setting. */
export class RefusingKernel {
  readonly parts: KernelParts;
  readonly #refused = new Set<string>();
  readonly #unreadable = new Set<string>();
  readonly #hits = new Map<string, number>();
  #whole = false;
  #commits = 0;

  constructor({ nftables, routes, sysctls }: KernelParts) {
    this.parts = {
      nftables: instead(nftables, {
        commit: (operations) => this.#commit(nftables, operations),
        readTable: (name) => {
          this.#read('table');
          return nftables.readTable(name);
        },
      }),
      routes: instead(routes, {
        routes: (filter) => {
          this.#read('routes');
          return routes.routes(filter);
        },
        replaceRoute: (route) => {
          this.#route(route);
          routes.replaceRoute(route);
        },
        deleteRoute: (route) => {
          this.#route(route);
          return routes.deleteRoute(route);
        },
      }),
      sysctls: {
        read: (path) => sysctls.read(path),
        write: (path, value) => {
          if (this.#hit(path)) throw new SystemError(`write ${path}`, ERRNO.EIO);
          sysctls.write(path, value);
        },
      },
    };
  }

  refuse(name: string): void {
    this.#refused.add(name);
  }

  /** Each transaction, without saying for what. */
  refuseWhole(): void {
    this.#whole = true;
  }

  refuseReading(what: 'table' | 'routes'): void {
    this.#unreadable.add(what);
  }

  refuseNothing(): void {
    this.#refused.clear();
    this.#unreadable.clear();
    this.#whole = false;
  }

  /** Counts anew. */
  begin(): void {
    this.#hits.clear();
    this.#commits = 0;
  }

  get commits(): number {
    return this.#commits;
  }

  /** How often each was refused. */
  hits(): ReadonlyMap<string, number> {
    return this.#hits;
  }

  #hit(name: string): boolean {
    if (!this.#refused.has(name)) return false;
    this.#count(name);
    return true;
  }

  #count(name: string): void {
    this.#hits.set(name, (this.#hits.get(name) ?? 0) + 1);
  }

  #read(what: 'table' | 'routes'): void {
    if (!this.#unreadable.has(what)) return;
    this.#count(what);
    throw new NetlinkError(`read the ${what}`, ERRNO.ENOBUFS);
  }

  #route(route: Route): void {
    if (this.#hit(route.destination)) {
      throw new NetlinkError(`route ${route.destination}`, ERRNO.EINVAL);
    }
  }

  /** As the kernel: nothing of a transaction is done, and all that is wrong with it is told. */
  #commit(nftables: NftablesSocket, operations: readonly NftOperation[]): void {
    if (operations.length === 0) return;
    this.#commits++;
    if (this.#whole) {
      this.#count('transaction');
      throw new NftError('nftables refused a transaction: EPERM', 'EPERM', undefined);
    }
    const refused = operations.flatMap((operation, operationIndex) => {
      const name = nameOf(operation);
      if (name === undefined || !this.#refused.has(name)) return [];
      const message = `nftables refused ${describeOperation(operation)}: EPERM`;
      return [{ name, operationIndex, message }];
    });
    for (const name of new Set(refused.map((one) => one.name))) this.#count(name);
    const [first, ...others] = refused;
    if (first) throw new NftError(first.message, 'EPERM', first.operationIndex, { others });
    nftables.commit(operations);
  }
}

function nameOf(operation: NftOperation): string | undefined {
  if ('chain' in operation) return operation.chain;
  return 'set' in operation ? operation.set : undefined;
}

/** The same object, some of whose methods are others. */
function instead<T extends object>(object: T, methods: Partial<T>): T {
  return new Proxy(object, {
    get(target, name) {
      const own: unknown = Reflect.get(methods, name);
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

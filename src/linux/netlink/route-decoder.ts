// Routes of one dump after the other: a message that was there before is the same route, and is not read again.
import { type Route, parseRoute } from './route-message.ts';

interface Known {
  readonly route: Route | undefined;
  /** The interfaces that it names, by index. */
  readonly links: ReadonlyMap<number, string>;
}

/** Keeps what the last dumps had. A route that has not changed is the same object. */
export class RouteDecoder {
  readonly #nameOf: (index: number) => string | undefined;
  #known = new Map<string, Known>();
  #used = new Map<string, Known>();
  #names = new Map<number, string>();

  /** `nameOf`: an interface's name now. */
  constructor(nameOf: (index: number) => string | undefined) {
    this.#nameOf = nameOf;
  }

  /** The routes of these messages, all that there are now. */
  decode(bodies: readonly Uint8Array[]): Route[] {
    const routes = bodies.flatMap((body) => this.#routeOf(body) ?? []);
    this.#known = this.#used;
    this.#used = new Map();
    this.#names = new Map();
    return routes;
  }

  #routeOf(body: Uint8Array): Route | undefined {
    const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('latin1');
    const before = this.#known.get(text);
    const isSame = before && [...before.links].every(([index, name]) => this.#name(index) === name);
    const known = isSame ? before : this.#read(body);
    this.#used.set(text, known);
    return known.route;
  }

  #read(body: Uint8Array): Known {
    const links = new Map<number, string>();
    const route = parseRoute(body, (index) => {
      const name = this.#name(index);
      links.set(index, name);
      return name;
    });
    return { route, links };
  }

  /** Asked once a dump: the kernel gives an index, or a name, to another interface later. */
  #name(index: number): string {
    const known = this.#names.get(index);
    if (known !== undefined) return known;
    const name = this.#nameOf(index) ?? `#${index}`;
    this.#names.set(index, name);
    return name;
  }
}

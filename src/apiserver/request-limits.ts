// How much may go on at once: requests in flight, writes apart, and a token bucket for each user.
import { type Attributes, type Identity, MASTERS } from './auth/identity.ts';
import { isLongRunning } from './auth/request-attributes.ts';
import { RequestError } from './request-error.ts';

export interface RequestLimitsOptions {
  /** Reads under way at once. */
  readonly maxInFlight: number;
  /** Writes under way at once. */
  readonly maxMutatingInFlight: number;
  /** Requests a second that a user may make for long, and at once after a rest. */
  readonly userRate: number;
  readonly userBurst: number;
  /** Milliseconds; need not be of the day. */
  readonly now: () => number;
}

/** In flight as kube-apiserver's defaults. */
export const DEFAULT_LIMITS: Omit<RequestLimitsOptions, 'now'> = {
  maxInFlight: 400,
  maxMutatingInFlight: 200,
  userRate: 500,
  userBurst: 1000,
};

interface Bucket {
  readonly tokens: number;
  readonly at: number;
}

const MAX_BUCKETS = 10_000;
const READS = new Set(['get', 'list', 'watch', 'head', 'options']);

export class RequestLimits {
  readonly #options: RequestLimitsOptions;
  /** The least lately used first. */
  readonly #buckets = new Map<string, Bucket>();
  #reads = 0;
  #writes = 0;

  constructor(options: RequestLimitsOptions) {
    this.#options = options;
  }

  /** Throws a 429, or returns what is to be called once when the request has ended. */
  enter(identity: Identity, attributes: Attributes): () => void {
    // Whoever has to mend the cluster must get through; watches go on and cost little.
    if (identity.groups.includes(MASTERS)) return () => undefined;
    this.#take(identity.name);
    if (isLongRunning(attributes)) return () => undefined;
    const { maxInFlight, maxMutatingInFlight } = this.#options;
    const isRead = READS.has(attributes.verb);
    if (isRead ? this.#reads >= maxInFlight : this.#writes >= maxMutatingInFlight) {
      throw tooMany(1);
    }
    if (isRead) this.#reads++;
    else this.#writes++;
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      if (isRead) this.#reads--;
      else this.#writes--;
    };
  }

  #take(user: string): void {
    const { userRate, userBurst, now } = this.#options;
    const at = now();
    const known = this.#buckets.get(user) ?? { tokens: userBurst, at };
    const tokens = Math.min(userBurst, known.tokens + ((at - known.at) / 1000) * userRate);
    this.#buckets.delete(user);
    this.#buckets.set(user, { tokens: tokens < 1 ? tokens : tokens - 1, at });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MAX_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest);
    if (tokens < 1) throw tooMany(Math.max(1, Math.ceil((1 - tokens) / userRate)));
  }
}

function tooMany(retryAfterSeconds: number): RequestError {
  const message = 'Too many requests, please try again later.';
  return new RequestError(429, 'TooManyRequests', message, { retryAfterSeconds });
}

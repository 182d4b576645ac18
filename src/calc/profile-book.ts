// Profiles by name: of namespaces (kns.), of service accounts (ksa.), those written as resources, and a built-in one.
import type { Profile } from '#api';
import { jsonEqual } from '#lib';
import type { ProfileSource } from './model.ts';

/** Always there, for host endpoints (spec 02, 2.2: default with no policy). */
const DEFAULT_ALLOW: Profile = {
  apiVersion: 'projectcalico.org/v3',
  kind: 'Profile',
  metadata: { name: 'projectcalico-default-allow' },
  spec: { ingress: [{ action: 'Allow' }], egress: [{ action: 'Allow' }] },
};

interface Claims {
  derived: ProfileSource | undefined;
  written: ProfileSource | undefined;
}

/** Those of namespaces and accounts win over resources of their name: users do not own these names. */
export class ProfileBook {
  readonly #onChange: (name: string, source: ProfileSource | undefined) => void;
  readonly #claims = new Map<string, Claims>();
  readonly #current = new Map<string, ProfileSource>();
  readonly #names = new Map<string, string>();

  constructor(onChange: (name: string, source: ProfileSource | undefined) => void) {
    this.#onChange = onChange;
    this.#settle(DEFAULT_ALLOW.metadata.name);
  }

  setDerived(key: string, profile: Profile | undefined): void {
    this.#set('derived', key, profile);
  }

  setWritten(key: string, profile: Profile | undefined): void {
    this.#set('written', `profile ${key}`, profile);
  }

  #set(claim: keyof Claims, key: string, profile: Profile | undefined): void {
    const before = this.#names.get(key);
    const name = profile?.metadata.name;
    if (before !== undefined && before !== name) this.#claim(claim, before, undefined);
    if (profile) {
      this.#names.set(key, profile.metadata.name);
      this.#claim(claim, profile.metadata.name, sourceOf(profile));
    } else this.#names.delete(key);
  }

  #claim(claim: keyof Claims, name: string, source: ProfileSource | undefined): void {
    const claims = this.#claims.get(name) ?? { derived: undefined, written: undefined };
    claims[claim] = source;
    if (claims.derived || claims.written) this.#claims.set(name, claims);
    else this.#claims.delete(name);
    this.#settle(name);
  }

  #settle(name: string): void {
    const claims = this.#claims.get(name);
    const builtIn = name === DEFAULT_ALLOW.metadata.name ? sourceOf(DEFAULT_ALLOW) : undefined;
    const source = claims?.derived ?? claims?.written ?? builtIn;
    const before = this.#current.get(name);
    if (jsonEqual(before, source)) return;
    if (source) this.#current.set(name, source);
    else this.#current.delete(name);
    this.#onChange(name, source);
  }
}

function sourceOf({ spec }: Profile): ProfileSource {
  const { labelsToApply = {}, ingress = [], egress = [] } = spec;
  return { labels: labelsToApply, ingress, egress };
}

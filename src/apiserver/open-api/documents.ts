// The OpenAPI documents of the server: made when first asked for, kept as bytes, and named by their hash.
import { createHash } from 'node:crypto';
import type { KindDefinition } from '#api';
import { acceptedForm } from '../representation.ts';
import { GNOSTIC_V2, gnosticDocument } from './gnostic.ts';
import { version2Document } from './version-2.ts';
import { kindsByDocument, version3Document } from './version-3.ts';

export interface OpenApiAnswer {
  readonly type: string;
  readonly body: Uint8Array;
  /** Of the body, in quotes as in an ETag header. */
  readonly etag: string;
}

const INFO = { title: 'Tortie', version: 'v1' };
const JSON_TYPE = 'application/json';

export class OpenApiDocuments {
  readonly #kinds: readonly KindDefinition[];
  readonly #documents: ReadonlyMap<string, readonly KindDefinition[]>;
  readonly #made = new Map<string, OpenApiAnswer>();

  constructor(kinds: readonly KindDefinition[]) {
    this.#kinds = kinds;
    this.#documents = kindsByDocument(kinds);
  }

  /** `/openapi/v2`, in gnostic's protobuf where the Accept header names it, or in JSON; throws 406 for others. */
  version2(accept: string | undefined): OpenApiAnswer {
    const type = GNOSTIC_V2.find((one) => accept?.includes(one));
    const document = (): object => version2Document(this.#kinds, INFO);
    if (type !== undefined) return this.#kept(type, type, () => gnosticDocument(document()));
    acceptedForm(accept);
    return this.#kept('v2', JSON_TYPE, () => encoded(document()));
  }

  /** `/openapi/v3`: where the document of each group and version is. Clients keep it by its hash. */
  index(): OpenApiAnswer {
    return this.#kept('', JSON_TYPE, () => {
      const paths = [...this.#documents.keys()].map((path) => {
        const hash = this.version3(path)?.etag.replaceAll('"', '') ?? '';
        return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
      });
      return encoded({ paths: Object.fromEntries(paths) });
    });
  }

  /** `/openapi/v3/<path>` such as `api/v1`; undefined where there is none. */
  version3(path: string): OpenApiAnswer | undefined {
    const kinds = this.#documents.get(path);
    if (!kinds) return undefined;
    return this.#kept(`v3 ${path}`, JSON_TYPE, () => encoded(version3Document(kinds, INFO)));
  }

  #kept(name: string, type: string, make: () => Uint8Array): OpenApiAnswer {
    const known = this.#made.get(name);
    if (known) return known;
    const body = make();
    const etag = `"${createHash('sha256').update(body).digest('hex').toUpperCase()}"`;
    const answer = { type, body, etag };
    this.#made.set(name, answer);
    return answer;
  }
}

function encoded(document: object): Uint8Array {
  return Buffer.from(JSON.stringify(document));
}

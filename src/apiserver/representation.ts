// Which form of a resource the client asks for: the object, a table, or the metadata alone.
import { apiVersionOf, type KindDefinition, type Resource } from '#api';
import type { StoredValue } from '#datastore';
import { inVersion } from './kind-version.ts';
import type { ListMetadata } from './list-page.ts';
import { notAcceptable } from './request-error.ts';
import { resourceText, toResource } from './stored-resource.ts';
import { type IncludeObject, partialMetadata, tableOf } from './table.ts';

export type Form = 'object' | 'table' | 'metadata';

export interface Representation {
  readonly form: Form;
  readonly includeObject: IncludeObject;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** The first form of an Accept header that we have; throws 406 where there is none. */
export function acceptedForm(accept: string | undefined): Form {
  if (accept === undefined || accept.trim() === '') return 'object';
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    const as = parameters.find((parameter) => parameter.startsWith('as='))?.slice(3);
    if (!['application/json', 'application/*', '*/*'].includes(type)) continue;
    if (as === undefined) return 'object';
    if (!parameters.includes('g=meta.k8s.io') || !parameters.includes('v=v1')) continue;
    if (as === 'Table') return 'table';
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList') return 'metadata';
  }
  throw notAcceptable('application/json');
}

/** `includeObject` of the query; unknown values count as the default. */
export function includedObject(text: string | undefined): IncludeObject {
  return text === 'None' || text === 'Object' ? text : 'Metadata';
}

/** One resource as JSON text. */
export function resourceBody(
  kind: KindDefinition,
  resource: Resource,
  { form, includeObject, now }: Representation,
): string {
  const { resourceVersion = '' } = resource.metadata;
  if (form === 'table') {
    return JSON.stringify(tableOf(kind, [resource], { resourceVersion, includeObject, now }));
  }
  return JSON.stringify(
    form === 'metadata' ? partialMetadata(resource) : inVersion(kind, resource),
  );
}

/** A list as JSON text. */
export function listBody(
  kind: KindDefinition,
  { items, metadata }: { items: readonly StoredValue[]; metadata: ListMetadata },
  { form, includeObject, now }: Representation,
): string {
  if (form === 'object') {
    const head = { kind: `${kind.kind}List`, apiVersion: apiVersionOf(kind) };
    const texts = items.map(({ value, revision }) =>
      kind.storedAs
        ? JSON.stringify(inVersion(kind, toResource(value, revision)))
        : resourceText(value, revision),
    );
    const start = JSON.stringify({ ...head, metadata }).slice(0, -1);
    return `${start},"items":[${texts.join(',')}]}`;
  }
  const resources = items.map((item) => toResource(item.value, item.revision));
  if (form === 'table') {
    const { resourceVersion } = metadata;
    const table = tableOf(kind, resources, { resourceVersion, includeObject, now });
    return JSON.stringify({ ...table, metadata });
  }
  return JSON.stringify({
    kind: 'PartialObjectMetadataList',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    items: resources.map(partialMetadata),
  });
}

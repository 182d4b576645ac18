// The 403 of a request that nobody allowed, in Kubernetes' words: who, which verb, on what, where.
import { RequestError } from '../request-error.ts';
import { type Attributes, denialText, type Identity } from './identity.ts';

/** `more` says what else would have to be there. */
export function accessDenied(
  identity: Identity,
  attributes: Attributes,
  more?: string,
): RequestError {
  const text = denialText(identity, attributes) + (more === undefined ? '' : `: ${more}`);
  if ('path' in attributes) return new RequestError(403, 'Forbidden', `forbidden: ${text}`);
  const { group, resource, name } = attributes;
  const qualified = group === '' ? resource : `${resource}.${group}`;
  const subject = name === '' ? qualified : `${qualified} "${name}"`;
  const details = { ...(name === '' ? {} : { name }), group, kind: resource };
  return new RequestError(403, 'Forbidden', `${subject} is forbidden: ${text}`, details);
}

// The path of a group and version, which is also the name of its document.
import { apiVersionOf, type KindDefinition } from '#api';

/** `api/v1` or `apis/projectcalico.org/v3`. */
export function groupVersionPath(kind: KindDefinition): string {
  return `${kind.group === '' ? 'api' : 'apis'}/${apiVersionOf(kind)}`;
}

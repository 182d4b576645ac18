// The environment of a container: what its manifest says, and where its peers' addresses are.
import type { Container, Pod } from '#api';
import { isObject } from '#lib';
import type { LabNode } from './lab-state.ts';

/** Names the file with the addresses of the lab: see `writePeers`. */
export const PEERS_VARIABLE = 'TORTIE_LAB_PEERS';

export interface ContainerPlace {
  readonly pod: Pod;
  readonly node: LabNode;
  readonly addresses: readonly string[];
  readonly peersFile: string;
}

/** Variables by name; `valueFrom.fieldRef` is answered for the fields that a pod's programs ask for. */
export function containerEnvironment(
  container: Container,
  place: ContainerPlace,
): Record<string, string> {
  const environment: Record<string, string> = {
    HOSTNAME: place.pod.metadata.name,
    [PEERS_VARIABLE]: place.peersFile,
  };
  for (const variable of container.env ?? []) {
    const value = variable.value ?? fieldValue(variable, place);
    if (value !== undefined) environment[variable.name] = value;
  }
  return environment;
}

function fieldValue(variable: unknown, place: ContainerPlace): string | undefined {
  const source: unknown = isObject(variable) ? variable['valueFrom'] : undefined;
  const reference: unknown = isObject(source) ? source['fieldRef'] : undefined;
  if (!isObject(reference)) return undefined;
  switch (reference['fieldPath']) {
    case 'metadata.name':
      return place.pod.metadata.name;
    case 'metadata.namespace':
      return place.pod.metadata.namespace ?? 'default';
    case 'spec.nodeName':
      return place.node.name;
    case 'status.podIP':
      return place.addresses[0];
    case 'status.hostIP':
      return place.node.addresses[0];
    default:
      return undefined;
  }
}

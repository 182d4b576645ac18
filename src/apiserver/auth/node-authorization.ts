// What a node's agent may do: read what policy needs; write its own and its pods' annotations, blocks, its status.
import {
  agentStatusKind,
  blockAffinityKind,
  ipamBlockKind,
  ipamHandleKind,
  type KindDefinition,
  nodeKind,
  type PacketCapture,
  packetCaptureKind,
  podKind,
  type Resource,
} from '#api';
import { isObject, jsonEqual } from '#lib';
import { accessDenied } from './access-denied.ts';
import { type Attributes, attributesOf, type Identity } from './identity.ts';

/** Looks at a write's outcome before it is stored; throws a 403. */
export type WriteCheck = (next: Resource, current?: Resource) => void;

const READS = new Set(['get', 'list', 'watch']);
const READ_GROUPS = new Set([
  'discovery.k8s.io',
  'networking.k8s.io',
  'policy.networking.k8s.io',
  'projectcalico.org',
  'tortie.dev',
]);
/** A node borrows from and takes over blocks of others, so it may write them all. */
const ADDRESS_KINDS = [ipamBlockKind, blockAffinityKind, ipamHandleKind];
const ADDRESS_VERBS = new Set(['create', 'update', 'delete']);
/** On captures: say what one has of them, wait for requests for files, answer these. */
const CAPTURE_CALLS = new Set(['patch status', 'watch requests', 'create answers']);
/** Of the core group; nothing that holds secrets. */
const READ_CORE = new Set([
  'endpoints',
  'namespaces',
  'nodes',
  'pods',
  'serviceaccounts',
  'services',
]);

/** Whether a node may ask this at all; `nodeWriteCheck` looks at the outcome of its writes. */
export function nodeMay(attributes: Attributes): boolean {
  if ('path' in attributes) return false;
  const { verb, group, resource, subresource } = attributes;
  const is = (kind: KindDefinition): boolean => kind.group === group && kind.plural === resource;
  // What was captured on other nodes is none of this one's business.
  if (is(packetCaptureKind) && subresource !== '')
    return CAPTURE_CALLS.has(`${verb} ${subresource}`);
  if (READS.has(verb)) {
    return group === '' ? READ_CORE.has(resource) : READ_GROUPS.has(group);
  }
  if (ADDRESS_KINDS.some(is)) return ADDRESS_VERBS.has(verb);
  if (is(agentStatusKind)) return verb === 'create' || verb === 'update' || verb === 'patch';
  if (is(podKind)) return verb === 'patch' && (subresource === '' || subresource === 'status');
  if (is(nodeKind)) return verb === 'patch' && subresource === '';
  return verb === 'create' && group === 'flows.tortie.dev' && resource === 'flows';
}

/** What has to hold of a write that `nodeMay` allows; undefined: nothing more. */
export function nodeWriteCheck(
  identity: Identity,
  node: string,
  kind: KindDefinition,
  verb: string,
): WriteCheck | undefined {
  const refuse = (object: Resource, why: string): Error =>
    accessDenied(identity, attributesOf(kind, verb, object.metadata), why);
  if (kind === agentStatusKind) {
    return (next) => {
      if (next.metadata.name !== node)
        throw refuse(next, 'a node may write only that of its own name');
    };
  }
  if (kind === packetCaptureKind) {
    return (next, current) => {
      if (current && jsonEqual(withoutFilesOf(node, current), withoutFilesOf(node, next))) return;
      throw refuse(next, "a node may change only its own entry of a capture's status");
    };
  }
  if (kind === nodeKind) {
    return (next, current) => {
      if (next.metadata.name !== node) throw refuse(next, 'a node may change only its own Node');
      if (current && onlyAnnotationsDiffer(current, next)) return;
      throw refuse(next, 'a node may change only the annotations of its Node');
    };
  }
  if (kind === podKind) {
    return (next, current) => {
      const own = current && specNodeName(current) === node;
      if (!own) throw refuse(next, 'a node may change only pods on itself');
      if (onlyAnnotationsDiffer(current, next) || onlyUnsaysAddresses(current, next)) return;
      throw refuse(
        next,
        'a node may change only the annotations of a pod, and unsay its addresses',
      );
    };
  }
  return undefined;
}

function withoutFilesOf(node: string, capture: Resource): unknown {
  const { status, ...rest } = capture as PacketCapture;
  const files = (status?.files ?? []).filter((entry) => entry.node !== node);
  return {
    ...Object(withoutAnnotations({ ...rest })),
    annotations: rest.metadata.annotations,
    files,
  };
}

function specNodeName(pod: Resource): unknown {
  const { spec }: Resource & { spec?: unknown } = pod;
  return isObject(spec) ? spec['nodeName'] : undefined;
}

/** Those of an earlier life of the pod, of which CNI ADD must not make rules; new ones are the kubelet's to say. */
function onlyUnsaysAddresses(current: Resource, next: Resource): boolean {
  const { status, ...rest }: Resource & { status?: unknown } = current;
  if (!isObject(status)) return false;
  const { podIP: _, podIPs: __, ...left } = status;
  const allowed: Resource & { status: unknown } = { ...rest, status: left };
  return jsonEqual(withoutAnnotations(allowed), withoutAnnotations(next));
}

function onlyAnnotationsDiffer(current: Resource, next: Resource): boolean {
  return jsonEqual(withoutAnnotations(current), withoutAnnotations(next));
}

function withoutAnnotations(resource: Resource): unknown {
  const {
    annotations: _,
    resourceVersion: __,
    managedFields: ___,
    ...metadata
  } = resource.metadata;
  return { ...resource, metadata };
}

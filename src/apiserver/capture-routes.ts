// Files of packet captures (spec 12.3): who may read them gets a ZIP file, who may delete them has nodes do it.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type PacketCapture, packetCaptureKind } from '#api';
import { ZipWriter } from '#lib';
import type { Attributes, Identity, ResourceAttributes } from './auth/identity.ts';
import { nodeNameOf } from './auth/identity.ts';
import type { CaptureExchange, CaptureRequest } from './capture-exchange.ts';
import { forbidden, notFound, RequestError } from './request-error.ts';
import type { Resources } from './resources.ts';

const ROOT = '/packet-capture';
const NAME = '([a-z0-9][a-z0-9.-]*)';
const DOWNLOAD = new RegExp(`^${ROOT}/download/${NAME}/${NAME}/files\\.zip$`);
const STREAM = new RegExp(`^${ROOT}/stream/${NAME}/${NAME}$`);
const FILES = new RegExp(`^${ROOT}/files/${NAME}/${NAME}$`);
const REQUESTS = `${ROOT}/requests`;
const ANSWERS = new RegExp(`^${ROOT}/answers/([\\w-]+)$`);

type CaptureFilesCall = 'download' | 'stream' | 'remove';

/** What a path of this API asks for. */
export type CaptureCall =
  | { readonly call: CaptureFilesCall; readonly namespace: string; readonly name: string }
  | { readonly call: 'listen' }
  | { readonly call: 'answer'; readonly id: string };

/** Undefined for other paths. */
export function captureCall(method: string, path: string): CaptureCall | undefined {
  if (method === 'GET' && path === REQUESTS) return { call: 'listen' };
  const id = method === 'POST' ? ANSWERS.exec(path)?.[1] : undefined;
  if (id !== undefined) return { call: 'answer', id };
  const forms: readonly (readonly [string, RegExp, CaptureFilesCall])[] = [
    ['GET', DOWNLOAD, 'download'],
    ['GET', STREAM, 'stream'],
    ['DELETE', FILES, 'remove'],
  ];
  for (const [wanted, form, call] of forms) {
    const [, namespace, name] = (method === wanted && form.exec(path)) || [];
    if (namespace !== undefined && name !== undefined) return { call, namespace, name };
  }
  return undefined;
}

const VERBS = { download: 'get', stream: 'watch', remove: 'delete' } as const;

/** What authorisation is asked: `packetcaptures/files` for people, two others for agents. */
export function captureAttributes(call: CaptureCall): Attributes {
  const { group, version, plural: resource } = packetCaptureKind;
  const all: Omit<ResourceAttributes, 'verb' | 'subresource'> = {
    group,
    version,
    resource,
    namespace: '',
    name: '',
  };
  if (call.call === 'listen') return { ...all, verb: 'watch', subresource: 'requests' };
  if (call.call === 'answer') return { ...all, verb: 'create', subresource: 'answers' };
  const { namespace, name } = call;
  return { ...all, verb: VERBS[call.call], subresource: 'files', namespace, name };
}

/** The node that speaks; throws a 403 for everybody else. */
export function speakingNode(identity: Identity): string {
  const node = nodeNameOf(identity);
  if (node === undefined)
    throw forbidden(`only agents of nodes may use ${ROOT}/requests and answers`);
  return node;
}

/** Writes a ZIP file, with a folder for each node. A failure on the way ends the connection. */
export async function sendCaptureFiles(
  parts: { readonly resources: Resources; readonly exchange: CaptureExchange },
  wanted: { readonly namespace: string; readonly name: string },
  start: () => ServerResponse,
): Promise<void> {
  const nodes = await nodesOf(parts, wanted);
  const zip = new ZipWriter();
  const request: CaptureRequest = { action: 'read', ...wanted };
  let response: ServerResponse | undefined;
  const send = async (bytes: Uint8Array): Promise<void> => {
    if (!response) {
      response = start();
      response.writeHead(200, { 'content-type': 'application/zip' });
    }
    if (response.destroyed) throw new Error('the client has gone');
    if (!response.write(bytes))
      await Promise.race([once(response, 'drain'), once(response, 'close')]);
  };
  let open: string | undefined;
  for (const node of nodes) {
    for await (const { file, bytes } of parts.exchange.ask(node, request)) {
      const member = `${node}/${file}`;
      if (open !== undefined && open !== member) await send(zip.end());
      if (open !== member) await send(zip.begin(member));
      open = member;
      await send(zip.add(bytes));
    }
  }
  if (open === undefined) {
    const { namespace, name } = wanted;
    throw new RequestError(404, 'NotFound', `packet capture ${namespace}/${name} has no files yet`);
  }
  await send(zip.end());
  await send(zip.finish());
  (response as ServerResponse | undefined)?.end();
}

export async function removeCaptureFiles(
  parts: { readonly resources: Resources; readonly exchange: CaptureExchange },
  wanted: { readonly namespace: string; readonly name: string },
): Promise<void> {
  for (const node of await nodesOf(parts, wanted)) {
    for await (const piece of parts.exchange.ask(node, { action: 'remove', ...wanted })) {
      throw new RequestError(500, 'InternalError', `node ${node} sent ${piece.file} unasked`);
    }
  }
}

/** Nodes that say that they have files, or might; all of them must be there. */
async function nodesOf(
  { resources, exchange }: { readonly resources: Resources; readonly exchange: CaptureExchange },
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Promise<string[]> {
  const found = await resources.find({ kind: packetCaptureKind, namespace, name });
  if (!found) throw notFound(packetCaptureKind, name);
  const { status } = found as unknown as PacketCapture;
  const files = status?.files ?? [];
  const away = files.filter(
    ({ node, fileNames = [] }) => fileNames.length > 0 && !exchange.isListening(node),
  );
  if (away.length > 0) {
    const names = away.map(({ node }) => node).join(', ');
    const message = `cannot get the files: no agent is connected of ${names}; try again`;
    throw new RequestError(503, 'ServiceUnavailable', message);
  }
  return files.map(({ node }) => node).filter((node) => exchange.isListening(node));
}

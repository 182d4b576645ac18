// What of etcd's v3 API (package etcdserverpb, with mvccpb) is spoken here: messages and methods.
import { isObject } from '#lib';
import {
  bytes,
  type Fields,
  flag,
  identifier,
  integer,
  type Message,
  message,
  type MessageOf,
  nested,
  repeated,
  text,
} from '#lib/protobuf-message';

// Keys and values here are UTF-8 text, although the API has them as bytes.

const ResponseHeader = message({
  clusterId: identifier(1),
  /** Of the whole store, when the response was made. */
  revision: integer(3),
});

const KeyValue = message({
  key: text(1),
  createRevision: integer(2),
  modRevision: integer(3),
  value: text(5),
});
export type KeyValue = MessageOf<typeof KeyValue>;

export const RangeRequest = message({
  key: text(1),
  /** Exclusive; absent: the key alone. */
  rangeEnd: text(2),
  limit: integer(3),
  /** 0: now. */
  revision: integer(4),
  keysOnly: flag(8),
});

export const RangeResponse = message({
  header: nested(1, ResponseHeader),
  kvs: repeated(2, KeyValue),
  more: flag(3),
});

export const PutRequest = message({ key: text(1), value: text(2) });
export const PutResponse = message({ header: nested(1, ResponseHeader) });

const DeleteRangeRequest = message({ key: text(1), rangeEnd: text(2) });

/** One of the fields. */
const RequestOp = message({
  range: nested(1, RangeRequest),
  put: nested(2, PutRequest),
  deleteRange: nested(3, DeleteRangeRequest),
});

const ResponseOp = message({ range: nested(1, RangeResponse) });

/** `Compare.CompareResult`. */
export const COMPARE_EQUAL = 0;
export const COMPARE_GREATER = 1;
/** `Compare.CompareTarget`: the revision of the last change, 0 where there is no key. */
export const COMPARE_MOD_REVISION = 2;

const Compare = message({
  result: integer(1),
  target: integer(2),
  key: text(3),
  modRevision: integer(6),
});

export const TxnRequest = message({
  compare: repeated(1, Compare),
  success: repeated(2, RequestOp),
  failure: repeated(3, RequestOp),
});

export const TxnResponse = message({
  header: nested(1, ResponseHeader),
  succeeded: flag(2),
  responses: repeated(3, ResponseOp),
});

export const CompactionRequest = message({ revision: integer(1) });
export const CompactionResponse = message({ header: nested(1, ResponseHeader) });

const WatchCreateRequest = message({
  key: text(1),
  rangeEnd: text(2),
  startRevision: integer(3),
  /** Tells the revision now and then while there are no events. */
  progressNotify: flag(4),
  /** Splits what is over the limit of one message. */
  fragment: flag(8),
});

export const WatchRequest = message({ create: nested(1, WatchCreateRequest) });

/** `Event.EventType`. */
export const EVENT_DELETE = 1;

const WatchEvent = message({ type: integer(1), kv: nested(2, KeyValue) });
export type WatchEvent = MessageOf<typeof WatchEvent>;

export const WatchResponse = message({
  header: nested(1, ResponseHeader),
  created: flag(3),
  canceled: flag(4),
  /** Above 0: the watch was to begin before it, which is forgotten. */
  compactRevision: integer(5),
  cancelReason: text(6),
  fragment: flag(7),
  events: repeated(11, WatchEvent),
});
export type WatchResponse = MessageOf<typeof WatchResponse>;

export const AuthenticateRequest = message({ name: text(1), password: text(2) });
export const AuthenticateResponse = message({ token: text(2) });

export const SnapshotRequest = message({});
export const SnapshotResponse = message({ blob: bytes(3) });

export const StatusRequest = message({});
export const StatusResponse = message({
  header: nested(1, ResponseHeader),
  version: text(2),
});

/** A method of the API by its gRPC path. */
export interface Method<Request extends Fields, Response extends Fields> {
  readonly path: string;
  readonly request: Message<Request>;
  readonly response: Message<Response>;
}

function method<Request extends Fields, Response extends Fields>(
  path: string,
  request: Message<Request>,
  response: Message<Response>,
): Method<Request, Response> {
  return { path: `/etcdserverpb.${path}`, request, response };
}

export const range = method('KV/Range', RangeRequest, RangeResponse);
export const put = method('KV/Put', PutRequest, PutResponse);
export const txn = method('KV/Txn', TxnRequest, TxnResponse);
export const compact = method('KV/Compact', CompactionRequest, CompactionResponse);
export const watch = method('Watch/Watch', WatchRequest, WatchResponse);
export const authenticate = method('Auth/Authenticate', AuthenticateRequest, AuthenticateResponse);
export const status = method('Maintenance/Status', StatusRequest, StatusResponse);
export const snapshot = method('Maintenance/Snapshot', SnapshotRequest, SnapshotResponse);

/** Of the etcd that made the response; every response of the methods above has a header with it. */
export function clusterOf(response: object): string {
  const header = 'header' in response ? response.header : undefined;
  const clusterId = isObject(header) ? header['clusterId'] : undefined;
  return typeof clusterId === 'string' ? clusterId : '';
}

/** The end of the range of all keys with this prefix, whose last character is ASCII. */
export function prefixEnd(prefix: string): string {
  const last = prefix.charCodeAt(prefix.length - 1);
  return prefix.slice(0, -1) + String.fromCharCode(last + 1);
}

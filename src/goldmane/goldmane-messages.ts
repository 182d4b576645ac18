// Goldmane's API: its messages as tables, with upstream's field numbers (spec 12.1; package goldmane).
import {
  flag,
  integer,
  integers,
  message,
  type MessageOf,
  nested,
  repeated,
  text,
  texts,
} from '#lib/protobuf-message';

const StringMatch = message({ value: text(1), type: integer(2) });
export type StringMatch = MessageOf<typeof StringMatch>;
export const MATCH_FUZZY = 1;

const PolicyMatch = message({
  kind: integer(1),
  tier: text(2),
  namespace: text(3),
  name: text(4),
  action: integer(5),
});
export type PolicyMatch = MessageOf<typeof PolicyMatch>;

const Filter = message({
  sourceNames: repeated(1, StringMatch),
  sourceNamespaces: repeated(2, StringMatch),
  destNames: repeated(3, StringMatch),
  destNamespaces: repeated(4, StringMatch),
  protocols: repeated(5, StringMatch),
  destPorts: repeated(6, message({ port: integer(1) })),
  actions: integers(7),
  policies: repeated(8, PolicyMatch),
  reporter: integer(9),
  /** What the pending trace would have done. */
  pendingActions: integers(10),
});
export type Filter = MessageOf<typeof Filter>;

/** Times are seconds since the epoch; negative ones are relative to now. */
export const FlowListRequest = message({
  startTimeGte: integer(1),
  startTimeLt: integer(2),
  page: integer(3),
  pageSize: integer(4),
  sortBy: repeated(5, message({ sortBy: integer(1) })),
  filter: nested(6, Filter),
  /** Seconds, a multiple of 15. */
  aggregationInterval: integer(7),
});

export const FlowStreamRequest = message({
  startTimeGte: integer(1),
  filter: nested(2, Filter),
  aggregationInterval: integer(3),
});

export const FilterHintsRequest = message({
  type: integer(1),
  filter: nested(2, Filter),
  startTimeGte: integer(3),
  startTimeLt: integer(4),
  page: integer(5),
  pageSize: integer(6),
});

const ListMetadata = message({ totalPages: integer(1), totalResults: integer(2) });

const HIT = {
  kind: integer(1),
  namespace: text(2),
  name: text(3),
  tier: text(4),
  action: integer(5),
  policyIndex: integer(6),
  ruleIndex: integer(7),
};
/** `trigger` is of the end of a tier alone. */
const PolicyHit = message({ ...HIT, trigger: nested(8, message(HIT)) });
export type PolicyHitMessage = MessageOf<typeof PolicyHit>;

const FlowKey = message({
  sourceName: text(1),
  sourceNamespace: text(2),
  sourceType: integer(3),
  destName: text(4),
  destNamespace: text(5),
  destType: integer(6),
  destPort: integer(7),
  destServiceName: text(8),
  destServiceNamespace: text(9),
  destServicePortName: text(10),
  destServicePort: integer(11),
  proto: text(12),
  reporter: integer(13),
  action: integer(14),
  policies: nested(
    15,
    message({ enforced: repeated(1, PolicyHit), pending: repeated(2, PolicyHit) }),
  ),
});
export type FlowKeyMessage = MessageOf<typeof FlowKey>;

const Flow = message({
  key: nested(1, FlowKey),
  startTime: integer(2),
  endTime: integer(3),
  sourceLabels: texts(4),
  destLabels: texts(5),
  packetsIn: integer(6),
  packetsOut: integer(7),
  bytesIn: integer(8),
  bytesOut: integer(9),
  connectionsStarted: integer(10),
  connectionsCompleted: integer(11),
  connectionsLive: integer(12),
});
export type FlowMessage = MessageOf<typeof Flow>;

export const FlowResult = message({ id: integer(1), flow: nested(2, Flow) });
export type FlowResultMessage = MessageOf<typeof FlowResult>;
export const FlowListResult = message({
  meta: nested(1, ListMetadata),
  flows: repeated(2, FlowResult),
});
export const FilterHintsResult = message({
  meta: nested(1, ListMetadata),
  hints: repeated(2, message({ value: text(1) })),
});

export const FlowUpdate = message({ flow: nested(1, Flow) });
export const FlowReceipt = message({});

export const StatisticsRequest = message({
  startTimeGte: integer(1),
  startTimeLt: integer(2),
  type: integer(3),
  groupBy: integer(4),
  policyMatch: nested(5, PolicyMatch),
  timeSeries: flag(6),
});

export const StatisticsResult = message({
  policy: nested(1, PolicyHit),
  direction: integer(2),
  groupBy: integer(3),
  type: integer(4),
  allowedIn: integers(5),
  allowedOut: integers(6),
  deniedIn: integers(7),
  deniedOut: integers(8),
  passedIn: integers(9),
  passedOut: integers(10),
  x: integers(11),
});
export type StatisticsResultMessage = MessageOf<typeof StatisticsResult>;

export const ACTIONS = { allow: 1, deny: 2, pass: 3 } as const;
export const REPORTERS = { src: 1, dst: 2 } as const;
export const ENDPOINT_TYPES = { workload: 1, host: 2, 'network-set': 3, network: 4 } as const;
export const PROFILE = 9;
export const END_OF_TIER = 10;
export const POLICY_KINDS: Readonly<Record<string, number>> = {
  NetworkPolicy: 1,
  GlobalNetworkPolicy: 2,
  StagedNetworkPolicy: 3,
  StagedGlobalNetworkPolicy: 4,
  StagedKubernetesNetworkPolicy: 5,
  KubernetesNetworkPolicy: 6,
  Profile: PROFILE,
  ClusterNetworkPolicy: 11,
};

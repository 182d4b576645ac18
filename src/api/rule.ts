// Calico's policy rule: action, protocol and what source and destination must be (spec 02, 2.2).
import { type Static, Type } from 'typebox';

/** A port number, a range `a:b` as text, or the name of a port. */
export const Port = Type.Union([Type.Integer(), Type.String()]);
export type Port = Static<typeof Port>;

/** A protocol number or name (TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite). */
export const Protocol = Type.Union([Type.Integer(), Type.String()]);
export type Protocol = Static<typeof Protocol>;

export const Icmp = Type.Object({
  type: Type.Optional(Type.Integer()),
  code: Type.Optional(Type.Integer()),
});
export type Icmp = Static<typeof Icmp>;

export const EntityRule = Type.Object({
  nets: Type.Optional(Type.Array(Type.String())),
  notNets: Type.Optional(Type.Array(Type.String())),
  selector: Type.Optional(Type.String()),
  notSelector: Type.Optional(Type.String()),
  namespaceSelector: Type.Optional(Type.String()),
  ports: Type.Optional(Type.Array(Port)),
  notPorts: Type.Optional(Type.Array(Port)),
  serviceAccounts: Type.Optional(
    Type.Object({
      names: Type.Optional(Type.Array(Type.String())),
      selector: Type.Optional(Type.String()),
    }),
  ),
  services: Type.Optional(
    Type.Object({
      name: Type.Optional(Type.String()),
      namespace: Type.Optional(Type.String()),
    }),
  ),
});
export type EntityRule = Static<typeof EntityRule>;

export const HttpMatch = Type.Object({
  methods: Type.Optional(Type.Array(Type.String())),
  paths: Type.Optional(
    Type.Array(
      Type.Object({
        exact: Type.Optional(Type.String()),
        prefix: Type.Optional(Type.String()),
      }),
    ),
  ),
});

export const Rule = Type.Object({
  action: Type.Enum(['Allow', 'Deny', 'Log', 'Pass']),
  ipVersion: Type.Optional(Type.Integer()),
  protocol: Type.Optional(Protocol),
  notProtocol: Type.Optional(Protocol),
  icmp: Type.Optional(Icmp),
  notICMP: Type.Optional(Icmp),
  source: Type.Optional(EntityRule),
  destination: Type.Optional(EntityRule),
  http: Type.Optional(HttpMatch),
  metadata: Type.Optional(
    Type.Object({
      annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
    }),
  ),
});
export type Rule = Static<typeof Rule>;
export type Action = Rule['action'];

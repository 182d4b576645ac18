// Calico's policy rule: action, protocol and what source and destination must be (spec 02, 2.2).
import { type Static, Type } from 'typebox';

const SELECTOR_MAX = 1024;
const NETS_MAX = 256;
const PORTS_MAX = 50;
const HTTP_MAX = 20;

/** A selector of endpoints or network sets; `global()` has no place in it. */
export const SelectorText = Type.String({ format: 'selector', maxLength: SELECTOR_MAX });

/** A port number, a range `a:b` as text, or the name of a port. */
export const Port = Type.Union(
  [Type.Integer({ minimum: 1, maximum: 65535 }), Type.String({ format: 'port' })],
  { numberOrText: true },
);
export type Port = Static<typeof Port>;

export const PROTOCOL_NAMES = ['TCP', 'UDP', 'ICMP', 'ICMPv6', 'SCTP', 'UDPLite'];

/** A protocol number or name. */
export const Protocol = Type.Union(
  [Type.Integer({ minimum: 1, maximum: 255 }), Type.Enum(PROTOCOL_NAMES)],
  { numberOrText: true },
);
export type Protocol = Static<typeof Protocol>;

export const Icmp = Type.Object({
  type: Type.Optional(Type.Integer({ minimum: 0, maximum: 254 })),
  code: Type.Optional(Type.Integer({ minimum: 0, maximum: 255 })),
});
export type Icmp = Static<typeof Icmp>;

/** Host bits may be set; they count as clear. */
const Network = Type.String({ format: 'network' });

export const EntityRule = Type.Object({
  nets: Type.Optional(Type.Array(Network, { maxItems: NETS_MAX })),
  notNets: Type.Optional(Type.Array(Network, { maxItems: NETS_MAX })),
  selector: Type.Optional(SelectorText),
  notSelector: Type.Optional(SelectorText),
  /** The only place for `global()`, and only alone. */
  namespaceSelector: Type.Optional(
    Type.String({ format: 'entity-namespace-selector', maxLength: SELECTOR_MAX }),
  ),
  ports: Type.Optional(Type.Array(Port, { maxItems: PORTS_MAX })),
  notPorts: Type.Optional(Type.Array(Port, { maxItems: PORTS_MAX })),
  serviceAccounts: Type.Optional(
    Type.Object({
      names: Type.Optional(Type.Array(Type.String({ format: 'subdomain' }))),
      selector: Type.Optional(SelectorText),
    }),
  ),
  services: Type.Optional(
    Type.Object({
      name: Type.Optional(Type.String({ format: 'subdomain' })),
      namespace: Type.Optional(Type.String({ format: 'subdomain' })),
    }),
  ),
});
export type EntityRule = Static<typeof EntityRule>;

const HttpPathText = Type.String({ pattern: '^/[^ ?#]*$', maxLength: SELECTOR_MAX });

export const HttpMatch = Type.Object({
  methods: Type.Optional(Type.Array(Type.String(), { maxItems: HTTP_MAX, uniqueItems: true })),
  /** Each has either `exact` or `prefix`. */
  paths: Type.Optional(
    Type.Array(
      Type.Object({
        exact: Type.Optional(HttpPathText),
        prefix: Type.Optional(HttpPathText),
      }),
      { maxItems: HTTP_MAX },
    ),
  ),
});

export const Rule = Type.Object({
  action: Type.Enum(['Allow', 'Deny', 'Log', 'Pass']),
  ipVersion: Type.Optional(Type.Enum([4, 6])),
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

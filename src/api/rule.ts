// Calico's policy rule: action, protocol and what source and destination must be (spec 02, 2.2).
import { ENTITY_RULES, ICMP_RULES, RULE_RULES } from './policy-cel.ts';
import { type Static, Type } from 'typebox';

const SELECTOR_MAX = 1024;
const NETS_MAX = 256;
const PORTS_MAX = 50;
const HTTP_MAX = 20;
const SUBDOMAIN_MAX = 253;

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

export const Icmp = Type.Object(
  {
    type: Type.Optional(Type.Integer({ minimum: 0, maximum: 254 })),
    code: Type.Optional(Type.Integer({ minimum: 0, maximum: 255 })),
  },
  { crd: ICMP_RULES },
);
export type Icmp = Static<typeof Icmp>;

/** Host bits may be set; they count as clear. */
const Network = Type.String({ format: 'network' });

/** A list of networks in which each stands once. */
const Networks = Type.Array(Network, {
  maxItems: NETS_MAX,
  crd: { 'x-kubernetes-list-type': 'set' },
});

export const EntityRule = Type.Object(
  {
    nets: Type.Optional(Networks),
    notNets: Type.Optional(Networks),
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
        names: Type.Optional(
          Type.Array(Type.String({ format: 'subdomain' }), {
            crd: { 'x-kubernetes-list-type': 'set' },
          }),
        ),
        selector: Type.Optional(Type.String({ format: 'selector' })),
      }),
    ),
    services: Type.Optional(
      Type.Object({
        name: Type.Optional(Type.String({ format: 'subdomain', maxLength: SUBDOMAIN_MAX })),
        namespace: Type.Optional(Type.String({ format: 'subdomain', maxLength: SUBDOMAIN_MAX })),
      }),
    ),
  },
  { crd: ENTITY_RULES },
);
export type EntityRule = Static<typeof EntityRule>;

const HttpPathText = Type.String({ pattern: '^/[^ ?#]*$', maxLength: SELECTOR_MAX });

export const HttpMatch = Type.Object({
  methods: Type.Optional(
    Type.Array(Type.String(), {
      maxItems: HTTP_MAX,
      uniqueItems: true,
      crd: { 'x-kubernetes-list-type': 'atomic' },
    }),
  ),
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

export const Rule = Type.Object(
  {
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
  },
  { crd: RULE_RULES },
);
export type Rule = Static<typeof Rule>;
export type Action = Rule['action'];

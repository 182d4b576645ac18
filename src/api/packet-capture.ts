// PacketCapture: which packets of which pods are written to files of their nodes, and when (spec 12.3).
import { type Static, Type } from 'typebox';
import { type KindDefinition, ObjectMeta, type Problem, type Resource } from './kind.ts';
import { fault, memberPath, quoted } from './problem.ts';
import { Protocol, SelectorText } from './rule.ts';

/** A port, or a range `first:last` as text; names of ports have no place here. */
const CapturePort = Type.Union(
  [Type.Integer({ minimum: 1, maximum: 65535 }), Type.String({ format: 'port-range' })],
  { numberOrText: true },
);

const FILTERS_MAX = 8;
const PORTS_MAX = 50;

/** What has a port, by name and by number. */
const WITH_PORTS: ReadonlySet<string | number> = new Set(['TCP', 'UDP', 'SCTP', 6, 17, 132]);

export const CaptureFilter = Type.Object({
  protocol: Type.Optional(Protocol),
  /** Of either end. */
  ports: Type.Optional(Type.Array(CapturePort, { maxItems: PORTS_MAX })),
});
export type CaptureFilter = Static<typeof CaptureFilter>;

export const PacketCaptureSpec = Type.Object({
  /** Pods of the capture's namespace; all of them where absent. */
  selector: Type.Optional(SelectorText),
  /** A packet is kept that one of them wants; every packet where there are none. */
  filters: Type.Optional(Type.Array(CaptureFilter, { maxItems: FILTERS_MAX })),
  /** RFC 3339; at once where absent or past. */
  startTime: Type.Optional(Type.Union([Type.String(), Type.Null()], { crd: dateTime() })),
  /** RFC 3339; until the capture is deleted where absent. */
  endTime: Type.Optional(Type.Union([Type.String(), Type.Null()], { crd: dateTime() })),
});
export type PacketCaptureSpec = Static<typeof PacketCaptureSpec>;

export const CAPTURE_STATES = [
  'Capturing',
  'Finished',
  'WaitingForTraffic',
  'Scheduled',
  'Error',
] as const;
export type CaptureState = (typeof CAPTURE_STATES)[number];

export const CaptureFiles = Type.Object({
  node: Type.String(),
  directory: Type.Optional(Type.String()),
  fileNames: Type.Optional(Type.Array(Type.String())),
  state: Type.Optional(Type.Enum([...CAPTURE_STATES])),
  /** Packets that were written since the agent began with the capture. */
  packets: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Packets that were wanted and are in no file: they came faster than they were written, or the disk was full. */
  droppedPackets: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Why the state is Error. */
  message: Type.Optional(Type.String()),
});
export type CaptureFiles = Static<typeof CaptureFiles>;

export const PacketCaptureStatus = Type.Object({
  /** One for each node that has a selected pod, or files. */
  files: Type.Optional(Type.Array(CaptureFiles)),
});

export interface PacketCapture extends Resource {
  readonly kind: 'PacketCapture';
  readonly spec?: PacketCaptureSpec;
  readonly status?: Static<typeof PacketCaptureStatus>;
}

/**
 * An annotation, as Calico's kind has no field for it: with the value `deny` the capture has the packets that policy
 * denied, and no others.
 */
export const VERDICT_ANNOTATION = 'capture.tortie.dev/verdict';

export const packetCaptureKind: KindDefinition = {
  group: 'projectcalico.org',
  version: 'v3',
  kind: 'PacketCapture',
  plural: 'packetcaptures',
  singular: 'packetcapture',
  shortNames: [],
  namespaced: true,
  hasStatus: true,
  schema: Type.Object({
    metadata: ObjectMeta,
    spec: Type.Optional(PacketCaptureSpec),
    status: Type.Optional(PacketCaptureStatus),
  }),
  columns: [
    { name: 'Selector', type: 'string', path: '.spec.selector', priority: 0 },
    { name: 'State', type: 'string', path: '.status.files[*].state', priority: 0 },
    { name: 'Age', type: 'date', path: '.metadata.creationTimestamp', priority: 0 },
  ],
  check: (resource) => captureProblems(resource as PacketCapture),
};

/** Milliseconds since the epoch; undefined for text that is no RFC 3339 time. */
export function captureTime(text: string | null | undefined): number | undefined {
  if (typeof text !== 'string') return undefined;
  const form = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
  const time = form.test(text) ? Date.parse(text.toUpperCase()) : Number.NaN;
  return Number.isNaN(time) ? undefined : time;
}

function captureProblems({ metadata, spec = {} }: PacketCapture): Problem[] {
  const { filters = [], startTime, endTime } = spec;
  const problems = filters.flatMap((filter, index) => filterProblems(filter, index));
  for (const [name, text] of Object.entries({ startTime, endTime })) {
    if (typeof text !== 'string' || captureTime(text) !== undefined) continue;
    const message = `${quoted(text)} is no RFC 3339 time; write it like "2026-01-31T12:00:00Z"`;
    problems.push(fault(`spec.${name}`, message));
  }
  const [start, end] = [captureTime(startTime), captureTime(endTime)];
  if (start !== undefined && end !== undefined && end <= start) {
    problems.push(fault('spec.endTime', `${quoted(endTime)} is not after startTime`));
  }
  const verdict = metadata.annotations?.[VERDICT_ANNOTATION];
  if (verdict !== undefined && verdict !== 'deny') {
    const path = memberPath('metadata.annotations', VERDICT_ANNOTATION);
    problems.push(fault(path, `${quoted(verdict)} cannot be captured; only "deny" can`));
  }
  return problems;
}

function filterProblems({ protocol, ports = [] }: CaptureFilter, index: number): Problem[] {
  if (ports.length === 0 || protocol === undefined || WITH_PORTS.has(protocol)) return [];
  const path = `spec.filters[${index}].ports`;
  return [fault(path, `protocol ${quoted(protocol)} has no ports; leave them out`)];
}

function dateTime(): { format: string; nullable: boolean } {
  return { format: 'date-time', nullable: true };
}

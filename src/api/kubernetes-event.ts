// Events: what happened to an object, in both of Kubernetes' versions, of which one is stored.
import { Type } from 'typebox';
import { type Column, type KindDefinition, ObjectMeta } from './kind.ts';

const open = { additionalProperties: true } as const;
const text = Type.Optional(Type.String());
const time = Type.Optional(Type.Union([Type.String(), Type.Null()]));

const ObjectReference = Type.Object(
  {
    kind: text,
    namespace: text,
    name: text,
    uid: text,
    apiVersion: text,
    resourceVersion: text,
    fieldPath: text,
  },
  open,
);

const Source = Type.Object({ component: text, host: text }, open);
const Series = Type.Object({ count: Type.Optional(Type.Integer()), lastObservedTime: time }, open);
const count = Type.Optional(Type.Integer({ minimum: 0 }));

const shared = {
  metadata: ObjectMeta,
  action: text,
  eventTime: time,
  reason: text,
  related: Type.Optional(ObjectReference),
  reportingInstance: text,
  series: Type.Optional(Series),
  type: text,
};

const names = {
  kind: 'Event',
  version: 'v1',
  plural: 'events',
  singular: 'event',
  shortNames: ['ev'],
  namespaced: true,
  hasStatus: false,
} as const;

const column = (name: string, path: string, priority = 0): Column => ({
  name,
  type: 'string',
  path,
  priority,
});

/** core/v1 Event, the stored version. */
export const eventKind: KindDefinition = {
  ...names,
  group: '',
  schema: Type.Object({
    ...shared,
    involvedObject: ObjectReference,
    message: text,
    reportingComponent: text,
    source: Type.Optional(Source),
    firstTimestamp: time,
    lastTimestamp: time,
    count,
  }),
  columns: [
    { name: 'Last Seen', type: 'date', path: '.lastTimestamp', priority: 0 },
    column('Type', '.type'),
    column('Reason', '.reason'),
    column('Object', '.involvedObject.name'),
    column('Subobject', '.involvedObject.fieldPath', 1),
    column('Source', '.source.component', 1),
    column('Message', '.message'),
  ],
};

/** events.k8s.io/v1 Event: the same objects with other names for some fields. */
export const eventsEventKind: KindDefinition = {
  ...names,
  group: 'events.k8s.io',
  schema: Type.Object({
    ...shared,
    regarding: Type.Optional(ObjectReference),
    note: text,
    reportingController: text,
    deprecatedSource: Type.Optional(Source),
    deprecatedFirstTimestamp: time,
    deprecatedLastTimestamp: time,
    deprecatedCount: count,
  }),
  columns: [],
  storedAs: {
    kind: eventKind,
    fields: {
      regarding: 'involvedObject',
      note: 'message',
      reportingController: 'reportingComponent',
      deprecatedSource: 'source',
      deprecatedFirstTimestamp: 'firstTimestamp',
      deprecatedLastTimestamp: 'lastTimestamp',
      deprecatedCount: 'count',
    },
  },
};

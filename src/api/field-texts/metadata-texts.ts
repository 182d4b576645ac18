// Texts of what every object has: metadata, and the conditions of a status.
import type { FieldTexts } from './field-text.ts';

export const OBJECT_META_TEXTS: FieldTexts = {
  '': 'What every object has: its name and place, its labels, and what the server keeps of its life',
  name:
    'The name, which only one object of the kind has in its namespace, or in the cluster for kinds ' +
    'without one; it never changes',
  generateName:
    'Where there is no name: a beginning of one, to which the server adds five characters of its choice',
  namespace: 'The namespace of the object, for kinds that live in one; it never changes',
  uid:
    'Given by the server to each object that is created, so that a later one of the same name is ' +
    'told from it',
  resourceVersion:
    'Which version this is; it changes with each write. Sent with an update, it refuses to overwrite ' +
    'what others changed meanwhile',
  generation: 'Counts the changes of what is wanted, which the spec says; status does not count',
  creationTimestamp: 'When the object was created, by the clock of the server',
  deletionTimestamp:
    'Set when deletion was asked for and something must happen first: finalizers, or a grace period',
  deletionGracePeriodSeconds: 'How long an object that is being deleted may take to end',
  labels: 'Keys and values by which selectors find the object',
  annotations: 'Keys and values for people and tools; nothing is selected by them',
  finalizers: 'Who must do something before the object may go; each takes its own entry away',
  ownerReferences: {
    '': 'The objects that this one belongs to; when the last of them is gone, it is deleted',
    apiVersion: 'Group and version of the owner',
    kind: 'Its kind',
    name: 'Its name, in the same namespace or in the cluster',
    uid: 'Its uid: a later object of the same name is not the owner',
    controller: 'Whether it is the one that looks after this object',
    blockOwnerDeletion: 'Whether it waits for this object when it is deleted in the foreground',
  },
  managedFields: {
    '': 'Who wrote which fields, kept by the server for server-side apply',
    manager: 'Who wrote them',
    operation: 'Apply, or Update for all other writes',
    apiVersion: 'The version that they were written in',
    time: 'When they were last written',
    subresource: 'The part of the object that was written to, such as status',
    fieldsType: 'Is FieldsV1',
    fieldsV1: 'The fields, as a tree',
  },
  selfLink: 'Not set any more',
};

export const CONDITION_TEXTS: FieldTexts = {
  '': 'What is known of the object from different sides, one condition a type',
  type: 'What the condition is about; one of each type',
  status: 'Whether it holds',
  observedGeneration: 'The metadata.generation that the condition is of',
  lastTransitionTime: 'Since when the status is what it is',
  reason: 'One word for programs',
  message: 'The same for people, with more',
};

export const CONDITIONS_TEXTS: FieldTexts = {
  '': 'What became of the object, written by the server and not by users',
  conditions: CONDITION_TEXTS,
};

// The texts of every kind: what OpenAPI and the CRDs say of its fields.
import type { KindDefinition } from '../kind.ts';
import { ADDRESS_TEXTS } from './address-texts.ts';
import { BGP_TEXTS } from './bgp-texts.ts';
import { CLUSTER_TEXTS } from './cluster-texts.ts';
import { CORE_TEXTS } from './core-texts.ts';
import type { FieldTexts } from './field-text.ts';
import { FELIX_TEXTS } from './felix-texts.ts';
import { KUBERNETES_POLICY_TEXTS } from './kubernetes-policy-texts.ts';
import { CONDITIONS_TEXTS, OBJECT_META_TEXTS } from './metadata-texts.ts';
import { POLICY_TEXTS } from './policy-texts.ts';

const OWN: Readonly<Record<string, FieldTexts>> = {
  ...POLICY_TEXTS,
  ...ADDRESS_TEXTS,
  ...BGP_TEXTS,
  ...CLUSTER_TEXTS,
  FelixConfiguration: FELIX_TEXTS,
};

const KUBERNETES: Readonly<Record<string, FieldTexts>> = {
  ...CORE_TEXTS,
  ...KUBERNETES_POLICY_TEXTS,
};

/** What the kind and each of its fields is for; texts of fields that the kind does not have say nothing. */
export function fieldTexts({ group, kind, hasStatus }: KindDefinition): FieldTexts {
  // NetworkPolicy and Node are kinds of both.
  const isKubernetes = group === '' || group.endsWith('.k8s.io');
  const texts = (isKubernetes ? KUBERNETES : OWN)[kind];
  const status = hasStatus ? { status: CONDITIONS_TEXTS } : {};
  return { metadata: OBJECT_META_TEXTS, ...status, ...texts };
}

// Live migrations read from resources.
import type { LiveMigration, LiveMigrationSpec } from '#api';
import { parseSelector, type Selector, SelectorError } from '#selector';
import type { MigrationSource, WorkloadReference } from './model.ts';

type Named = NonNullable<NonNullable<LiveMigrationSpec['target']>['workloadEndpoint']>;

const KUBERNETES = 'k8s';

/** A selector that cannot be read selects nothing: validation refuses it. */
export function decodeMigration({ spec }: LiveMigration): MigrationSource {
  const source = spec.source?.workload ?? spec.source?.workloadEndpoint;
  const target = spec.target?.workloadEndpoint;
  const targetSelector = selectorOf(spec.target?.selector);
  return {
    ...(source && { source: referenceOf(source) }),
    ...(target && { target: referenceOf(target) }),
    ...(targetSelector && { targetSelector }),
  };
}

/** Pods have one endpoint, and IDs that no other node's pod has. */
function referenceOf(named: Omit<Named, 'endpointID'> & Partial<Named>): WorkloadReference {
  const { hostname: node, orchestratorID, workloadID, endpointID } = named;
  if (orchestratorID === KUBERNETES) return { id: workloadID };
  const parts = [orchestratorID, workloadID, ...(endpointID === undefined ? [] : [endpointID])];
  return { id: parts.join('/'), ...(node !== undefined && { node }) };
}

function selectorOf(text: string | undefined): Selector | undefined {
  if (!text) return undefined;
  try {
    return parseSelector(text);
  } catch (error) {
    if (error instanceof SelectorError) return undefined;
    throw error;
  }
}

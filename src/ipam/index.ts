// The door of ipam: addresses for pods, by compare-and-swap on blocks that nodes own.
export { AddressReleaser } from './address-releaser.ts';
export { type AddressCount, type AddressCounts, readAddressCounts } from './address-counts.ts';
export { affinityOwner, type AffinityOwner, handleName } from './affinity.ts';
export {
  type Allocation,
  allocationsIn,
  blockName,
  blockPrefix,
  entriesOf,
  type Entry,
  handleCounts,
  type Owner,
} from './block.ts';
export { type BlockAllocatorOptions, BlockAllocator, IpamError } from './block-allocator.ts';
export { changeSettings, readSettings, type SettingsChange } from './cluster-settings.ts';
export type { ClusterState, Finding, FindingKind } from './collection.ts';
export { type Checked, Collector, type CollectorOptions } from './collector.ts';
export { Inventory, INVENTORY_KINDS, type IpamClient } from './inventory.ts';
export type { CollectorClient, Mended } from './mend.ts';
export type { Use } from './owners.ts';
export type { AddressRelease, AssignRequest } from './plan.ts';
export { type NamedPools, type PoolSelects, type PoolUse, splitPrefix } from './pools.ts';
export { type ClusterReading, readCluster } from './read-cluster.ts';
export {
  type CheckReport,
  commonLeaks,
  parseReport,
  type ReportedHandle,
  reportOf,
} from './report.ts';
export { poolConditions, writePoolConditions } from './pool-status.ts';
export {
  reconcileTunnels,
  tunnelHandle,
  type TunnelInputs,
  type TunnelOutcome,
} from './tunnel-addresses.ts';
export { type PoolUtilization, type Utilization, utilizationOf } from './utilization.ts';

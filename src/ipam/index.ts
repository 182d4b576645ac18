// The door of ipam: addresses for pods, by compare-and-swap on blocks that nodes own.
export { type Allocation, allocationsIn, blockName, blockPrefix, type Owner } from './block.ts';
export { type BlockAllocatorOptions, BlockAllocator, IpamError } from './block-allocator.ts';
export { Inventory, INVENTORY_KINDS, type IpamClient } from './inventory.ts';
export type { AddressRelease, AssignRequest } from './plan.ts';
export type { NamedPools, PoolSelects, PoolUse } from './pools.ts';

// The door of ipam: addresses for pods, by compare-and-swap on blocks that nodes own.
export { type Allocation, allocationsIn, blockName, blockPrefix } from './block.ts';
export {
  type BlockAllocatorOptions,
  type BlockClient,
  BlockAllocator,
  IpamError,
} from './block-allocator.ts';
export type { AssignRequest } from './plan.ts';
export type { NamedPools, PoolSelects } from './pools.ts';

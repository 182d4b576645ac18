// Frees addresses for somebody who is no node: owns no blocks, claims none.
import { BlockAllocator } from './block-allocator.ts';
import type { IpamClient } from './inventory.ts';
import type { AddressRelease } from './plan.ts';

export class AddressReleaser {
  readonly #allocator: BlockAllocator;

  constructor(client: IpamClient) {
    const owner = { type: 'virtual', name: 'nobody' } as const;
    this.#allocator = new BlockAllocator({ client, nodeName: '', owner });
  }

  /**
   * All or none of the items; calls that come together share their writes. The addresses freed or
   * resting already, without those that nobody held. Throws `IpamError` where a handle or a sequence
   * number is not that of the allocation.
   */
  release(items: readonly AddressRelease[]): Promise<string[]> {
    return this.#allocator.releaseAddresses(items);
  }
}

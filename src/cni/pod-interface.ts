// What a pod's interface is, and what the attachment logic needs of those who make it.
import type { Family } from '#lib';

/** Where an interface is: one end in the node's namespace, the other in the pod's. */
export interface InterfacePlace {
  /** `cali` and 11 hex digits. */
  readonly hostName: string;
  /** CNI_NETNS: path of the pod's namespace; may be empty where one is removed. */
  readonly netns: string;
  /** CNI_IFNAME: the name inside the pod. */
  readonly ifname: string;
}

export interface PodInterface extends InterfacePlace {
  /** Host prefixes: `10.65.0.1/32`, `fd00::1/128`. */
  readonly addresses: readonly string[];
  /** The pod's end; random where absent. */
  readonly mac?: string | undefined;
}

export interface AttachedInterface {
  readonly mac: string;
  readonly mtu: number;
}

export interface EnsuredInterface extends AttachedInterface {
  /** It was there before, right or wrong. */
  readonly stood: boolean;
}

/** What became of an interface; `kept`: it leads elsewhere. */
export type Removal = 'absent' | 'kept' | 'removed';

/** What the attachment logic needs of the kernel. All reject with CniError. */
export interface InterfaceDriver {
  /** Keeps an interface that is right; else makes it, in place of one of that name, all or nothing. */
  ensure(desired: PodInterface): Promise<EnsuredInterface>;
  /** Each way in which the kernel is not as desired, in words; empty: all is well. */
  differences(desired: PodInterface): Promise<string[]>;
  /**
   * Removes both ends, if the host's end leads to this interface of this namespace, or `isOwn` says that it is to go
   * wherever it leads.
   */
  remove(place: InterfacePlace, isOwn: boolean): Promise<Removal>;
}

/** MAC address of every host end; the pods' next hop is a fixed neighbour with it. */
export const HOST_MAC = 'ee:ee:ee:ee:ee:ee';

/** The pods' next hop: nobody's address in IPv4; in IPv6 the link-local one that HOST_MAC makes. */
export const NEXT_HOP: Readonly<Record<Family, string>> = {
  4: '169.254.1.1',
  6: 'fe80::ecee:eeff:feee:eeee',
};

export const DEFAULT_ROUTE: Readonly<Record<Family, string>> = { 4: '0.0.0.0/0', 6: '::/0' };

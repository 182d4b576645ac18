// What a VXLAN device is: the IFLA_VXLAN_* attributes of linux/if_link.h.
import { addressText } from '../address-text.ts';
import type { AttributeMap } from './attribute.ts';

/** What of a VXLAN device cannot be changed while it is there. */
export interface VxlanSettings {
  readonly vni: number;
  readonly port: number;
  readonly local?: string;
  /** Index of the parent. */
  readonly parent?: number;
  /** Whether it learns from what it receives where peers are. */
  readonly learning: boolean;
}

/** Attribute numbers. */
export const VXLAN = { ID: 1, LINK: 3, LOCAL: 4, LEARNING: 7, PORT: 15, LOCAL6: 17 } as const;

/** Reads the settings out of the data of a link of kind `vxlan`. */
export function parseVxlan(data: AttributeMap): VxlanSettings {
  const local = addressText(4, data.bytes(VXLAN.LOCAL)) ?? addressText(6, data.bytes(VXLAN.LOCAL6));
  const parent = data.u32(VXLAN.LINK);
  return {
    vni: data.u32(VXLAN.ID) ?? 0,
    port: data.be16(VXLAN.PORT) ?? 0,
    ...(local === undefined ? {} : { local }),
    ...(parent === undefined ? {} : { parent }),
    learning: data.bytes(VXLAN.LEARNING)?.[0] === 1,
  };
}

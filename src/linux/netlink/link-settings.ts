// Settings of interfaces that sysctls hold too, as messages: the kernel waits for its lock instead of trying again.
import type { Family } from '#lib';
import { familyNumber } from './address-message.ts';
import { AttributeWriter } from './attribute.ts';

/** Of one interface; what is absent stays as it is. */
export interface LinkSettings {
  /** By index of `net/ipv4/conf/<interface>` (linux/ip.h). */
  readonly ipv4?: Readonly<Partial<Record<keyof typeof IPV4_SETTING, number>>>;
  /** `net/ipv6/conf/<interface>/addr_gen_mode`; must be set before the interface is up. */
  readonly addressGeneration?: keyof typeof ADDRESS_GENERATION;
}

/** IPV4_DEVCONF_*. */
const IPV4_SETTING = { forwarding: 1, proxy_arp: 3, rp_filter: 8 } as const;
/** IN6_ADDR_GEN_MODE_*. */
const ADDRESS_GENERATION = { eui64: 0, none: 1, 'stable-privacy': 2, random: 3 } as const;

const AF_INET = 2;
const AF_INET6 = 10;
const IFLA_AF_SPEC = 26;
const IFLA_INET_CONF = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;

/** Adds the settings to the body of a message that sets a link. */
export function writeLinkSettings(
  writer: AttributeWriter,
  settings: LinkSettings,
): AttributeWriter {
  const { ipv4, addressGeneration } = settings;
  return writer.nested(IFLA_AF_SPEC, (families) => {
    if (ipv4) {
      families.nested(AF_INET, (inet) => {
        inet.nested(IFLA_INET_CONF, (conf) => {
          for (const name of ['forwarding', 'proxy_arp', 'rp_filter'] as const) {
            const value = ipv4[name];
            if (value !== undefined) conf.u32(IPV4_SETTING[name], value);
          }
        });
      });
    }
    if (addressGeneration) {
      const mode = ADDRESS_GENERATION[addressGeneration];
      families.nested(AF_INET6, (inet6) => inet6.u8(IFLA_INET6_ADDR_GEN_MODE, mode));
    }
  });
}

/** RTM_SETNEIGHTBL. */
export const SET_NEIGHBOUR_TABLE = 67;
const NDTA_NAME = 1;
const NDTA_PARMS = 6;
const NDTPA_IFINDEX = 1;
const NDTPA_PROXY_DELAY = 13;
const TABLE: Readonly<Record<Family, string>> = { 4: 'arp_cache', 6: 'ndisc_cache' };

/** Body that sets how long the interface waits before it answers for others (struct ndtmsg). */
export function proxyDelayBody(family: Family, index: number, ms: number): Uint8Array {
  return new AttributeWriter(Uint8Array.of(familyNumber(family), 0, 0, 0))
    .string(NDTA_NAME, TABLE[family])
    .nested(NDTA_PARMS, (parameters) => {
      parameters.u32(NDTPA_IFINDEX, index).u64(NDTPA_PROXY_DELAY, BigInt(ms));
    })
    .finish();
}

// What a pod's network should be: its annotations, its namespace's, and the network configuration (spec 05 and 06).
import { type Family, FAMILIES, formatAddress, isObject, parseAddress } from '#lib';
import type { AssignRequest, NamedPools } from '#ipam';
import { CniError } from './cni-error.ts';
import { CNI_CODE, type CniRequest } from './protocol.ts';

const PREFIX = 'cni.projectcalico.org';
const POOLS: Readonly<Record<Family, string>> = {
  4: `${PREFIX}/ipv4pools`,
  6: `${PREFIX}/ipv6pools`,
};
/** Wishes that would be broken silently if they were not refused. */
const UNSUPPORTED = [`${PREFIX}/networks`];
const MAX_LIST = 100;

export interface Wishes extends Pick<AssignRequest, 'families' | 'pools' | 'addresses'> {
  readonly mac: string | undefined;
  /** Addresses to use without asking anybody; then nothing is allocated. */
  readonly withoutIpam?: readonly string[] | undefined;
}

type Texts = Readonly<Record<string, string>>;

/**
 * Pools: the pod's annotation, else the namespace's, else the configuration's. What cannot be read
 * or obeyed is a CniError.
 */
export function wishesOf(
  annotations: Texts,
  inherited: Texts,
  request: Pick<CniRequest, 'ipam' | 'features'>,
): Wishes {
  const refused = UNSUPPORTED.filter((key) => annotations[key] !== undefined);
  if (refused.length > 0) {
    throw unsupported(`annotation ${refused.join(', ')} is not supported; remove it from the pod`);
  }
  const addresses = addressesIn(annotations, `${PREFIX}/ipAddrs`);
  const withoutIpam = addressesIn(annotations, `${PREFIX}/ipAddrsNoIpam`);
  if (addresses && withoutIpam) {
    throw unsupported(`annotation ${PREFIX}/ipAddrs excludes ${PREFIX}/ipAddrsNoIpam; use one`);
  }
  if (withoutIpam && !isEnabled(request.features, 'ip_addrs_no_ipam')) {
    const text = `annotation ${PREFIX}/ipAddrsNoIpam needs feature_control.ip_addrs_no_ipam`;
    throw unsupported(`${text} in the network configuration; set it to true`);
  }
  const pools = poolsOf(annotations, inherited, request.ipam);
  const families = familiesOf(annotations, request.ipam);
  return {
    ...(families ? { families } : {}),
    ...(pools ? { pools } : {}),
    ...(addresses ? { addresses } : {}),
    ...(withoutIpam ? { withoutIpam } : {}),
    mac: annotations[`${PREFIX}/hwAddr`],
  };
}

function poolsOf(annotations: Texts, inherited: Texts, ipam: unknown): NamedPools | undefined {
  const [v4, v6] = FAMILIES.map(
    (family) =>
      listIn(annotations, POOLS[family]) ??
      listIn(inherited, POOLS[family]) ??
      configuredPools(ipam, family),
  );
  return v4 || v6 ? { ...(v4 ? { 4: v4 } : {}), ...(v6 ? { 6: v6 } : {}) } : undefined;
}

function configuredPools(ipam: unknown, family: Family): readonly string[] | undefined {
  const key = `ipv${family}_pools`;
  const value = isObject(ipam) ? ipam[key] : undefined;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined;
  if (isTexts(value)) return value;
  throw invalid(`ipam.${key}: ${JSON.stringify(value)} is not a list of pools`);
}

/** Absent: whatever families the pools have. */
function familiesOf(annotations: Texts, ipam: unknown): readonly Family[] | undefined {
  const configured = configuredFamilies(ipam);
  const wanted = listIn(annotations, `${PREFIX}/ipFamilies`)?.map(familyNamed);
  if (!wanted || !configured) return wanted ?? configured;
  const narrowed = configured.filter((family) => wanted.includes(family));
  if (narrowed.length > 0) return narrowed;
  const names = configured.map((family) => `IPv${family}`).join(', ');
  throw unsupported(`annotation ${PREFIX}/ipFamilies leaves none of the network's ${names}`);
}

/** `assign_ipv4` is "true" and `assign_ipv6` "false" where only the other is set (spec 06). */
function configuredFamilies(ipam: unknown): readonly Family[] | undefined {
  if (!isObject(ipam)) return undefined;
  const { assign_ipv4: v4, assign_ipv6: v6 } = ipam;
  if (v4 === undefined && v6 === undefined) return undefined;
  const isWanted = {
    4: truthOf('assign_ipv4', v4 ?? true),
    6: truthOf('assign_ipv6', v6 ?? false),
  };
  const families = FAMILIES.filter((family) => isWanted[family]);
  if (families.length > 0) return families;
  throw invalid('ipam: assign_ipv4 and assign_ipv6 are both false; set one of them to "true"');
}

function truthOf(key: string, value: unknown): boolean {
  if (value === true || value === 'true') return true;
  if (value === false || value === 'false') return false;
  throw invalid(`ipam.${key}: ${JSON.stringify(value)} is not "true" or "false"`);
}

function isEnabled(features: unknown, name: string): boolean {
  return isObject(features) && features[name] === true;
}

/** At most one of each family, IPv4 first. */
function addressesIn(annotations: Texts, key: string): readonly string[] | undefined {
  const texts = listIn(annotations, key);
  if (!texts) return undefined;
  const parsed = texts.map((text) => {
    const address = parseAddress(text);
    if (address) return address;
    throw unsupported(`annotation ${key}: ${JSON.stringify(text)} is no address`);
  });
  const ordered = parsed.toSorted((a, b) => a.family - b.family);
  if (ordered.some(({ family }, index) => ordered[index + 1]?.family === family)) {
    throw unsupported(`annotation ${key} has more than one address of a family; name one`);
  }
  return ordered.map(formatAddress);
}

function listIn(annotations: Texts, key: string): readonly string[] | undefined {
  const text = annotations[key];
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (isTexts(value)) return value;
  } catch {
    // Falls through to the one message for both.
  }
  throw unsupported(`annotation ${key}: ${JSON.stringify(text)} is not a JSON list of strings`);
}

function isTexts(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= MAX_LIST &&
    value.every((item) => typeof item === 'string')
  );
}

function familyNamed(name: string): Family {
  if (name === 'IPv4') return 4;
  if (name === 'IPv6') return 6;
  throw unsupported(`annotation ${PREFIX}/ipFamilies: "${name}" is not "IPv4" or "IPv6"`);
}

function unsupported(text: string): CniError {
  return new CniError(CNI_CODE.unsupportedField, text);
}

function invalid(text: string): CniError {
  return new CniError(CNI_CODE.invalidConfig, text);
}

/** As Go prints a time, which is what upstream keeps: `2026-01-02 03:04:05.6 +0000 UTC`. */
export function timestampText(time: Date): string {
  const [date = '', clock = ''] = time.toISOString().slice(0, -1).split('T');
  return `${date} ${clock.replace(/\.?0+$/, '')} +0000 UTC`;
}

// The door of lib: general things that know neither Calico nor Linux.
export {
  type Address,
  type Family,
  type Prefix,
  FAMILIES,
  addressBytes,
  addressFromBytes,
  familyBits,
  formatAddress,
  formatPrefix,
  hostPrefix,
  maskPrefix,
  parseAddress,
  parsePrefix,
  prefixContains,
} from './address.ts';
export { compareCodePoints } from './code-points.ts';
export { DeltaTracker } from './delta-tracker.ts';
export { type Json, isObject, jsonEqual } from './json.ts';
export { emptyPcapngBlock, measurePcapng, PcapngMerge } from './pcapng-merge.ts';
export {
  type Difference,
  PersistentMap,
  PersistentSet,
  differences,
  setDifference,
} from './persistent-map.ts';
export { base64Url, sha1Hex, sha224 } from './secure-hash.ts';
export { closestName } from './suggestion.ts';
export { readZip, type ZipMember, ZipWriter } from './zip-file.ts';

// What the CRD of pools refuses: clashing modes and uses, blocks that do not fit, changes of the prefix.
import { forbiddenUnless, invalidUnless, withRules } from './cel.ts';

export const CIDR_RULES = withRules(
  invalidUnless(
    'self == oldSelf',
    'CIDR cannot be changed; follow IP pool migration guide to avoid corruption.',
  ),
);

export const BLOCK_SIZE_RULES = withRules(
  invalidUnless(
    'self == oldSelf',
    'Block size cannot be changed; follow IP pool migration guide to avoid corruption.',
  ),
);

export const POOL_RULES = withRules(
  forbiddenUnless(
    "!has(self.ipipMode) || !has(self.vxlanMode) || self.ipipMode == 'Never' || " +
      "self.vxlanMode == 'Never' || size(self.ipipMode) == 0 || " +
      'size(self.vxlanMode) == 0',
    'ipipMode and vxlanMode cannot both be enabled',
  ),
  forbiddenUnless(
    "!has(self.allowedUses) || !self.allowedUses.exists(u, u == 'LoadBalancer') || " +
      '(!has(self.ipipMode) || size(self.ipipMode) == 0 || ' +
      "self.ipipMode == 'Never') && (!has(self.vxlanMode) || " +
      "size(self.vxlanMode) == 0 || self.vxlanMode == 'Never')",
    'LoadBalancer IP pool cannot have IPIP or VXLAN enabled',
  ),
  forbiddenUnless(
    "!has(self.allowedUses) || !self.allowedUses.exists(u, u == 'LoadBalancer') || " +
      "!self.allowedUses.exists(u, u == 'Workload' || u == 'Tunnel')",
    'LoadBalancer cannot be combined with Workload or Tunnel allowed uses',
  ),
  forbiddenUnless(
    'cidr(self.cidr).ip().family() != 6 || !has(self.ipipMode) || ' +
      "self.ipipMode == 'Never' || size(self.ipipMode) == 0",
    'IPIP is not supported on IPv6 pools',
  ),
  forbiddenUnless(
    "!has(self.allowedUses) || !self.allowedUses.exists(u, u == 'LoadBalancer') || " +
      '!has(self.disableBGPExport) || !self.disableBGPExport',
    'LoadBalancer IP pools cannot disable BGP export',
  ),
  invalidUnless(
    "!has(self.allowedUses) || !self.allowedUses.exists(u, u == 'LoadBalancer') || " +
      "self.nodeSelector == 'all()'",
    'IP Pool with AllowedUse LoadBalancer must have nodeSelector set to all()',
  ),
  forbiddenUnless(
    "!has(self.allowedUses) || !self.allowedUses.exists(u, u == 'Tunnel') || " +
      '!has(self.namespaceSelector) || size(self.namespaceSelector) == 0',
    'IP Pool with AllowedUse Tunnel cannot have namespaceSelector',
  ),
  invalidUnless(
    "!has(self.nodeSelector) || !self.nodeSelector.contains('global(')",
    'global() selector is not valid for IPPool nodeSelector',
  ),
  invalidUnless(
    "!has(self.namespaceSelector) || !self.namespaceSelector.contains('global(')",
    'global() selector is not valid for IPPool namespaceSelector',
  ),
  invalidUnless(
    'cidr(self.cidr) == cidr(self.cidr).masked()',
    'IPPool CIDR must be strictly masked',
  ),
  invalidUnless(
    "!cidr('169.254.0.0/16').containsIP(cidr(self.cidr).ip()) && " +
      "!cidr(self.cidr).containsIP('169.254.0.0')",
    'IPPool CIDR overlaps with IPv4 link local range 169.254.0.0/16',
  ),
  invalidUnless(
    "!cidr('fe80::/10').containsIP(cidr(self.cidr).ip()) && " +
      "!cidr(self.cidr).containsIP('fe80::')",
    'IPPool CIDR overlaps with IPv6 link local range fe80::/10',
  ),
  invalidUnless(
    '!has(self.blockSize) || self.blockSize == 0 || ' +
      '(cidr(self.cidr).ip().family() == 4 ? self.blockSize >= 20 && ' +
      'self.blockSize <= 32 : self.blockSize >= 116 && self.blockSize <= 128)',
    'blockSize must be between 20 and 32 for IPv4 pools, and between 116 and ' +
      '128 for IPv6 pools',
  ),
  invalidUnless(
    '(has(self.disabled) && self.disabled) || ' +
      'cidr(self.cidr).prefixLength() <= (has(self.blockSize) && self.blockSize != 0 ? ' +
      'self.blockSize : (cidr(self.cidr).ip().family() == 4 ? 26 : 122))',
    'IP pool size is too small for use with Calico IPAM. ' +
      'It must be equal to or greater than the block size.',
  ),
);

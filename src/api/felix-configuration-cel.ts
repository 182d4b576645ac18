// What the CRD of the agent's parameters refuses: addresses of the wrong family, ranges that clash or are none.
import { forbiddenUnless, invalidUnless, withRules } from './cel.ts';

export const ROOT_RULES = withRules(
  forbiddenUnless(
    "self.metadata.name == 'default' || self.metadata.name.startsWith('node.') ? " +
      '!has(self.spec.nodeSelector) : true',
    "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration",
  ),
);

export const SPEC_RULES = withRules(
  forbiddenUnless(
    '!has(self.routeTableRange) || !has(self.routeTableRanges)',
    'routeTableRange and routeTableRanges cannot both be set',
  ),
  invalidUnless(
    '!has(self.natOutgoingAddress) || size(self.natOutgoingAddress) == 0 || ' +
      '(isIP(self.natOutgoingAddress) && ip(self.natOutgoingAddress).family() == 4)',
    'natOutgoingAddress must be a valid IPv4 address',
  ),
  invalidUnless(
    '!has(self.deviceRouteSourceAddress) || ' +
      'size(self.deviceRouteSourceAddress) == 0 || ' +
      '(isIP(self.deviceRouteSourceAddress) && ' +
      'ip(self.deviceRouteSourceAddress).family() == 4)',
    'deviceRouteSourceAddress must be a valid IPv4 address',
  ),
  invalidUnless(
    '!has(self.deviceRouteSourceAddressIPv6) || ' +
      'size(self.deviceRouteSourceAddressIPv6) == 0 || ' +
      '(isIP(self.deviceRouteSourceAddressIPv6) && ' +
      'ip(self.deviceRouteSourceAddressIPv6).family() == 6)',
    'deviceRouteSourceAddressIPv6 must be a valid IPv6 address',
  ),
);

export const TABLE_RANGE_RULES = withRules(
  invalidUnless(
    'self.min >= 1 && self.max >= self.min && self.max <= 250',
    'must be a range of route table indices within 1..250',
  ),
);

export const TABLE_RANGES_RULES = withRules(
  invalidUnless('self.min >= 1', 'min must be >= 1'),
  invalidUnless('self.min <= self.max', 'min must not be greater than max'),
);

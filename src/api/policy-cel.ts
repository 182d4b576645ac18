// What a policy's own CRD refuses: rules for policies, for their rules, and for the two ends of a rule.
import { forbiddenUnless, invalidUnless, withRules } from './cel.ts';

export const ENTITY_RULES = withRules(
  invalidUnless(
    "!has(self.selector) || !self.selector.contains('global(')",
    'global() can only be used in an EntityRule namespaceSelector',
  ),
  forbiddenUnless(
    '!has(self.services) || !has(self.namespaceSelector) || ' + 'size(self.namespaceSelector) == 0',
    'cannot specify NamespaceSelector and Services on the same rule',
  ),
  forbiddenUnless(
    '!has(self.services) || !has(self.serviceAccounts)',
    'cannot specify ServiceAccounts and Services on the same rule',
  ),
  {
    message: 'services must specify a service name',
    reason: 'FieldValueRequired',
    rule: '!has(self.services) || size(self.services.name) > 0',
  },
  forbiddenUnless(
    '!has(self.services) || (!has(self.selector) || size(self.selector) == 0) && ' +
      '(!has(self.notSelector) || size(self.notSelector) == 0)',
    'cannot specify Selector/NotSelector and Services on the same rule',
  ),
  forbiddenUnless(
    '!has(self.services) || (!has(self.nets) || size(self.nets) == 0) && ' +
      '(!has(self.notNets) || size(self.notNets) == 0)',
    'cannot specify Nets/NotNets and Services on the same rule',
  ),
);

export const ICMP_RULES = withRules(
  invalidUnless('!has(self.code) || has(self.type)', 'ICMP code specified without an ICMP type'),
);

export const RULE_RULES = withRules(
  invalidUnless(
    "!has(self.http) || !has(self.protocol) || self.protocol == 'TCP' || self.protocol == 6",
    'rules with HTTP match must have protocol TCP or unset',
  ),
  forbiddenUnless(
    "self.action == 'Allow' || !has(self.http)",
    'HTTP match is only valid on Allow rules',
  ),
  forbiddenUnless(
    '!has(self.destination) || !has(self.destination.services) || ' +
      '(!has(self.destination.ports) || size(self.destination.ports) == 0) && ' +
      '(!has(self.destination.notPorts) || size(self.destination.notPorts) == 0)',
    'ports and notPorts cannot be specified with services',
  ),
  invalidUnless(
    "!has(self.icmp) || (has(self.protocol) && (self.protocol == 'ICMP' || " +
      "self.protocol == 'ICMPv6' || self.protocol == 1 || self.protocol == 58))",
    'ICMP fields require protocol to be ICMP or ICMPv6',
  ),
  invalidUnless(
    "(!has(self.protocol) || (self.protocol != 'ICMP' && self.protocol != 1)) || " +
      '!has(self.ipVersion) || self.ipVersion == 4',
    'protocol ICMP requires ipVersion 4',
  ),
  invalidUnless(
    "(!has(self.protocol) || (self.protocol != 'ICMPv6' && self.protocol != 58)) || " +
      '!has(self.ipVersion) || self.ipVersion == 6',
    'protocol ICMPv6 requires ipVersion 6',
  ),
  invalidUnless(
    "(!has(self.notProtocol) || (self.notProtocol != 'ICMP' && " +
      'self.notProtocol != 1)) || !has(self.ipVersion) || self.ipVersion == 4',
    'protocol ICMP requires ipVersion 4',
  ),
  invalidUnless(
    "(!has(self.notProtocol) || (self.notProtocol != 'ICMPv6' && " +
      'self.notProtocol != 58)) || !has(self.ipVersion) || self.ipVersion == 6',
    'protocol ICMPv6 requires ipVersion 6',
  ),
);

export const POLICY_RULES = withRules(
  invalidUnless(
    "!has(self.selector) || !self.selector.contains('global(')",
    'global() can only be used in an EntityRule namespaceSelector',
  ),
  invalidUnless(
    "!has(self.serviceAccountSelector) || !self.serviceAccountSelector.contains('global(')",
    'global() can only be used in an EntityRule namespaceSelector',
  ),
);

export const GLOBAL_POLICY_RULES = withRules(
  forbiddenUnless(
    '!((has(self.doNotTrack) && self.doNotTrack) && (has(self.preDNAT) && self.preDNAT))',
    'preDNAT and doNotTrack cannot both be true',
  ),
  forbiddenUnless(
    '(!has(self.preDNAT) || !self.preDNAT) || !has(self.egress) || size(self.egress) == 0',
    'preDNAT policy cannot have any egress rules',
  ),
  forbiddenUnless(
    '(!has(self.preDNAT) || !self.preDNAT) || !has(self.types) || ' +
      "!self.types.exists(t, t == 'Egress')",
    "preDNAT policy cannot have 'Egress' type",
  ),
  invalidUnless(
    '(has(self.applyOnForward) && self.applyOnForward) || ((!has(self.doNotTrack) || ' +
      '!self.doNotTrack) && (!has(self.preDNAT) || !self.preDNAT))',
    'applyOnForward must be true if either preDNAT or doNotTrack is true',
  ),
  invalidUnless(
    "!has(self.selector) || !self.selector.contains('global(')",
    'global() can only be used in an EntityRule namespaceSelector',
  ),
  invalidUnless(
    "!has(self.serviceAccountSelector) || !self.serviceAccountSelector.contains('global(')",
    'global() can only be used in an EntityRule namespaceSelector',
  ),
  invalidUnless(
    "!has(self.namespaceSelector) || !self.namespaceSelector.contains('global(')",
    'global() can only be used in an EntityRule namespaceSelector',
  ),
);

export const TIER_RULES = withRules(
  invalidUnless(
    "self.metadata.name == 'kube-admin' ? (has(self.spec.defaultAction) && " +
      "self.spec.defaultAction == 'Pass') : true",
    "The 'kube-admin' tier must have default action 'Pass'",
  ),
  invalidUnless(
    "self.metadata.name == 'kube-baseline' ? (has(self.spec.defaultAction) && " +
      "self.spec.defaultAction == 'Pass') : true",
    "The 'kube-baseline' tier must have default action 'Pass'",
  ),
  invalidUnless(
    "self.metadata.name == 'default' ? (has(self.spec.defaultAction) && " +
      "self.spec.defaultAction == 'Deny') : true",
    "The 'default' tier must have default action 'Deny'",
  ),
  invalidUnless(
    "self.metadata.name != 'default' || (has(self.spec.order) && " +
      'self.spec.order == 1000000.0)',
    'default tier order must be 1000000',
  ),
  invalidUnless(
    "self.metadata.name != 'kube-admin' || (has(self.spec.order) && " +
      'self.spec.order == 1000.0)',
    'kube-admin tier order must be 1000',
  ),
  invalidUnless(
    "self.metadata.name != 'kube-baseline' || (has(self.spec.order) && " +
      'self.spec.order == 10000000.0)',
    'kube-baseline tier order must be 10000000',
  ),
);

// Texts of Kubernetes' kinds beside pods and policies: nodes, Services, accounts, RBAC, events, leases, configuration.
import type { FieldTexts } from './field-text.ts';
import { labelSelector } from './kubernetes-policy-texts.ts';
import { POD_TEXTS } from './pod-texts.ts';

const PROTOCOL = 'TCP, UDP or SCTP; TCP where it is absent';

function objectReference(what: string): FieldTexts {
  return {
    '': what,
    kind: 'Its kind',
    namespace: 'Its namespace',
    name: 'Its name',
    uid: 'Its uid',
    apiVersion: 'Its group and version',
    resourceVersion: 'The version that it had',
    fieldPath: 'A part of it, such as spec.containers{web}',
  };
}

const FIRST = 'When it was first seen';
const LAST = 'When it was last seen';
const COUNT = 'How often it was seen';
const NOTE = 'What happened, for people';
const REPORTER = 'Which program says so';
const SOURCE: FieldTexts = {
  '': 'Who saw it, in the older form',
  component: 'The program',
  host: 'The node',
};

const EVENT: FieldTexts = {
  '': 'Something that happened to an object; forgotten after a while',
  action: 'What was done or not done, in one word',
  eventTime: FIRST,
  reason: 'Why, in one word',
  related: objectReference('A second object that it concerns'),
  reportingInstance: 'Which copy of the program',
  series: { '': 'The event goes on', count: COUNT, lastObservedTime: LAST },
  type: 'Normal or Warning',
};

const RULES: FieldTexts = {
  '': 'What is allowed; a request needs one rule that matches',
  verbs:
    'get, list, watch, create, update, patch, delete, deletecollection and others; "*" for all',
  apiGroups: 'API groups; "" is the core group, "*" all',
  resources: 'Plurals such as pods, and with a subresource pods/status; "*" for all',
  resourceNames: 'Only objects of these names; all where it is absent',
  nonResourceURLs: 'Paths that are no resources, such as /healthz or /metrics/*',
};

const SUBJECTS: FieldTexts = {
  '': 'Who gets the role',
  kind: 'What it is',
  apiGroup: 'rbac.authorization.k8s.io for users and groups, "" for service accounts',
  name: 'Its name',
  namespace: 'The namespace of a service account',
};

const ROLE_REF: FieldTexts = {
  '': 'The role; it never changes',
  apiGroup: 'rbac.authorization.k8s.io',
  kind: 'A Role of the same namespace, or a ClusterRole',
  name: 'Its name',
};

const IMMUTABLE = 'true: the data never changes again';
const PEM_FREE = 'Base64 of any bytes, by name';

export const CORE_TEXTS: Readonly<Record<string, FieldTexts>> = {
  Namespace: {
    '': 'A space of names, and a unit of policy and access',
    spec: { '': 'What holds it', finalizers: 'Who must act before it is gone' },
    status: {
      '': 'What became of it',
      conditions: 'What its deletion waits for',
      phase: 'Active, or Terminating while what is in it is deleted',
    },
  },
  Pod: POD_TEXTS,
  Node: {
    '': 'A machine that runs pods',
    spec: {
      '': 'What the node should be',
      podCIDR: 'The network for its pods; the first where there are two',
      podCIDRs: 'The networks for its pods, at most one of each family',
      configSource: 'Not used any more',
      externalID: 'Not used any more',
      providerID: 'What the cloud calls it',
      taints: 'What keeps pods away that do not tolerate it',
      unschedulable: 'No new pods are put on it',
    },
    status: {
      '': 'What the node says of itself',
      addresses: {
        '': 'Its addresses',
        type: 'InternalIP, ExternalIP, Hostname and others',
        address: 'The address or name',
      },
      conditions: 'What is known of it, such as Ready, one condition a type',
      allocatable: 'Resources for pods',
      capacity: 'All its resources',
      config: 'Not used any more',
      daemonEndpoints: 'The port of the kubelet',
      features: 'What its runtime can do',
      images: 'Images that it has',
      nodeInfo: 'Versions of its software, and its identity',
      phase: 'Not used any more',
      runtimeHandlers: 'Its runtimes, and what they can do',
      volumesAttached: 'Volumes that are attached to it',
      volumesInUse: 'Volumes that it uses',
    },
  },
  Service: {
    '': 'One address for the pods that a selector finds',
    spec: {
      '': 'Which pods, and at which address',
      clusterIP: 'Its address in the cluster; None for one that is names alone',
      clusterIPs: 'Its addresses, at most one of each family',
      externalIPs: 'Further addresses of nodes at which it is reached',
      selector: 'Labels of the pods; without them its endpoints are written by others',
      ports: {
        '': 'Its ports',
        name: 'The name; needed where there are several',
        port: 'The port of the Service',
        protocol: PROTOCOL,
        targetPort: 'The port of the pods, by number or name; the same where it is absent',
        appProtocol: 'What is spoken there, such as kubernetes.io/h2c',
        nodePort: 'The port of each node that leads to it',
      },
      allocateLoadBalancerNodePorts: 'Whether a load balancer needs ports of nodes',
      externalName: 'A domain name that it stands for',
      externalTrafficPolicy: 'Cluster, or Local: only pods of the node that the traffic came to',
      healthCheckNodePort: 'A port of each node that says whether it has pods of the Service',
      internalTrafficPolicy: 'Cluster, or Local: only pods of the node that the traffic comes from',
      ipFamilies: 'IPv4, IPv6, or both in their order',
      ipFamilyPolicy: 'SingleStack, PreferDualStack or RequireDualStack',
      loadBalancerClass: 'Which load balancer serves it',
      loadBalancerIP: 'The address that a load balancer should have',
      loadBalancerSourceRanges: 'Networks from which a load balancer takes traffic',
      publishNotReadyAddresses: 'Whether pods that are not ready are among its endpoints',
      sessionAffinity: 'ClientIP keeps a client at one pod; None does not',
      sessionAffinityConfig: 'How long a client is kept',
      trafficDistribution: 'Which endpoints are preferred, such as near ones',
      type: 'ClusterIP, NodePort, LoadBalancer or ExternalName',
    },
    status: {
      '': 'What became of it',
      conditions: 'What is known of it',
      loadBalancer: 'Addresses that a load balancer gave it',
    },
  },
  ServiceAccount: {
    '': 'An identity for pods; policies and roles name it',
    automountServiceAccountToken: 'Whether pods of the account see a token of it',
    imagePullSecrets: 'Secrets for fetching images',
    secrets: 'Secrets of the account, by name',
  },
  EndpointSlice: {
    '': 'Some of the endpoints of a Service, which the label kubernetes.io/service-name names',
    addressType: 'IPv4, IPv6 or FQDN',
    endpoints: {
      '': 'The endpoints',
      addresses: 'Addresses of the endpoint, of which the first is used',
      hostname: 'Its host name',
      nodeName: 'Its node',
      zone: 'The zone that it is in',
      conditions: 'Whether it is ready, serves, or is ending',
      deprecatedTopology: 'Not used any more',
      hints: 'Whose traffic it should get',
      targetRef: 'The pod',
    },
    ports: {
      '': 'Ports of all the endpoints',
      name: 'The name of the port of the Service',
      port: 'The number',
      protocol: PROTOCOL,
      appProtocol: 'What is spoken there',
    },
  },
  ConfigMap: {
    '': 'Configuration, as names and values',
    data: 'Values that are text, by name',
    binaryData: PEM_FREE,
    immutable: IMMUTABLE,
  },
  Secret: {
    '': 'Names and values that only few should read',
    type: 'What it is for; Opaque where it is absent; it never changes',
    data: PEM_FREE,
    stringData: 'Values as text, for writing: the server puts them into data',
    immutable: IMMUTABLE,
  },
  Lease: {
    '': 'Who holds something, and until when',
    spec: {
      '': 'The holder',
      holderIdentity: 'Who holds it',
      leaseDurationSeconds: 'How long others wait after the last renewal',
      acquireTime: 'Since when',
      renewTime: 'When it was last renewed',
      leaseTransitions: 'How often the holder changed',
      strategy: 'How the next holder is chosen',
      preferredHolder: 'Who should hold it next',
    },
  },
  Event: {
    ...EVENT,
    involvedObject: objectReference('The object'),
    message: NOTE,
    reportingComponent: REPORTER,
    source: SOURCE,
    firstTimestamp: FIRST,
    lastTimestamp: LAST,
    count: COUNT,
    regarding: objectReference('The object'),
    note: NOTE,
    reportingController: REPORTER,
    deprecatedSource: SOURCE,
    deprecatedFirstTimestamp: FIRST,
    deprecatedLastTimestamp: LAST,
    deprecatedCount: COUNT,
  },
  Role: { '': 'What somebody may do in one namespace', rules: RULES },
  ClusterRole: {
    '': 'What somebody may do in the whole cluster, or in namespaces where it is bound',
    rules: RULES,
    aggregationRule: {
      '': 'The rules are those of other ClusterRoles, put together by the server',
      clusterRoleSelectors: labelSelector('ClusterRoles with such labels'),
    },
  },
  RoleBinding: {
    '': 'Gives a role to somebody, in one namespace',
    subjects: SUBJECTS,
    roleRef: ROLE_REF,
  },
  ClusterRoleBinding: {
    '': 'Gives a ClusterRole to somebody, everywhere',
    subjects: SUBJECTS,
    roleRef: ROLE_REF,
  },
};

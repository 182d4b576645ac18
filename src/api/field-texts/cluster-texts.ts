// Texts of what concerns the cluster and its agents: controllers, status of nodes, captures, pending changes.
import type { FieldTexts } from './field-text.ts';

const RECONCILER = 'How often the controller compares everything, beside following changes';
const reconciled = (what: string): FieldTexts => ({ '': what, reconcilerPeriod: RECONCILER });

const CONTROLLERS: FieldTexts = {
  '': 'Settings of kube-controllers',
  logSeverityScreen: 'What is logged: this severity and above',
  healthChecks: 'Whether the health report is served',
  prometheusMetricsPort: 'The port of metrics; 0 serves none',
  debugProfilePort: 'The port of profiles for developers; absent or 0 serves none',
  etcdV3CompactionPeriod: 'How often etcd forgets old revisions; 0 leaves that to others',
  controllers: {
    '': 'The controllers; one that is absent does not run',
    node: {
      '': 'Cleans up after nodes and pods that are gone',
      reconcilerPeriod: RECONCILER,
      syncLabels: 'Whether labels of Kubernetes nodes are copied to those of Calico',
      leakGracePeriod: 'How long an address without owner is kept; 0 never collects any',
      hostEndpoint: {
        '': 'Host endpoints that are made for nodes',
        autoCreate: 'Whether they are made',
        createDefaultHostEndpoint: 'Whether each node gets one for all its interfaces',
        templates: {
          '': 'Further host endpoints, one for each node and template',
          generateName: 'A part of their names',
          interfaceCIDRs: 'Addresses of the node in these networks become the expected addresses',
          interfacePattern: 'Interfaces whose names match this regular expression',
          labels: 'Labels that they get, beside those of the node',
          annotations: 'Annotations that they get',
          nodeSelector: 'Only nodes with such labels',
        },
      },
    },
    policy: reconciled("Copies Kubernetes' policies"),
    workloadEndpoint: reconciled('Keeps labels of workload endpoints current'),
    serviceAccount: reconciled('Makes profiles of service accounts'),
    namespace: reconciled('Makes profiles of namespaces'),
    loadBalancer: {
      '': 'Gives addresses to Services of type LoadBalancer',
      assignIPs: 'To all such Services, or to those that ask by annotation',
    },
    migration: {
      '': 'Renames what older versions wrote',
      policyNameMigrator: 'Whether policies lose the tier before their name',
    },
  },
};

const BIRD: FieldTexts = {
  state: 'Whether it answers',
  version: 'Its version',
  routerID: 'Its router ID',
  lastBootTime: 'When it started',
  lastReconfigurationTime: 'When it last read its configuration',
};
const PEER: FieldTexts = {
  peerIP: 'The address of the other side',
  type: 'Whether it is a node of the mesh, a peer of this node or one of all nodes',
  state: 'The state of the session',
  since: 'Since when',
};
const ROUTE: FieldTexts = {
  type: 'FIB: in the kernel; RIB: known only',
  destination: 'The network',
  gateway: 'The next hop',
  interface: 'The interface',
  learnedFrom: {
    '': 'Who told of the route',
    sourceType: 'What kind of source',
    peerIP: 'The peer, where it was one',
  },
};

export const CLUSTER_TEXTS: Readonly<Record<string, FieldTexts>> = {
  KubeControllersConfiguration: {
    '': 'Settings of the controllers that run once in a cluster; the object is called "default"',
    spec: CONTROLLERS,
    status: {
      '': 'What the controllers run with',
      runningConfig: { ...CONTROLLERS, '': 'The settings in use' },
      environmentVars: 'Environment variables that took the place of settings',
    },
  },
  ClusterInformation: {
    '': 'What the cluster is; the object is called "default"',
    spec: {
      '': 'Facts of the cluster',
      clusterGUID: 'A number that only this cluster has',
      clusterType: 'Words for what it runs on, by commas',
      calicoVersion: 'The version of the software',
      datastoreReady: 'Whether agents may work; false holds them during an upgrade',
      variant: 'The edition of the software',
    },
  },
  CalicoNodeStatus: {
    '': 'Asks a node for the state of its agent, BGP and routes',
    spec: {
      '': 'Which node, and what it should tell',
      node: 'The node',
      classes: 'What it should tell',
      updatePeriodSeconds: 'How often; 0 tells nothing more',
    },
    status: {
      '': 'What the node told',
      lastUpdated: 'When it told it',
      agent: {
        '': 'The routing daemons',
        birdV4: { '': 'That of IPv4', ...BIRD },
        birdV6: { '': 'That of IPv6', ...BIRD },
      },
      bgp: {
        '': 'The BGP sessions',
        numberEstablishedV4: 'IPv4 sessions that stand',
        numberEstablishedV6: 'IPv6 sessions that stand',
        numberNotEstablishedV4: 'IPv4 sessions that do not',
        numberNotEstablishedV6: 'IPv6 sessions that do not',
        peersV4: { '': 'The IPv4 sessions', ...PEER },
        peersV6: { '': 'The IPv6 sessions', ...PEER },
      },
      routes: {
        '': 'The routes',
        routesV4: { '': 'Those of IPv4', ...ROUTE },
        routesV6: { '': 'Those of IPv6', ...ROUTE },
      },
    },
  },
  PacketCapture: {
    '': 'Records packets of some endpoints of a namespace into files on their nodes',
    spec: {
      '': 'Whose packets, which, and when',
      selector: 'The endpoints, by their labels; all of the namespace where it is absent',
      filters: {
        '': 'Only packets that match one of these; all where the list is empty',
        protocol: 'The protocol, by name or number',
        ports: 'One end has one of these ports',
      },
      startTime: 'When it begins; at once where it is absent',
      endTime: 'When it ends; with the deletion of the object where it is absent',
    },
    status: {
      '': 'What the nodes say',
      files: {
        '': 'The files of each node',
        node: 'The node',
        directory: 'The folder there',
        fileNames: 'The files',
        state: 'What the node is doing',
        packets: 'Packets that were written',
        droppedPackets: 'Packets that came too fast to be written',
        message: 'What is wrong, where something is',
      },
    },
  },
  AgentStatus: {
    '': 'What the agent of a node enforces right now; written by the agent alone',
    status: {
      '': 'The state of the node',
      ready: 'Whether the kernel holds the newest state that the agent knows',
      endpointCount: 'Endpoints of the node',
      hostEndpointCount: 'Host endpoints of the node',
      hostEndpoints: {
        '': 'The host endpoints of the node, and what became of each',
        name: 'Of the HostEndpoint',
        interfaceName: 'The interface that it governs, * for all; absent where none was found',
        enforced: 'Whether it governs an interface and all its policy is in the kernel',
        error: 'Why it is not enforced',
      },
      policyCount: 'Policies that they need',
      kernelWrites: 'Writes to the kernel since the agent started',
      lastAppliedTime: 'When it last wrote to the kernel',
      appliedRevisions: 'By kind, the newest revision that is in force',
      refusedPolicies: {
        '': 'Policies that are needed and not wholly in the kernel',
        key: 'The policy',
        message: 'Why',
      },
      errors: 'What else went wrong',
      repairs: {
        '': 'What others changed in the kernel and the agent undid, since it started',
        count: 'How many things',
        lastTime: 'When it last did so',
        last: 'What it undid then',
        lastOpenMs:
          'Milliseconds from when the change was heard until it was undone; absent where it was not heard but found',
      },
    },
  },
  PendingChange: {
    '': 'A change that undoes itself unless this object is deleted in time',
    spec: {
      '': 'What was changed, and how long it has to be confirmed',
      confirmWithinSeconds: 'Seconds from the creation of the object',
      objects: {
        '': 'The objects of the change',
        apiVersion: 'Group and version',
        kind: 'The kind',
        namespace: 'The namespace, for kinds that have one',
        name: 'The name',
        before: 'The object as it was, recorded by the server; absent where there was none',
      },
    },
    status: { '': 'How far it is', undoingSince: 'Since when it is being undone' },
  },
};

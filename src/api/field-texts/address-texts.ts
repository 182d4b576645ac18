// Texts of addresses and endpoints: pools, blocks, host and workload endpoints, Calico's nodes.
import type { FieldTexts } from './field-text.ts';

const DELETED = 'Set before the object is deleted, so that a writer who comes late notices';

const WORKLOAD: FieldTexts = {
  hostname: 'The node; not needed where the orchestrator is k8s',
  orchestratorID: 'Which orchestrator runs it, such as k8s or openstack',
  workloadID: 'Its name there; namespace/pod where the orchestrator is k8s',
};

const WORKLOAD_ENDPOINT: FieldTexts = {
  ...WORKLOAD,
  endpointID: 'Which endpoint of the workload, such as eth0',
};

export const ADDRESS_TEXTS: Readonly<Record<string, FieldTexts>> = {
  IPPool: {
    '': 'A pool of addresses that pods and tunnels get theirs from',
    spec: {
      '': 'Which addresses, for whom, and how they travel between nodes',
      cidr: 'The addresses of the pool; it never changes, and pools do not overlap',
      vxlanMode:
        'Whether packets between nodes go through VXLAN: Never, Always, or only to nodes of another subnet',
      ipipMode: 'The same through IPIP, for IPv4; not both',
      natOutgoing:
        'Whether packets to outside of all pools leave with the address of the node instead of the pod',
      disabled: 'No new addresses are given; those that are in use stay',
      disableBGPExport: 'The routes of the pool are not announced by BGP',
      blockSize:
        'The prefix length of the blocks that nodes take from the pool: 26 for IPv4 and 122 for IPv6 ' +
        'where it is absent; it never changes',
      nodeSelector: 'Only nodes with such labels take blocks from it',
      namespaceSelector: 'Only pods of namespaces with such labels get addresses from it',
      allowedUses: 'What its addresses are for; Workload and Tunnel where it is absent',
      assignmentMode: 'Manual: only pods that ask for the pool get addresses from it',
    },
  },
  IPReservation: {
    '': 'Addresses of pools that are never given by themselves',
    spec: {
      '': 'The addresses',
      reservedCIDRs: 'Networks and addresses; who asks for one of them by name still gets it',
    },
  },
  IPAMConfiguration: {
    '': 'How addresses are given in the whole cluster; the object is called "default"',
    spec: {
      '': 'Settings of the address management',
      strictAffinity: 'Nodes take addresses only from their own blocks and borrow none',
      maxBlocksPerHost: 'How many blocks a node may have; 0 is no limit',
      autoAllocateBlocks: 'Whether nodes take a further block by themselves when theirs are full',
      kubeVirtVMAddressPersistence: 'Whether a virtual machine keeps its address over a restart',
      ipCooldownSeconds: 'How long an address rests after its release before another pod gets it',
    },
  },
  IPAMBlock: {
    '': 'A block of addresses: which are taken, and by whom. Written by the address management alone',
    spec: {
      '': 'The state of the block',
      cidr: 'The addresses of the block',
      affinity: 'Whose block it is: "host:NODE" or "virtual:NAME"; absent where it is nobody\'s',
      affinityClaimTime: 'When it became theirs',
      allocations:
        'One entry an address, in order: null where it is free, or the index of its owner in attributes',
      unallocated:
        'The free addresses as places in the block, in the order in which they are given',
      attributes: {
        '': 'The owners of addresses',
        handle_id: 'The handle under which the address is released',
        secondary: 'Whose it is: pod, namespace, node',
        alternateOwnerAttrs: 'Who gets it next, where a virtual machine moves',
        releasedAt: 'Since when the address rests',
      },
      sequenceNumber: 'Counts the changes of the block',
      sequenceNumberForAllocation:
        'By place in the block: the sequence number with which the address was given, so that a late ' +
        'release does not free the next owner',
      strictAffinity: 'Only the owner of the block gives addresses from it',
      deleted: DELETED,
    },
  },
  IPAMHandle: {
    '': 'All addresses that one owner has, over all blocks. Written by the address management alone',
    spec: {
      '': 'The addresses of the handle',
      handleID: 'The handle; the name of the object is made of it',
      block: 'How many addresses it has in each block',
      deleted: DELETED,
    },
  },
  BlockAffinity: {
    '': "A node's claim to a block. Written by the address management alone",
    spec: {
      '': 'Who claims which block',
      state:
        'pending until the block says so too, then confirmed; pendingDeletion while it is given back',
      node: 'Who claims it',
      type: 'host, or virtual for what is no node; host where it is absent',
      cidr: 'The block',
      deleted: DELETED,
    },
  },
  HostEndpoint: {
    '': 'An interface of a node, or all of them, so that policies protect the node itself',
    spec: {
      '': 'Which interface, and what it inherits',
      node: 'The node',
      interfaceName: 'The interface, or "*" for all of them',
      expectedIPs: 'Its addresses; without interfaceName, the interface is found by them',
      profiles: 'Profiles whose labels and rules it inherits',
      ports: {
        '': 'Names of ports, for rules that name a port',
        name: 'The name',
        protocol: 'TCP, UDP or SCTP',
        port: 'The number',
      },
    },
  },
  WorkloadEndpoint: {
    '': 'An interface of a pod or of another workload. In Kubernetes it follows from the pod',
    spec: {
      '': 'Whose interface, where it is, and its addresses',
      orchestrator: 'Which orchestrator runs the workload: k8s, cni, openstack',
      workload: 'The workload, where the orchestrator is not k8s',
      node: 'The node that it is on',
      containerID: 'The container, as the runtime calls it',
      pod: 'The pod',
      endpoint: 'The interface as the workload sees it, such as eth0',
      serviceAccountName: 'The service account of the pod',
      ipNetworks: 'Its addresses, each as a network of one address',
      ipNATs: {
        '': 'Floating addresses, at which it is reached from outside',
        internalIP: 'An address of its own',
        externalIP: 'The floating address',
      },
      ipv4Gateway: 'Its gateway for IPv4',
      ipv6Gateway: 'Its gateway for IPv6',
      profiles: 'Profiles whose labels and rules it inherits',
      interfaceName: 'The interface at the side of the host, such as cali1234',
      mac: 'The link-layer address at the side of the workload',
      ports: {
        '': 'Names of ports, for rules that name a port',
        name: 'The name',
        protocol: 'TCP, UDP or SCTP',
        port: 'The number',
        hostPort: 'A port of the node that leads to it',
        hostIP: 'The address of the node that has this port; all where it is absent',
      },
      allowSpoofedSourcePrefixes: 'Networks that it may send from although they are not its own',
      qosControls: 'Limits of bandwidth, packets and connections',
    },
  },
  Node: {
    '': "Calico's view of a node. In Kubernetes it follows from the node",
    spec: {
      '': 'Addresses of the node and of its tunnels',
      bgp: {
        '': 'The node as a BGP router; without it the node takes no part',
        asNumber: 'Its AS number; that of the cluster where it is absent',
        ipv4Address: 'Its IPv4 address and subnet',
        ipv6Address: 'Its IPv6 address and subnet',
        ipv4IPIPTunnelAddr: 'The address of its IPIP tunnel',
        routeReflectorClusterID: 'Makes it a route reflector, with this cluster ID',
      },
      ipv4VXLANTunnelAddr: 'The IPv4 address of its VXLAN tunnel',
      vxlanTunnelMACAddr: 'The link-layer address of its VXLAN tunnel for IPv4',
      ipv6VXLANTunnelAddr: 'The IPv6 address of its VXLAN tunnel',
      vxlanTunnelMACAddrV6: 'The link-layer address of its VXLAN tunnel for IPv6',
      orchRefs: {
        '': 'The same node as orchestrators know it',
        nodeName: 'Its name there',
        orchestrator: 'The orchestrator',
      },
      wireguard: {
        '': "Addresses of the node's WireGuard interface",
        interfaceIPv4Address: 'The IPv4 address',
        interfaceIPv6Address: 'The IPv6 address',
      },
      addresses: { '': 'Its addresses', address: 'The address', type: 'What the address is for' },
      interfaces: {
        '': 'Its interfaces, where they are told',
        name: 'The interface',
        addresses: 'Its addresses',
      },
    },
    status: {
      '': 'What the node says of itself',
      wireguardPublicKey: 'Its WireGuard key for IPv4',
      wireguardPublicKeyV6: 'Its WireGuard key for IPv6',
      podCIDRs: 'Networks that Kubernetes gave the node for its pods',
    },
  },
  LiveMigration: {
    '': 'A virtual machine that moves from one endpoint to another',
    spec: {
      '': 'From where to where',
      source: {
        '': 'Where it comes from, by one of the fields',
        workload: { '': 'All endpoints of a workload', ...WORKLOAD },
        workloadEndpoint: { '': 'One endpoint', ...WORKLOAD_ENDPOINT },
      },
      target: {
        '': 'Where it goes to, by one of the fields',
        workloadEndpoint: { '': 'One endpoint', ...WORKLOAD_ENDPOINT },
        selector: 'Endpoints with such labels, inherited ones included, in every namespace',
      },
    },
  },
};

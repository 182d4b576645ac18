// The door of linux: the kernel interfaces that Tortie speaks itself, without external programs.
export { ERRNO, SystemError, errnoName } from './libc.ts';
export {
  type Attribute,
  AttributeMap,
  AttributeWriter,
  parseAttributeList,
  parseAttributes,
} from './netlink/attribute.ts';
export {
  MESSAGE_FLAG,
  NetlinkError,
  type NetlinkMessage,
  type NetlinkRequest,
} from './netlink/message.ts';
export type { Proxy } from './netlink/proxy-message.ts';
export { announceAddress } from './announcement.ts';
export {
  NETLINK_PROTOCOL,
  NetlinkSocket,
  type NetlinkSocketOptions,
  setAnswerTimeout,
} from './netlink/socket.ts';
export {
  createNamespace,
  currentNamespace,
  deleteNamespace,
  listenInNamespace,
  openNamespace,
  withNamespace,
} from './namespace.ts';
export {
  ensureSysctlsInNamespace,
  readSysctlInNamespace,
  sysctlsOfNamespace,
  writeSysctlInNamespace,
} from './sysctl.ts';
export { type Link, type VethOptions } from './netlink/link-message.ts';
export {
  type AddressOptions,
  type LinkAddress,
  type Neighbour,
  type Scope,
} from './netlink/address-message.ts';
export {
  type NextHop,
  ROUTE_PROTOCOL,
  ROUTE_TABLE,
  type Route,
  type RouteType,
} from './netlink/route-message.ts';
export type { ForwardingEntry, VxlanOptions } from './netlink/vxlan-message.ts';
export type { VxlanSettings } from './netlink/vxlan-settings.ts';
export {
  ChangeMonitor,
  type ChangeMonitorOptions,
  type InterfaceMessages,
  type KernelChanges,
} from './netlink/change-monitor.ts';
export { LinkedNamespaces } from './netlink/namespace-id.ts';
export { RouteSocket } from './netlink/route.ts';
export { type LogPacket, LogReader, type LogReaderOptions } from './netlink/log.ts';
export {
  LOG_COPY_CHANNEL,
  LogCopies,
  type LogCopiesOptions,
  type LogCopyDelivery,
  type LogCopyRequest,
} from './netlink/log-copies.ts';
export {
  CONNTRACK_STATUS,
  type ConntrackCounter,
  type ConntrackEntry,
  type ConntrackEvent,
  type ConntrackEventType,
  type ConntrackOptions,
  ConntrackSocket,
  type ConntrackTuple,
  enableConntrackAccounting,
} from './netlink/conntrack.ts';
export { DestroyedSockets } from './netlink/destroyed-sockets.ts';
export {
  type DiagProtocol,
  type DiagSocket,
  SocketDiag,
  type SocketEnds,
  type TcpMeasures,
} from './netlink/socket-diag.ts';
export {
  namespaceInode,
  NamespaceProcesses,
  type ProcessInfo,
  processInfo,
  socketsOfProcess,
} from './processes.ts';
export { type PacketTuple, parsePacket } from './packet.ts';
export { Poller } from './poll.ts';
export { BPF, BPF_IF, BpfAssembler, type BpfInstruction, bpfBytes } from './bpf-program.ts';
export {
  type Frame,
  PACKET_HANDOVER_MS,
  PacketSocket,
  type PacketSocketOptions,
} from './packet-socket.ts';
export {
  type BaseChain,
  CT_STATE,
  type ChainSnapshot,
  type Expression,
  type FieldType,
  type Flowtable,
  type Hex,
  type HookName,
  NftError,
  type CountedRule,
  type NftOperation,
  NftablesSocket,
  type RuleSnapshot,
  type SetContent,
  type SetElement,
  type SetSnapshot,
  type SetType,
  type TableSnapshot,
  type Verdict,
  baseSignature,
  describeOperation,
  keyLength,
  setSignature,
} from './nftables/index.ts';
export { type Host, hostProblems } from './host.ts';

// The door of capture: packets of pods into files, by PacketCapture resources.
export {
  type CapturedPacket,
  type CaptureInterface,
  interfaceDescription,
  interfaceStatistics,
  LINK_TYPE,
  packetBlock,
  sectionHeader,
} from './pcapng.ts';
export { oldFiles, RingFile, type RingLimits, RingWriteError } from './ring-file.ts';
export { filterProgram, type PacketFilter, wantsPacket } from './packet-filter.ts';
export {
  CaptureAgent,
  type CaptureAgentOptions,
  type CaptureSettings,
} from './capture-agent.ts';
export { PacketVerdicts } from './packet-verdicts.ts';
export { deniedComment, loggedVerdict, type LoggedVerdict } from './verdict-comment.ts';
export { CaptureFollower, type FollowedPiece, FollowerTooSlow } from './capture-follow.ts';
export { CapturePlanner, type CaptureUpdate, type PlannedCapture } from './capture-plan.ts';
export { Capturer } from './capturer.ts';
export { CaptureFileServer, type CaptureFileServerOptions } from './file-server.ts';

// The door of goldmane: kept flows for clients of Goldmane's gRPC API.
export {
  type GoldmaneCounts,
  type GoldmaneOptions,
  GoldmaneServer,
  type GoldmaneTls,
} from './goldmane-server.ts';

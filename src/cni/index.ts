// The door of cni: the agent's side. The plugin itself is loaded by file, so that it starts fast.
export {
  type AwaitedEndpoint,
  type PodNetworkOptions,
  PodNetwork,
} from './attachment.ts';
export { hostInterfaceName } from './pod.ts';
export type { InterfaceDriver } from './pod-interface.ts';
export { CniServer, type CniHandler, type CniServerOptions } from './server.ts';
export { VethDriver, type VethDriverOptions } from './veth-driver.ts';

// The part of `tortie node` that hears what others change in the kernel, and has it repaired.
import { DriftWatch } from '#agent';
import type { HostSettings } from '#calc/dataplane-update';
import { OWN_INTERFACES, TABLE_NAME } from '#dataplane';
import {
  ChangeMonitor,
  type InterfaceMessages,
  type NftablesSocket,
  Poller,
  ROUTE_PROTOCOL,
  type RouteSocket,
} from '#linux';

/**
 * Looks when somebody else has changed own routes, tunnels or the table, or when the host's addresses have
 * changed, which host endpoints and tunnels go by. `own`: the sockets of the dataplane itself; `onInterfaces` is
 * told of all messages about interfaces.
 */
export function watchDrift(
  own: { readonly routes: RouteSocket; readonly nftables: NftablesSocket },
  repair: () => void,
  onInterfaces: (seen: InterfaceMessages) => void,
): { onSettings: (settings: Pick<HostSettings, 'workloadPrefixes'>) => void; stop: () => void } {
  let prefixes: readonly string[] = [];
  const monitor = ChangeMonitor.open({
    table: TABLE_NAME,
    protocol: ROUTE_PROTOCOL.TORTIE,
    routesTo: () => prefixes,
    links: OWN_INTERFACES,
    own: { routes: own.routes.port, nftables: own.nftables.port },
  });
  const watch = new DriftWatch({ repair });
  const poller = new Poller();
  const look = (): void => {
    const changes = monitor.read();
    onInterfaces(monitor.seen);
    if (Object.values(changes).some(Boolean)) watch.onChange();
  };
  for (const descriptor of monitor.descriptors) poller.onReadable(descriptor, look);
  return {
    onSettings: ({ workloadPrefixes }) => {
      prefixes = workloadPrefixes;
    },
    stop: () => {
      watch.stop();
      poller.close();
      monitor.close();
    },
  };
}

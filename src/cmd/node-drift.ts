// The part of `tortie node` that hears what others change in the kernel, and has it repaired.
import { DriftWatch, type KernelPart } from '#agent';
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

/** What takes part in the host's addresses changes with every pod: it is looked at in a row for no longer than this. */
const HOST_MOST_MS = 2_000;

export interface Drift {
  readonly onSettings: (settings: Pick<HostSettings, 'workloadPrefixes'>) => void;
  /** After each apply: milliseconds that what it repaired had been as others left it, where that was heard. */
  readonly onApplied: (repaired: readonly string[]) => number | undefined;
  readonly stop: () => void;
}

/**
 * Looks when somebody else has changed own routes, tunnels or the table, or when the host's addresses have
 * changed, which host endpoints and tunnels go by. `own`: the sockets of the dataplane itself; `onInterfaces` is
 * told of all messages about interfaces.
 */
export function watchDrift(
  own: { readonly routes: RouteSocket; readonly nftables: NftablesSocket },
  repair: (parts: readonly KernelPart[]) => void,
  onInterfaces: (seen: InterfaceMessages) => void,
): Drift {
  let prefixes: readonly string[] = [];
  const monitor = ChangeMonitor.open({
    table: TABLE_NAME,
    protocol: ROUTE_PROTOCOL.TORTIE,
    routesTo: () => prefixes,
    links: OWN_INTERFACES,
    own: { routes: own.routes.port, nftables: own.nftables.port },
  });
  // Each by itself: what is often changed in one part does not make another wait.
  const watches = {
    table: new DriftWatch({ repair: () => repair(['table']) }),
    routes: new DriftWatch({ repair: () => repair(['routes']) }),
    host: new DriftWatch({ repair: () => repair(['host']), mostMs: HOST_MOST_MS }),
  } satisfies Record<KernelPart, DriftWatch>;
  const poller = new Poller();
  const look = (): void => {
    const changes = monitor.read();
    onInterfaces(monitor.seen);
    if (changes.table) watches.table.onChange();
    if (changes.routes) watches.routes.onChange();
    if (changes.links || changes.addresses || changes.settings) watches.host.onChange();
  };
  for (const descriptor of monitor.descriptors) poller.onReadable(descriptor, look);
  return {
    onSettings: ({ workloadPrefixes }) => {
      prefixes = workloadPrefixes;
    },
    onApplied: (repaired) => {
      const times = Object.entries(watches).flatMap(
        ([part, watch]) => watch.onApplied(repaired.some((what) => partOf(what) === part)) ?? [],
      );
      return times.length > 0 ? Math.max(...times) : undefined;
    },
    stop: () => {
      for (const watch of Object.values(watches)) watch.stop();
      poller.close();
      monitor.close();
    },
  };
}

/** As the dataplane names what it has repaired. */
function partOf(repaired: string): KernelPart {
  if (repaired.startsWith('route ')) return 'routes';
  return /^(interface|sysctl) /.test(repaired) ? 'host' : 'table';
}

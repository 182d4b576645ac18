// Addresses of load balancers, read from Services.
import type { Service } from '#api';
import { isObject, parseAddress } from '#lib';

/** Those that any node may answer for: not where each node serves its own endpoints alone. */
export function balancerAddresses({ spec, status }: Service): readonly string[] {
  const { type, externalTrafficPolicy } = (spec ?? {}) as Readonly<Record<string, unknown>>;
  if (type !== 'LoadBalancer' || externalTrafficPolicy === 'Local') return NONE;
  const balancer = isObject(status) ? status['loadBalancer'] : undefined;
  const ingress = isObject(balancer) ? balancer['ingress'] : undefined;
  if (!Array.isArray(ingress)) return NONE;
  return ingress.flatMap((one: unknown) => {
    const ip = isObject(one) ? one['ip'] : undefined;
    return typeof ip === 'string' && parseAddress(ip) ? [ip] : [];
  });
}

const NONE: readonly string[] = [];

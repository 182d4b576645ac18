// What an IP set stands for, and the identity that equal definitions share.
import { base64Url, sha224 } from '#lib';
import { type Selector, selectorId } from '#selector';

export type NamedPortProtocol = 'tcp' | 'udp' | 'sctp';

export type IpSetDefinition =
  /** Every address and prefix of the objects that the selector matches. */
  | { readonly kind: 'selector'; readonly id: string; readonly selector: Selector }
  /** The port of that name and protocol at every endpoint that the selector matches. */
  | {
      readonly kind: 'named-port';
      readonly id: string;
      readonly selector: Selector;
      readonly protocol: NamedPortProtocol;
      readonly port: string;
    }
  /** The endpoints of a Service (`namespace/name`), with their ports or as addresses alone. */
  | {
      readonly kind: 'service';
      readonly id: string;
      readonly service: string;
      readonly withPorts: boolean;
    };

export function selectorSet(selector: Selector): IpSetDefinition {
  return { kind: 'selector', id: selectorId(selector), selector };
}

export function namedPortSet(
  selector: Selector,
  protocol: NamedPortProtocol,
  port: string,
): IpSetDefinition {
  const id = uniqueId('n', `${selectorId(selector)},${protocol},${port}`);
  return { kind: 'named-port', id, selector, protocol, port };
}

export function serviceSet(service: string, withPorts: boolean): IpSetDefinition {
  return {
    kind: 'service',
    id: uniqueId(withPorts ? 'svc' : 'svcnoport', service),
    service,
    withPorts,
  };
}

/** As upstream forms its identities: the prefix, and SHA-224 over prefix and content. */
function uniqueId(prefix: string, content: string): string {
  return `${prefix}:${base64Url(sha224(new TextEncoder().encode(`${prefix}:${content}`)))}`;
}

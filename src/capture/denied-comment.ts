// Words for the prefix that the policy log gives a denied packet.

const OWNERS: Readonly<Record<string, string>> = {
  T: 'the end of tier',
  N: 'no profile',
  U: 'an unknown interface',
};

/**
 * `verdict=deny by NetworkPolicy/shop/web, ingress rule 3` for `DPI3|NetworkPolicy/shop/web`; undefined for the prefix
 * of anything else than a packet that was denied, such as what a staged policy would do.
 */
export function deniedComment(prefix: string): string | undefined {
  const parts = /^D([PRTNU])([IE])(\d*)\|(.*)$/.exec(prefix);
  if (!parts) return undefined;
  const [, owner = '', side, rule, name = ''] = parts;
  const by = [OWNERS[owner] ?? '', name].filter((text) => text !== '').join(' ');
  const direction = side === 'I' ? 'ingress' : 'egress';
  return `verdict=deny by ${by}, ${direction}${rule === '' ? '' : ` rule ${rule}`}`;
}

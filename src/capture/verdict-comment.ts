// Words for the prefix that the policy log gives a packet.

/** Who decided about a packet, and for which end. */
export interface LoggedVerdict {
  readonly verdict: 'deny' | 'allow';
  readonly direction: 'ingress' | 'egress';
  /** `NetworkPolicy/shop/web, ingress rule 3` */
  readonly by: string;
}

const OWNERS: Readonly<Record<string, string>> = {
  T: 'the end of tier',
  N: 'no profile',
  U: 'an unknown interface',
};

const VERDICTS: Readonly<Record<string, LoggedVerdict['verdict']>> = { A: 'allow', D: 'deny' };

/**
 * Undefined for the prefix of anything else than a packet that was allowed or denied, such as what a staged policy
 * would do.
 */
export function loggedVerdict(prefix: string): LoggedVerdict | undefined {
  const parts = /^([AD])([PRTNU])([IE])(\d*)\|(.*)$/.exec(prefix);
  if (!parts) return undefined;
  const [, action = '', owner = '', side, rule, name = ''] = parts;
  const verdict = VERDICTS[action];
  if (!verdict) return undefined;
  const who = [OWNERS[owner] ?? '', name].filter((text) => text !== '').join(' ');
  const direction = side === 'I' ? 'ingress' : 'egress';
  return { verdict, direction, by: `${who}, ${direction}${rule === '' ? '' : ` rule ${rule}`}` };
}

/** `verdict=deny by NetworkPolicy/shop/web, ingress rule 3`; undefined for what was not denied. */
export function deniedComment(prefix: string): string | undefined {
  const logged = loggedVerdict(prefix);
  return logged?.verdict === 'deny' ? `verdict=deny by ${logged.by}` : undefined;
}

// Labels that an object may have of its own: those that only its namespace or account can lend it are taken out.

const LENT_PREFIXES = ['pcns.', 'pcsa.'] as const;
/** Of what runs under the account, where the account's name fits in a label. */
const ACCOUNT_LABEL = 'projectcalico.org/serviceaccount';

/**
 * The labels without those that begin with `pcns.` or `pcsa.`, and without that of an account. An own label wins over
 * a lent one, so whoever may write one on a pod or a network set of a namespace could make it pose as an object of
 * another namespace, and a pod without account, or with one whose name fits in no label, as one of any account;
 * upstream lets that pass (spec 02, 2.5).
 */
export function ownLabels(
  labels: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const keys = Object.keys(labels ?? {});
  if (!labels || !keys.some(isLent)) return labels ?? {};
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !isLent(key)));
}

function isLent(key: string): boolean {
  return key === ACCOUNT_LABEL || LENT_PREFIXES.some((prefix) => key.startsWith(prefix));
}

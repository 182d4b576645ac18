// What an explanation leaves open where the nodes' interfaces are not known.
import type { Explanation, Half, Ruling, Verdict } from '#policy';

/** What a half says, and what it says that it may have to say. */
export function rulingsOf(half: Half): Ruling[] {
  return [half, ...(half.doubt?.otherwise ?? [])].map(({ verdict, tier, policy, rule }) => {
    return { verdict, tier, policy, rule };
  });
}

/** Whether the explanation says or leaves open that the packet has the verdict. */
export function mayBe({ egress, ingress }: Explanation, verdict: Verdict): boolean {
  const may = (half: Half, wanted: Verdict) =>
    rulingsOf(half).some((ruling) => ruling.verdict === wanted);
  return verdict === 'allow'
    ? may(egress, 'allow') && may(ingress, 'allow')
    : may(egress, 'deny') || may(ingress, 'deny');
}

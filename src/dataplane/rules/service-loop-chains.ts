// Packets to service addresses that nothing has translated would run in circles between router and host.
import { FAMILIES } from '#lib';
import type { ServiceLoopPrevention } from '#calc/dataplane-update';
import { COUNT, DROP } from './action.ts';
import type { Chain, Rule } from './chain.ts';
import { PRIORITY } from './static-chains.ts';

/** ID of the set of service addresses. */
export const SERVICE_NETS = 'services:nets';

/** At the end of what is forwarded and of what the host sends (spec 04: serviceLoopPrevention). */
export function serviceLoopChains({ action, nets }: ServiceLoopPrevention): Chain[] {
  if (action === 'Disabled' || nets.length === 0) return [];
  const verdict = action === 'Drop' ? DROP : { action: 'reject' as const };
  const rules = FAMILIES.map(
    (family): Rule => ({
      matches: [
        { match: 'family', family },
        { match: 'ip-set', end: 'destination', family, set: SERVICE_NETS },
      ],
      actions: [COUNT, verdict],
    }),
  );
  return (['forward', 'output'] as const).map((point) => ({
    name: `service-loop-${point}`,
    hook: { point, priority: PRIORITY.LAST },
    rules,
  }));
}

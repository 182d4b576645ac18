// The workloads of Istio's ambient mesh as one IP set, there while `istioAmbientMode` is on (spec 04).
import { parseSelector } from '#selector';
import type { IpSetDefinition } from './ip-set-definition.ts';

/** A pod says so itself, or its namespace does and the pod does not object. Network sets are no workloads. */
export const AMBIENT_SET: IpSetDefinition = {
  kind: 'selector',
  id: 'all-istio-weps',
  selector: parseSelector(
    'has(projectcalico.org/orchestrator) && istio.io/dataplane-mode != "none" && ' +
      '(istio.io/dataplane-mode == "ambient" || pcns.istio.io/dataplane-mode == "ambient")',
  ),
};

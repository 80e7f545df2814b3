import type { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { type Flow, NetworkPolicies } from '../constructs/network-policies';
import { StudioChart } from '../constructs/studio-chart';

export interface PoliciesChartProps {
  readonly settings: Settings;
  readonly flows: readonly Flow[];
}

/** Who may talk to whom. */
export class PoliciesChart extends StudioChart {
  constructor(scope: Construct, id: string, { settings, flows }: PoliciesChartProps) {
    const { namespace, images, edge } = settings;
    const apiServer = derive.bundledStack(settings)?.prometheus.apiServer ?? [];
    super(scope, id, { namespace, identity: { name: 'orfeas', component: 'network-policy', version: images.version } });
    new NetworkPolicies(this, 'network-policies', { edgeNamespaces: edge.namespaces, apiServer, flows });
  }
}

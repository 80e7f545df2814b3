import type { Construct } from 'constructs';
import { edgeRunsHere } from '../config/edge';
import type { Settings } from '../config/schema';
import { type Flow, NetworkPolicies } from '../constructs/network-policies';
import { NginxGateway } from '../constructs/nginx-gateway';
import { StudioChart } from '../constructs/studio-chart';

export interface PoliciesChartProps {
  readonly settings: Settings;
  readonly flows: readonly Flow[];
}

/** Who may talk to whom. */
export class PoliciesChart extends StudioChart {
  constructor(scope: Construct, id: string, { settings, flows }: PoliciesChartProps) {
    const { namespace, images, edge, network } = settings;
    super(scope, id, { namespace, identity: { name: 'orfeas', component: 'network-policy', version: images.version } });
    new NetworkPolicies(this, 'network-policies', {
      edge: edgeRunsHere(settings) ? NginxGateway.pods : edge.namespaces.map(name => ({ namespace: name })),
      apiServer: network.apiServer,
      flows,
    });
  }
}

import type { Construct } from 'constructs';
import type { OperatorStack, Settings } from '../config/schema';
import { Dashboards } from '../constructs/dashboards';
import { Monitors } from '../constructs/monitors';
import type { Flow } from '../constructs/network-policies';
import { StudioChart } from '../constructs/studio-chart';
import type { Workload } from '../constructs/workload';

export interface OperatorMonitoringChartProps {
  readonly settings: Settings;
  readonly stack: OperatorStack;
  /** Whose metrics are gathered. */
  readonly watched: readonly Workload[];
}

/** Monitors, rules and dashboards for the Prometheus Operator and the Grafana that the cluster has. */
export class OperatorMonitoringChart extends StudioChart {
  readonly flows: readonly Flow[];

  constructor(scope: Construct, id: string, { settings, stack, watched }: OperatorMonitoringChartProps) {
    const { namespace, images } = settings;
    super(scope, id, { namespace, identity: { name: 'monitoring', component: 'monitoring', version: images.version } });
    new Monitors(this, 'monitors', { settings, stack, workloads: watched });
    new Dashboards(this, 'dashboards', { settings, labels: stack.dashboardLabels, annotations: { grafana_folder: 'ORFEAS' } });
    this.flows = watched.map(to => ({
      from: { namespace: stack.namespace },
      to,
      ports: to.metrics.map(({ number }) => number),
      why: 'Metrics',
    }));
  }
}

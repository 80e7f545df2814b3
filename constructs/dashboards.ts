import { ConfigMap } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { dashboards } from '../dashboards';

export interface DashboardsProps {
  readonly settings: Settings;
  /** By which a Grafana of the cluster finds them. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Grafana's dashboards, each in a ConfigMap of its own: together they would be near the size that one may have. */
export class Dashboards extends Construct {
  /** Names of the ConfigMaps. */
  readonly names: readonly string[];

  constructor(scope: Construct, id: string, { settings, labels, annotations }: DashboardsProps) {
    super(scope, id);
    this.names = Object.entries(dashboards(settings)).map(([file, dashboard]) => {
      const name = file.replace(/^orfeas-(.+)\.json$/, 'dashboard-$1');
      new ConfigMap(this, name, {
        metadata: { name, ...(labels && { labels: { ...labels } }), ...(annotations && { annotations: { ...annotations } }) },
        data: { [file]: JSON.stringify(dashboard) },
      });
      return name;
    });
  }
}

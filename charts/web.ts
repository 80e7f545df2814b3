import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import type { Backend } from '../constructs/backend';
import { StudioChart } from '../constructs/studio-chart';
import { Web } from '../constructs/web';

export interface WebChartProps {
  readonly settings: Settings;
  readonly backend: Backend;
  /** Annotations that the edge reads on web's Service. */
  readonly serviceAnnotations: Readonly<Record<string, string>>;
}

/** nginx with the studio's page. */
export class WebChart extends StudioChart {
  readonly web: Web;

  constructor(scope: Construct, id: string, { settings, backend, serviceAnnotations }: WebChartProps) {
    super(scope, id, { namespace: settings.namespace, identity: { name: 'web', component: 'web', version: settings.images.version } });
    this.web = new Web(this, 'web', { settings, backend, serviceAnnotations });
  }
}

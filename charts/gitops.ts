import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { StudioChart } from '../constructs/studio-chart';

export interface GitopsChartProps {
  readonly settings: Settings;
}

/** What Argo CD is told of a studio: labelled as the studio's, though in another namespace. */
export class GitopsChart extends StudioChart {
  constructor(scope: Construct, id: string, { settings: { namespace, images } }: GitopsChartProps) {
    super(scope, id, { namespace, identity: { name: 'orfeas', component: 'gitops', version: images.version } });
  }
}

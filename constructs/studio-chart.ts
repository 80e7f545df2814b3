import { Chart } from 'cdk8s';
import type { Construct } from 'constructs';
import { type Identity, objectLabels } from './labels';

export interface StudioChartProps {
  readonly namespace: string;
  /** What the chart's objects are labelled as. */
  readonly identity: Identity;
}

/** A chart of one studio. Its objects carry the chart's labels, and names as written: a moved construct renames nothing. */
export class StudioChart extends Chart {
  constructor(scope: Construct, id: string, { namespace, identity }: StudioChartProps) {
    super(scope, id, { namespace, labels: { ...objectLabels(namespace, identity) }, disableResourceNameHashes: true });
  }
}

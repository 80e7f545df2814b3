import { Chart } from 'cdk8s';
import type { Construct } from 'constructs';
import { studioLabels } from './labels';

/** A chart of one studio. Its objects carry the studio's labels, and names as written: a moved construct renames nothing. */
export class StudioChart extends Chart {
  constructor(scope: Construct, id: string, namespace: string) {
    super(scope, id, { namespace, labels: { ...studioLabels(namespace) }, disableResourceNameHashes: true });
  }
}

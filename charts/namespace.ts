import { JsonPatch } from 'cdk8s';
import { k8s } from 'cdk8s-plus-28';
import type { Construct } from 'constructs';
import type { ClaimSettings, Settings } from '../config/schema';
import { kept } from '../constructs/kept';
import { Quota } from '../constructs/quota';
import { StudioChart } from '../constructs/studio-chart';
import type { Workload } from '../constructs/workload';

export interface NamespaceChartProps {
  readonly settings: Settings;
  readonly workloads: readonly Workload[];
  readonly claims: readonly ClaimSettings[];
}

/** The namespace, held to Pod Security `restricted`, and what it may take. */
export class NamespaceChart extends StudioChart {
  constructor(scope: Construct, id: string, { settings, workloads, claims }: NamespaceChartProps) {
    const { namespace, images } = settings;
    super(scope, id, { namespace, identity: { name: 'orfeas', component: 'namespace', version: images.version } });
    const object = new k8s.KubeNamespace(this, 'namespace', {
      metadata: {
        name: namespace,
        labels: Object.fromEntries(['enforce', 'audit', 'warn'].map(mode => [`pod-security.kubernetes.io/${mode}`, 'restricted'])),
        annotations: kept,
      },
    });
    // A namespace is in no namespace, but cdk8s gives it its chart's.
    object.addJsonPatch(JsonPatch.remove('/metadata/namespace'));
    new Quota(this, 'quota', { settings, workloads, claims });
  }
}

import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import type { Workload } from './workload';

/** A node that is drained takes one pod of the workload at a time. */
export class DisruptionBudget extends Construct {
  constructor(scope: Construct, id: string, { name, selector }: Pick<Workload, 'name' | 'selector'>) {
    super(scope, id);
    new k8s.KubePodDisruptionBudget(this, 'budget', {
      metadata: { name },
      spec: { maxUnavailable: k8s.IntOrString.fromNumber(1), selector: { matchLabels: { ...selector } } },
    });
  }
}

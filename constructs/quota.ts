import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { edgeRunsHere } from '../config/edge';
import type { ClaimSettings, Settings } from '../config/schema';
import { countQuantity, cpuQuantity, mebibytesQuantity } from './restricted';
import type { Workload } from './workload';

/** Beyond the workloads: the solver pods of cert-manager, an edge that runs here, a debug container, a job run by hand. */
const SPARE = { pods: 5, cpu: 1, memoryMebibytes: 1024, ephemeralMebibytes: 1024 };

export interface QuotaProps {
  readonly settings: Settings;
  readonly workloads: readonly Workload[];
  readonly claims: readonly ClaimSettings[];
}

/** What the namespace may take in all, and what a container gets that asks for nothing. */
export class Quota extends Construct {
  constructor(scope: Construct, id: string, { settings, workloads, claims }: QuotaProps) {
    super(scope, id);
    const { gpu } = settings;
    const containers = workloads.flatMap(({ footprint }) => Array.from({ length: footprint.pods }, () => footprint.containers).flat());
    const sum = (of: (container: (typeof containers)[number]) => number, spare: number) =>
      containers.reduce((total, container) => total + of(container), spare);
    const pods = workloads.reduce((total, { footprint }) => total + footprint.pods, SPARE.pods);
    const gpus = workloads.reduce((total, { footprint }) => total + footprint.pods * footprint.gpus, 0);

    new k8s.KubeResourceQuota(this, 'quota', {
      metadata: { name: 'orfeas' },
      spec: {
        hard: {
          pods: countQuantity(pods),
          'requests.cpu': cpuQuantity(sum(c => c.requests.cpu, SPARE.cpu)),
          'limits.cpu': cpuQuantity(sum(c => c.limits.cpu, SPARE.cpu)),
          'requests.memory': mebibytesQuantity(sum(c => c.requests.memoryMebibytes, SPARE.memoryMebibytes)),
          'limits.memory': mebibytesQuantity(sum(c => c.limits.memoryMebibytes, SPARE.memoryMebibytes)),
          'limits.ephemeral-storage': mebibytesQuantity(sum(c => c.ephemeralMebibytes, SPARE.ephemeralMebibytes)),
          persistentvolumeclaims: countQuantity(claims.length),
          'requests.storage': mebibytesQuantity(claims.reduce((total, { gibibytes }) => total + gibibytes * 1024, 0)),
          // The Service of an edge that runs here is reached from outside, at two ports.
          'services.nodeports': countQuantity(edgeRunsHere(settings) ? 2 : 0),
          'services.loadbalancers': countQuantity(edgeRunsHere(settings) ? 1 : 0),
          [`requests.${gpu.resourceName}`]: countQuantity(gpus),
        },
      },
    });
    new k8s.KubeLimitRange(this, 'limits', {
      metadata: { name: 'orfeas' },
      spec: {
        limits: [
          {
            type: 'Container',
            defaultRequest: { cpu: cpuQuantity(0.05), memory: mebibytesQuantity(64), 'ephemeral-storage': mebibytesQuantity(64) },
            default: { cpu: cpuQuantity(0.5), memory: mebibytesQuantity(256), 'ephemeral-storage': mebibytesQuantity(256) },
          },
        ],
      },
    });
  }
}

import type { Cluster } from './cluster';
import { deleteJob, type FollowProps, followJob, stamp } from './cron-jobs';
import { CommandError } from './errors';
import type { Deployment, Job, KubernetesObject } from './objects';

const containersOf = (deployment: Deployment | undefined) => {
  const pod = deployment?.spec?.template.spec;
  return [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])];
};

/**
 * Pulls the images that a Deployment is to change to, where its pods will run, while the old ones go on: with the strategy
 * Recreate these stop first, and nothing would run until the new images are there, if they ever are.
 *
 * @returns The images that were pulled; none where they are those that run.
 * @throws CommandError with the reason when one cannot be pulled.
 */
export async function pullAhead(
  cluster: Cluster,
  manifest: KubernetesObject,
  { signal, onProgress }: Pick<FollowProps, 'signal' | 'onProgress'>,
): Promise<string[]> {
  const live = await cluster.get<Deployment>(manifest);
  const wanted = manifest as unknown as Deployment;
  const running = new Set(containersOf(live).map(({ image }) => image));
  const changed = new Map(containersOf(wanted).map(container => [container.image ?? '', container]));
  for (const image of running) changed.delete(image ?? '');
  if (live === undefined || changed.size === 0) return [];

  const { affinity, imagePullSecrets, nodeSelector, runtimeClassName, securityContext, tolerations } = wanted.spec?.template.spec ?? {};
  const job: Job = await cluster.create({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: `pull-${manifest.metadata.name}-${stamp()}`, namespace: manifest.metadata.namespace },
    spec: {
      backoffLimit: 0,
      ttlSecondsAfterFinished: 300,
      template: {
        spec: {
          restartPolicy: 'Never',
          automountServiceAccountToken: false,
          ...{ affinity, imagePullSecrets, nodeSelector, runtimeClassName, securityContext, tolerations },
          containers: [...changed.values()].map((container, index) => ({
            name: `image-${index}`,
            image: container.image,
            imagePullPolicy: container.imagePullPolicy,
            securityContext: container.securityContext,
            command: ['true'],
          })),
        },
      },
    },
  } as unknown as Job & { apiVersion: string; kind: string });
  try {
    const { succeeded, problem } = await followJob(cluster, job, { signal, onProgress, onLine: () => {} });
    if (!succeeded) throw new CommandError(problem);
    return [...changed.keys()];
  } finally {
    await deleteJob(cluster, job);
  }
}

import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { ownImage } from '../config/images';
import type { ClaimSettings, ContainerResources, Settings } from '../config/schema';
import { ephemeralVolume } from './claim';
import { podLabels } from './labels';
import { type Groups, restrictedContainer, restrictedPod, scratch, toResources } from './restricted';
import { pullSecrets } from './workload';

/** User and group of images/backup. */
export const BACKUP_USER = 10006;
/** Room in MiB for packs of 64 MiB that restic fills, and up to five that are on their way to a store. */
export const TMP_MEBIBYTES = 768;
const HOUR_SECONDS = 3600;
/** A schedule must have one, even where it is suspended. */
const SUSPENDED_SCHEDULE = '0 0 1 1 *';

const claimFolder = (name: string): string => `/volumes/${name}`;

/** A claim as a whole, where the program looks for it. */
export const claimMount = (name: string): k8s.VolumeMount => ({ name, mountPath: claimFolder(name) });

/** Where the program keeps what it needs for the time of a run. */
export const scratchMount: k8s.VolumeMount = { name: 'scratch', mountPath: '/scratch' };

/** The same on a volume of its own, for more than a node's disk may be asked for. It comes and goes with the pod. */
export const scratchClaim = (claim: ClaimSettings): k8s.Volume => ephemeralVolume(scratchMount.name, claim);

export const variables = (values: Readonly<Record<string, string | number>>): k8s.EnvVar[] =>
  Object.entries(values).map(([name, value]) => ({ name, value: `${value}` }));

/** What every container of the image is told of the studio. */
const studio = ({ namespace, environment, images }: Settings): k8s.EnvVar[] =>
  variables({ NAMESPACE: namespace, ENVIRONMENT: environment, STUDIO_VERSION: images.version, PYTHONUNBUFFERED: 1 });

export interface BackupContainerProps {
  readonly name: string;
  readonly args: readonly string[];
  /** The image's own when absent. */
  readonly uid?: number;
  readonly resources: ContainerResources;
  readonly environment: readonly k8s.EnvVar[];
  readonly mounts: readonly k8s.VolumeMount[];
}

/** A container of images/backup. */
export function backupContainer(
  settings: Settings,
  { name, args, uid = BACKUP_USER, resources, environment, mounts }: BackupContainerProps,
): k8s.Container {
  const { images } = settings;
  return {
    name,
    image: ownImage(images, 'backup'),
    imagePullPolicy: images.pullPolicy,
    args: [...args],
    env: [...studio(settings), ...environment],
    resources: toResources(resources),
    securityContext: restrictedContainer(uid),
    volumeMounts: [...mounts, { name: 'tmp', mountPath: '/tmp' }],
  };
}

export interface BackupCronJobProps {
  readonly settings: Settings;
  readonly name: string;
  /** Cron schedule; never by itself when absent: the command makes Jobs of the template. */
  readonly schedule?: string;
  /** How long a Job stays after its end; as far as the history reaches when absent, or an hour without a schedule. */
  readonly keptSeconds?: number;
  /** Longest that a Job may take; as long as it needs when absent. */
  readonly deadlineHours?: number;
  readonly backoffLimit: number;
  readonly groups: Groups;
  readonly pod: k8s.PodSpec;
}

/** What the CronJobs of the backup share. */
export class BackupCronJob extends Construct {
  constructor(
    scope: Construct,
    id: string,
    { settings, name, schedule, keptSeconds, deadlineHours, backoffLimit, groups, pod }: BackupCronJobProps,
  ) {
    super(scope, id);
    const ttlSecondsAfterFinished = keptSeconds ?? (schedule === undefined ? HOUR_SECONDS : undefined);
    const labels = podLabels(this);
    new k8s.KubeCronJob(this, 'cron-job', {
      metadata: { name },
      spec: {
        schedule: schedule ?? SUSPENDED_SCHEDULE,
        timeZone: settings.backup.timeZone,
        suspend: schedule === undefined,
        concurrencyPolicy: 'Forbid',
        // A start that was missed, such as for a cluster that was down, is made up for.
        startingDeadlineSeconds: 6 * HOUR_SECONDS,
        successfulJobsHistoryLimit: 3,
        failedJobsHistoryLimit: 3,
        jobTemplate: {
          metadata: { labels },
          spec: {
            backoffLimit,
            ...(deadlineHours && { activeDeadlineSeconds: deadlineHours * HOUR_SECONDS }),
            ...(ttlSecondsAfterFinished && { ttlSecondsAfterFinished }),
            template: {
              metadata: { labels },
              spec: {
                ...restrictedPod(BACKUP_USER, groups),
                ...pullSecrets(settings.images.pullSecrets),
                restartPolicy: 'Never',
                // restic knows by it that a lock is one of its own, whose process is gone.
                hostname: `${settings.namespace}-${name}`,
                // restic removes its lock when it is told to stop.
                terminationGracePeriodSeconds: 60,
                ...pod,
                volumes: [...(pod.volumes ?? []), scratch('tmp', TMP_MEBIBYTES)],
              },
            },
          },
        },
      },
    });
  }
}

import { Construct } from 'constructs';
import type { ClaimSettings, Settings } from '../config/schema';
import { redisEnvironment } from './backup';
import {
  BACKUP_USER,
  BackupCronJob,
  backupContainer,
  claimMount,
  scratchClaim,
  scratchMount,
  TMP_MEBIBYTES,
  variables,
} from './backup-cron-job';
import { repositoryAccess } from './backup-repository';
import type { Claim } from './claim';
import { type Labels, selectorLabels } from './labels';
import { besideHolders, type Holding } from './placement';
import type { Redis } from './redis';
import type { Footprint, MetricsPort, Workload } from './workload';

export interface BackupVerifyProps {
  readonly settings: Settings;
  readonly redis: Redis;
  /** What it compares a backup with. */
  readonly outputs: Holding;
  /** The claim backups, where that is the repository. */
  readonly repository: Claim | undefined;
  /** Where it restores a backup to, for the time of a run. */
  readonly target: ClaimSettings;
}

/** The volume of a run goes with its Job: the quota has room for one. */
const KEPT_SECONDS = 3600;

/** Reads a share of the backups back each week, restores the newest, and compares it. */
export class BackupVerify extends Construct implements Workload {
  readonly name = 'backup-verify';
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[] = [];

  constructor(scope: Construct, id: string, { settings, redis, outputs, repository, target }: BackupVerifyProps) {
    super(scope, id);
    const { verify, resources: usual } = settings.backup;
    const resources = { ...usual, ephemeralMebibytes: TMP_MEBIBYTES };
    this.selector = selectorLabels(this);
    this.footprint = { pods: 1, containers: [resources], gpus: 0 };

    const access = repositoryAccess(settings, repository?.volume);
    new BackupCronJob(this, 'cron-job', {
      settings,
      name: this.name,
      schedule: verify.schedule,
      keptSeconds: KEPT_SECONDS,
      deadlineHours: 12,
      backoffLimit: 1,
      groups: { fsGroup: BACKUP_USER, supplementalGroups: [outputs.holder.uid] },
      pod: {
        ...besideHolders(settings, [outputs]),
        containers: [
          backupContainer(settings, {
            name: 'verify',
            args: ['verify'],
            resources,
            environment: [
              ...access.environment,
              ...redisEnvironment(settings, redis),
              ...variables({ VERIFY_PERCENT: verify.dataPercent }),
            ],
            mounts: [
              ...outputs.claims.map(({ name }) => ({ ...claimMount(name), readOnly: true })),
              ...access.mounts,
              redis.password.mount,
              scratchMount,
            ],
          }),
        ],
        volumes: [
          ...outputs.claims.map(({ readOnlyVolume }) => readOnlyVolume),
          ...access.volumes,
          redis.password.volume,
          scratchClaim(target),
        ],
      },
    });
  }
}

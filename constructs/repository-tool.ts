import { Construct } from 'constructs';
import type { ClaimSettings, Settings } from '../config/schema';
import { BACKUP_USER, BackupCronJob, backupContainer, scratchClaim, scratchMount, TMP_MEBIBYTES } from './backup-cron-job';
import { repositoryAccess } from './backup-repository';
import type { Claim } from './claim';
import { type Labels, selectorLabels } from './labels';
import { whereVolumesAre } from './placement';
import type { Footprint, MetricsPort, Workload } from './workload';

export interface RepositoryToolProps {
  readonly settings: Settings;
  /** The claim backups, where that is the repository. */
  readonly repository: Claim | undefined;
  /** Where it unpacks a backup that comes as a zip. */
  readonly unpacked: ClaimSettings;
}

/** What `orfeas` makes Jobs of to look into the repository, and to give and take backups. They reach it, and nothing else. */
export class RepositoryTool extends Construct implements Workload {
  readonly name = 'backup-repository';
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[] = [];

  constructor(scope: Construct, id: string, { settings, repository, unpacked }: RepositoryToolProps) {
    super(scope, id);
    const resources = { ...settings.backup.resources, ephemeralMebibytes: TMP_MEBIBYTES };
    this.selector = selectorLabels(this);
    this.footprint = { pods: 1, containers: [resources], gpus: 0 };

    const access = repositoryAccess(settings, repository?.volume);
    new BackupCronJob(this, 'cron-job', {
      settings,
      name: this.name,
      deadlineHours: 12,
      backoffLimit: 0,
      groups: { fsGroup: BACKUP_USER },
      pod: {
        ...whereVolumesAre(settings, repository ? [repository] : []),
        containers: [
          backupContainer(settings, {
            name: 'repository',
            args: ['list'],
            resources,
            environment: access.environment,
            mounts: [...access.mounts, scratchMount],
          }),
        ],
        volumes: [...access.volumes, scratchClaim(unpacked)],
      },
    });
  }
}

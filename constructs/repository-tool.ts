import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { BACKUP_USER, BackupCronJob, backupContainer, scratchMount, TMP_MEBIBYTES } from './backup-cron-job';
import { repositoryAccess } from './backup-repository';
import type { Claim } from './claim';
import { type Labels, selectorLabels } from './labels';
import { whereVolumesAre } from './placement';
import { scratch } from './restricted';
import type { Footprint, MetricsPort, Workload } from './workload';

export interface RepositoryToolProps {
  readonly settings: Settings;
  /** The claim backups, where that is the repository. */
  readonly repository: Claim | undefined;
}

/** What `orfeas` makes Jobs of to look into the repository. They reach it, and nothing else. */
export class RepositoryTool extends Construct implements Workload {
  readonly name = 'backup-repository';
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly metrics: readonly MetricsPort[] = [];

  constructor(scope: Construct, id: string, { settings, repository }: RepositoryToolProps) {
    super(scope, id);
    const resources = { ...settings.backup.resources, ephemeralMebibytes: derive.BACKUP_CACHE_MEBIBYTES + TMP_MEBIBYTES };
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
        volumes: [...access.volumes, scratch(scratchMount.name, derive.BACKUP_CACHE_MEBIBYTES)],
      },
    });
  }
}

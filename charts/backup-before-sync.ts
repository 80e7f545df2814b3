import { ApiObject } from 'cdk8s';
import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { BackupBeforeSync } from '../constructs/backup-before-sync';
import { StudioChart } from '../constructs/studio-chart';

export interface BackupBeforeSyncChartProps {
  readonly settings: Settings;
}

/** A backup before anything changes that has data. Its objects are there only while Argo CD applies changes. */
export class BackupBeforeSyncChart extends StudioChart {
  constructor(scope: Construct, id: string, { settings }: BackupBeforeSyncChartProps) {
    const { namespace, images } = settings;
    super(scope, id, { namespace, identity: { name: BackupBeforeSync.title, component: 'backup', version: images.version } });
    new BackupBeforeSync(this, 'backup-before-sync', { settings });
    for (const object of this.node.findAll().filter(ApiObject.isApiObject)) {
      object.metadata.addAnnotation('argocd.argoproj.io/hook', 'Sync');
      // The Job of a failed backup stays, for its log.
      object.metadata.addAnnotation('argocd.argoproj.io/hook-delete-policy', 'BeforeHookCreation,HookSucceeded');
    }
  }
}

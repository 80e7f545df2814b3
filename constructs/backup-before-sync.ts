import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { Account } from './account';
import { BACKUP_USER, backupContainer, TMP_MEBIBYTES } from './backup-cron-job';
import { podLabels, selectorLabels } from './labels';
import { apiServerRule } from './network-policies';
import { restrictedPod, scratch } from './restricted';
import { pullSecrets } from './workload';

/** It waits for another pod. */
const RESOURCES = {
  requests: { cpu: 0.01, memoryMebibytes: 32 },
  limits: { cpu: 0.2, memoryMebibytes: 64 },
  ephemeralMebibytes: TMP_MEBIBYTES,
};

export interface BackupBeforeSyncProps {
  readonly settings: Settings;
}

/**
 * Has CronJob/backup make a backup, and waits for it. It is not that pod itself: in a studio that is not there yet, this would
 * wait for the backend's node, and bind claims to another. So it needs a right that it has only while Argo CD applies changes.
 */
export class BackupBeforeSync extends Construct {
  static readonly title = 'backup-before-sync';

  constructor(scope: Construct, id: string, { settings }: BackupBeforeSyncProps) {
    super(scope, id);
    const { namespace, network, images } = settings;
    const name = BackupBeforeSync.title;
    const labels = podLabels(this);
    const account = new Account(this, 'account', {
      name,
      namespace,
      rules: [
        { apiGroups: ['apps'], resources: ['deployments'], resourceNames: ['backend'], verbs: ['get'] },
        { apiGroups: ['batch'], resources: ['cronjobs'], resourceNames: ['backup'], verbs: ['get'] },
        { apiGroups: ['batch'], resources: ['jobs'], verbs: ['create', 'get'] },
      ],
    });
    new k8s.KubeNetworkPolicy(this, 'network-policy', {
      metadata: { name: `${name}-to-api-server` },
      spec: {
        podSelector: { matchLabels: { ...selectorLabels(this) } },
        policyTypes: ['Ingress', 'Egress'],
        egress: [apiServerRule(network.apiServer)],
      },
    });
    new k8s.KubeJob(this, 'job', {
      metadata: { name },
      spec: {
        // Argo CD itself tries again, as often as the Application says.
        backoffLimit: 0,
        template: {
          metadata: { labels },
          spec: {
            ...restrictedPod(BACKUP_USER),
            ...pullSecrets(images.pullSecrets),
            restartPolicy: 'Never',
            serviceAccountName: account.name,
            containers: [
              backupContainer(settings, {
                name: 'backup',
                args: ['before-sync'],
                resources: RESOURCES,
                environment: [],
                mounts: [account.mount],
              }),
            ],
            volumes: [account.volume, scratch('tmp', TMP_MEBIBYTES)],
          },
        },
      },
    });
  }
}

import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import { upstreamImage } from '../config/images';
import type { BundledStack, Settings } from '../config/schema';
import type { Claim } from './claim';
import { ConfigFiles } from './config-files';
import { DisruptionBudget } from './disruption-budget';
import { VOLUME_EXPORTER_PORT, volumeExporter } from './exporter';
import { type Labels, podLabels, selectorLabels } from './labels';
import { inhibitRules } from './prometheus-rules';
import { restrictedContainer, restrictedPod, toResources } from './restricted';
import { type Footprint, type MetricsPort, pullSecrets, type Workload } from './workload';

/** Above the ids of the node's own users. The image runs as any user that owns its data. */
const UID = 10005;
const CONFIG = '/etc/alertmanager/orfeas';
const RECEIVER = '/etc/alertmanager/receiver';
/** What Alertmanager calls the file with a receiver's address. */
const URL_FILE_OPTION = { webhook: 'url_file', slack: 'api_url_file' } as const;

export type AlertmanagerSettings = Extract<BundledStack['alertmanager'], { source: 'bundled' }>;

export interface AlertmanagerProps {
  readonly settings: Settings;
  readonly alertmanager: AlertmanagerSettings;
  readonly data: Claim;
}

/** Alertmanager: groups alerts, leaves out those that another one explains, and tells the operator. */
export class Alertmanager extends Construct implements Workload {
  readonly name = 'alertmanager';
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly port = 9093;
  readonly metrics: readonly MetricsPort[] = [{ name: 'web', number: this.port }, VOLUME_EXPORTER_PORT];

  constructor(scope: Construct, id: string, { settings, alertmanager, data }: AlertmanagerProps) {
    super(scope, id);
    const { images, monitoring } = settings;
    this.selector = selectorLabels(this);
    this.footprint = { pods: 1, containers: [alertmanager.resources, monitoring.exporter], gpus: 0 };

    const config = new ConfigFiles(this, 'files', {
      name: 'alertmanager-files',
      files: {
        'alertmanager/alertmanager.yaml': {
          inhibit_rules: JSON.stringify(inhibitRules()),
          receiver: alertmanager.receiver,
          url_file_option: URL_FILE_OPTION[alertmanager.receiver],
          url_file: `${RECEIVER}/url`,
        },
      },
    });

    const ports = [{ name: 'web', port: this.port }];
    new k8s.KubeService(this, 'service', { metadata: { name: this.name }, spec: { selector: { ...this.selector }, ports } });
    const headless = new k8s.KubeService(this, 'headless', {
      metadata: { name: 'alertmanager-headless' },
      spec: { clusterIp: 'None', selector: { ...this.selector }, ports, publishNotReadyAddresses: true },
    });

    const get = (path: string): k8s.Probe => ({ httpGet: { path, port: k8s.IntOrString.fromString('web') }, timeoutSeconds: 5 });
    new k8s.KubeStatefulSet(this, 'stateful-set', {
      metadata: { name: this.name },
      spec: {
        serviceName: headless.name,
        replicas: 1,
        selector: { matchLabels: { ...this.selector } },
        template: {
          metadata: { labels: podLabels(this), annotations: { 'checksum/config': config.checksum } },
          spec: {
            ...restrictedPod(UID),
            ...pullSecrets(images.pullSecrets),
            containers: [
              {
                name: 'alertmanager',
                image: upstreamImage(images, 'alertmanager'),
                imagePullPolicy: images.pullPolicy,
                args: [
                  `--config.file=${CONFIG}/alertmanager.yaml`,
                  '--storage.path=/alertmanager',
                  // One of its own: it has no peers to gossip with.
                  '--cluster.listen-address=',
                  `--log.format=${settings.logging.format === 'json' ? 'json' : 'logfmt'}`,
                ],
                ports: [{ name: 'web', containerPort: this.port }],
                resources: toResources(alertmanager.resources),
                securityContext: restrictedContainer(UID),
                startupProbe: { ...get('/-/ready'), periodSeconds: 2, failureThreshold: 60 },
                readinessProbe: { ...get('/-/ready'), periodSeconds: 5, failureThreshold: 3 },
                livenessProbe: { ...get('/-/healthy'), periodSeconds: 30, failureThreshold: 3 },
                volumeMounts: [
                  { name: data.volume.name, mountPath: '/alertmanager' },
                  { name: config.volume.name, mountPath: CONFIG, readOnly: true },
                  { name: 'receiver', mountPath: RECEIVER, readOnly: true },
                ],
              },
              volumeExporter(settings, UID, data),
            ],
            volumes: [
              data.volume,
              config.volume,
              { name: 'receiver', secret: { secretName: alertmanager.receiverSecret, defaultMode: 0o440 } },
            ],
          },
        },
      },
    });

    new DisruptionBudget(this, 'disruption-budget', this);
  }
}

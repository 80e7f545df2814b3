import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import { upstreamImage } from '../config/images';
import type { BundledStack, Settings } from '../config/schema';
import { Account } from './account';
import { BACKUP_USER } from './backup-cron-job';
import type { Claim } from './claim';
import { ConfigFiles } from './config-files';
import { DisruptionBudget } from './disruption-budget';
import { VOLUME_EXPORTER_PORT, volumeExporter } from './exporter';
import type { Grafana } from './grafana';
import { type Labels, podLabels, selectorLabels } from './labels';
import type { Pods } from './network-policies';
import { beside } from './placement';
import { ruleFiles } from './prometheus-rules';
import { restrictedContainer, restrictedPod, toResources } from './restricted';
import { type Footprint, type MetricsPort, pullSecrets, type Workload } from './workload';

/** Above the ids of the node's own users. The image runs as any user that owns its data. */
const UID = 10004;
const CONFIG = '/etc/prometheus/orfeas';
const CREDENTIALS = '/etc/prometheus/credentials';

/** Values of the placeholders of a file that names a Service of another namespace. */
function exporterOf(settings: Settings, endpoint: string): Record<string, string | number> {
  const { host, port } = derive.addressOf(endpoint);
  return { host, port, namespace: settings.namespace };
}

export interface PrometheusProps {
  readonly settings: Settings;
  readonly stack: BundledStack;
  readonly data: Claim;
  /** Whose node it shares where it can, so that a backup finds all volumes there. */
  readonly backend: Pods;
  readonly grafana: Grafana;
  /** Further workloads whose pods are asked for metrics, besides Prometheus itself. */
  readonly workloads: readonly Workload[];
  /** Addresses of Alertmanagers, as <host>:<port>. */
  readonly alertmanagers: readonly string[];
}

/** Prometheus: asks the studio's pods for metrics, keeps them, and evaluates the rules. */
export class Prometheus extends Construct implements Workload {
  readonly name = 'prometheus';
  readonly uid = UID;
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly port = 9090;
  readonly metrics: readonly MetricsPort[] = [{ name: 'web', number: this.port }, VOLUME_EXPORTER_PORT];
  static readonly url = 'http://prometheus:9090';

  constructor(scope: Construct, id: string, { settings, stack, data, backend, grafana, workloads, alertmanagers }: PrometheusProps) {
    super(scope, id);
    const { images, monitoring, namespace, environment, storage } = settings;
    const { prometheus } = stack;
    this.selector = selectorLabels(this);
    this.footprint = { pods: 1, containers: [prometheus.resources, monitoring.exporter], gpus: 0 };

    const readByBackup = derive.readsMonitoringVolumes(settings);
    const rules = ruleFiles(settings);
    const clusterExporters = {
      ...(prometheus.kubeStateMetrics && {
        'prometheus/kube-state-metrics.yaml': exporterOf(settings, prometheus.kubeStateMetrics),
      }),
      ...(prometheus.dcgmExporter && { 'prometheus/dcgm-exporter.yaml': exporterOf(settings, prometheus.dcgmExporter) }),
    };
    const fileNames = (files: object): string => JSON.stringify(Object.keys(files).map(file => file.split('/').at(-1)));
    const credentials = [...new Set(prometheus.remoteWrite.flatMap(({ basicAuthSecret }) => basicAuthSecret ?? []))];
    const config = new ConfigFiles(this, 'files', {
      name: 'prometheus-files',
      files: {
        'prometheus/prometheus.yaml': {
          environment,
          namespace,
          scrape_interval_seconds: monitoring.scrapeIntervalSeconds,
          scrape_timeout_seconds: monitoring.scrapeTimeoutSeconds,
          retention_days: prometheus.retentionDays,
          retention_mebibytes: derive.metricsMebibytes(storage.prometheusData),
          rule_files: fileNames(rules),
          scrape_config_files: fileNames(clusterExporters),
          alertmanagers: JSON.stringify(alertmanagers.length > 0 ? [{ static_configs: [{ targets: alertmanagers }] }] : []),
          remote_write: JSON.stringify(
            prometheus.remoteWrite.map(({ url, basicAuthSecret }) => ({
              url,
              ...(basicAuthSecret && {
                basic_auth: {
                  username_file: `${CREDENTIALS}/${basicAuthSecret}/username`,
                  password_file: `${CREDENTIALS}/${basicAuthSecret}/password`,
                },
              }),
            })),
          ),
          grafana_metrics_path: `${grafana.basePath}/metrics`,
          targets: [...workloads, grafana, this].flatMap(({ name, metrics }) => metrics.map(port => `${name};${port.name}`)).join('|'),
        },
        ...clusterExporters,
        ...rules,
      },
    });

    const account = new Account(this, 'account', {
      name: this.name,
      namespace,
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] }],
    });

    const service = (id: string, name: string, spec: k8s.ServiceSpec) =>
      new k8s.KubeService(this, id, {
        metadata: { name },
        spec: { selector: { ...this.selector }, ports: [{ name: 'web', port: this.port }], ...spec },
      });
    service('service', this.name, {});
    const headless = service('headless', 'prometheus-headless', { clusterIp: 'None', publishNotReadyAddresses: true });

    const get = (path: string): k8s.Probe => ({ httpGet: { path, port: k8s.IntOrString.fromString('web') }, timeoutSeconds: 5 });
    new k8s.KubeStatefulSet(this, 'stateful-set', {
      metadata: { name: this.name },
      spec: {
        serviceName: headless.name,
        replicas: 1,
        selector: { matchLabels: { ...this.selector } },
        template: {
          // A changed file needs no restart: Prometheus reads it again.
          metadata: { labels: podLabels(this) },
          spec: {
            // A backup's pod writes to the volume as well, and no volume may change hands.
            ...restrictedPod(UID, { fsGroup: readByBackup ? BACKUP_USER : UID }),
            ...(readByBackup && beside(settings, backend, data)),
            ...pullSecrets(images.pullSecrets),
            serviceAccountName: account.name,
            terminationGracePeriodSeconds: 120,
            containers: [
              {
                name: 'prometheus',
                image: upstreamImage(images, 'prometheus'),
                imagePullPolicy: images.pullPolicy,
                args: [
                  `--config.file=${CONFIG}/prometheus.yaml`,
                  '--config.auto-reload',
                  '--storage.tsdb.path=/prometheus',
                  '--storage.tsdb.wal-compression',
                  ...(readByBackup ? ['--web.enable-admin-api'] : []),
                  `--log.format=${settings.logging.format === 'json' ? 'json' : 'logfmt'}`,
                ],
                ports: [{ name: 'web', containerPort: this.port }],
                resources: toResources(prometheus.resources),
                securityContext: restrictedContainer(UID),
                // After a crash it reads its write-ahead log first.
                startupProbe: { ...get('/-/ready'), periodSeconds: 2, failureThreshold: 300 },
                readinessProbe: { ...get('/-/ready'), periodSeconds: 5, failureThreshold: 3 },
                livenessProbe: { ...get('/-/healthy'), periodSeconds: 30, failureThreshold: 3 },
                volumeMounts: [
                  { name: data.volume.name, mountPath: '/prometheus' },
                  { name: config.volume.name, mountPath: CONFIG, readOnly: true },
                  account.mount,
                  ...credentials.map(name => ({ name, mountPath: `${CREDENTIALS}/${name}`, readOnly: true })),
                ],
              },
              volumeExporter(settings, UID, data),
            ],
            volumes: [
              data.volume,
              config.volume,
              account.volume,
              ...credentials.map(name => ({ name, secret: { secretName: name, defaultMode: 0o440 } })),
            ],
          },
        },
      },
    });

    new DisruptionBudget(this, 'disruption-budget', this);
  }
}

import { k8s } from 'cdk8s-plus-28';
import { Construct } from 'constructs';
import * as derive from '../config/derive';
import { upstreamImage } from '../config/images';
import type { BundledStack, Settings } from '../config/schema';
import { secrets } from '../config/secrets';
import type { Claim } from './claim';
import { ConfigFiles } from './config-files';
import type { Dashboards } from './dashboards';
import { DisruptionBudget } from './disruption-budget';
import { VOLUME_EXPORTER_PORT, volumeExporter } from './exporter';
import { type Labels, podLabels, selectorLabels } from './labels';
import type { Pods } from './network-policies';
import { beside } from './placement';
import { restrictedContainer, restrictedPod, scratch, toResources } from './restricted';
import { secretFolder } from './secret-folder';
import { type Footprint, type MetricsPort, pullSecrets, type Workload } from './workload';

const UID = 10007;
const CONFIG = '/etc/grafana';
const DASHBOARDS = `${CONFIG}/dashboards`;
const SECRET = `${CONFIG}/secret`;

export interface GrafanaProps {
  readonly settings: Settings;
  readonly stack: BundledStack;
  readonly data: Claim;
  /** Whose node it shares where it can, so that a backup finds all volumes there. */
  readonly backend: Pods;
  readonly prometheus: { readonly url: string };
  readonly dashboards: Dashboards;
}

/** Grafana: shows what Prometheus knows. Everything in it is provisioned, nothing is clicked. */
export class Grafana extends Construct implements Workload {
  readonly name = 'grafana';
  readonly uid = UID;
  readonly selector: Labels;
  readonly footprint: Footprint;
  readonly port = 3000;
  readonly metrics: readonly MetricsPort[] = [{ name: 'http', number: this.port }, VOLUME_EXPORTER_PORT];
  /** Below which it serves everything, its metrics included: none, or a path without a slash at its end. */
  readonly basePath: string;

  constructor(scope: Construct, id: string, { settings, stack: { grafana }, data, backend, prometheus, dashboards }: GrafanaProps) {
    super(scope, id);
    const { images, logging, monitoring } = settings;
    this.selector = selectorLabels(this);
    this.footprint = { pods: 1, containers: [grafana.resources, monitoring.exporter], gpus: 0 };
    this.basePath = grafana.access.by === 'path' ? grafana.access.path : '';

    const route = derive.grafanaRoute(settings);
    const config = new ConfigFiles(this, 'files', {
      name: 'grafana-files',
      files: {
        'grafana/grafana.ini': {
          root_url: `${route ? `https://${route.host}` : `http://localhost:${this.port}`}${this.basePath}/`,
          serve_from_sub_path: `${this.basePath !== ''}`,
          https: `${route !== undefined}`,
          admin_password_file: `${SECRET}/${secrets.grafana.key}`,
          home_dashboard: `${DASHBOARDS}/orfeas-overview.json`,
          log_format: logging.format === 'json' ? 'json' : 'text',
        },
        'grafana/datasources.yaml': { url: prometheus.url, scrape_interval: `${monitoring.scrapeIntervalSeconds}s` },
        'grafana/dashboards.yaml': { folder: DASHBOARDS },
      },
    });

    new k8s.KubeService(this, 'service', {
      metadata: { name: this.name },
      spec: { selector: { ...this.selector }, ports: [{ name: 'http', port: this.port }] },
    });

    const get = (path: string): k8s.Probe => ({
      httpGet: { path: `${this.basePath}${path}`, port: k8s.IntOrString.fromString('http') },
      timeoutSeconds: 5,
    });
    const password = secretFolder({
      secret: secrets.grafana.name,
      items: { [secrets.grafana.key]: secrets.grafana.key },
      mountPath: SECRET,
    });
    const file = (key: string, path: string): k8s.VolumeMount => ({
      name: config.volume.name,
      mountPath: `${CONFIG}/${path}`,
      subPath: key,
      readOnly: true,
    });
    new k8s.KubeDeployment(this, 'deployment', {
      metadata: { name: this.name },
      spec: {
        replicas: 1,
        selector: { matchLabels: { ...this.selector } },
        // Its database is on a volume that one node mounts, and is written by one process.
        strategy: { type: 'Recreate' },
        revisionHistoryLimit: 5,
        template: {
          // A changed dashboard needs no restart: Grafana reads it again.
          metadata: { labels: podLabels(this), annotations: { 'checksum/config': config.checksum } },
          spec: {
            ...restrictedPod(UID),
            ...(derive.readsMonitoringVolumes(settings) && beside(settings, backend, data)),
            ...pullSecrets(images.pullSecrets),
            containers: [
              {
                name: 'grafana',
                image: upstreamImage(images, 'grafana'),
                imagePullPolicy: images.pullPolicy,
                ports: [{ name: 'http', containerPort: this.port }],
                resources: toResources(grafana.resources),
                securityContext: restrictedContainer(UID),
                // At its first start it makes its database.
                startupProbe: { ...get('/api/health'), periodSeconds: 2, failureThreshold: 150 },
                readinessProbe: { ...get('/api/health'), periodSeconds: 10, failureThreshold: 3 },
                livenessProbe: { ...get('/healthz'), periodSeconds: 30, failureThreshold: 3 },
                volumeMounts: [
                  { name: data.volume.name, mountPath: '/var/lib/grafana' },
                  { name: 'tmp', mountPath: '/tmp' },
                  file('grafana.ini', 'grafana.ini'),
                  file('datasources.yaml', 'provisioning/datasources/orfeas.yaml'),
                  file('dashboards.yaml', 'provisioning/dashboards/orfeas.yaml'),
                  { name: 'dashboards', mountPath: DASHBOARDS, readOnly: true },
                  password.mount,
                ],
              },
              volumeExporter(settings, UID, data),
            ],
            volumes: [
              data.volume,
              config.volume,
              scratch('tmp', grafana.resources.ephemeralMebibytes),
              {
                name: 'dashboards',
                projected: { defaultMode: 0o444, sources: dashboards.names.map(name => ({ configMap: { name } })) },
              },
              password.volume,
            ],
          },
        },
      },
    });

    new DisruptionBudget(this, 'disruption-budget', this);
  }
}

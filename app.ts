import { App } from 'cdk8s';
import { BackendChart } from './charts/backend';
import { BackupChart } from './charts/backup';
import { BundledMonitoringChart } from './charts/bundled-monitoring';
import { EdgeChart } from './charts/edge';
import { NamespaceChart } from './charts/namespace';
import { OperatorMonitoringChart } from './charts/operator-monitoring';
import { PoliciesChart } from './charts/policies';
import { RedisChart } from './charts/redis';
import { SecretsChart } from './charts/secrets';
import { StorageChart } from './charts/storage';
import { WebChart } from './charts/web';
import type { Settings } from './config';
import { bundledStack, operatorStack } from './config/derive';
import { edgeRunsHere } from './config/edge';
import { acceptFindings } from './constructs/accepted-findings';
import type { Flow } from './constructs/network-policies';
import { NginxGateway } from './constructs/nginx-gateway';
import { StudioCertificate } from './constructs/studio-certificate';
import { numberWaves } from './constructs/sync-waves';

/** The whole studio of one environment. A chart's id is its file's name, and its number the order of applying. */
export function buildApp(settings: Settings): App {
  const app = new App();

  if (settings.secrets.mode !== 'cli') new SecretsChart(app, '15-secrets', { settings, secrets: settings.secrets });
  const storage = new StorageChart(app, '20-storage', { settings });
  const { redis } = new RedisChart(app, '30-redis', { settings, data: storage.redisData });
  const { backend } = new BackendChart(app, '40-backend', { settings, redis, storage });
  const { web } = new WebChart(app, '50-web', { settings, backend, serviceAnnotations: EdgeChart.serviceAnnotations(settings) });
  const watched = [redis, backend, web];

  const bundled = bundledStack(settings);
  const operator = operatorStack(settings);
  const own =
    bundled && storage.monitoring
      ? new BundledMonitoringChart(app, '70-monitoring', { settings, stack: bundled, claims: storage.monitoring, backend, watched })
      : undefined;
  const monitoring = operator ? new OperatorMonitoringChart(app, '70-monitoring', { settings, stack: operator, watched }) : own;
  const backup = settings.backup.enabled
    ? new BackupChart(app, '80-backup', { settings, storage, redis, backend, ...(own && { monitoring: own }) })
    : undefined;
  new EdgeChart(app, '60-edge', { settings, web, ...(own && { grafana: own.grafana }) });

  const flows: Flow[] = [
    { from: 'edge', to: web, ports: [web.port], why: 'What users ask for' },
    { from: web, to: 'dns', why: "The backend's address" },
    { from: web, to: backend, ports: [backend.port, backend.realtimePort], why: 'The API and models; Socket.IO' },
    { from: backend, to: 'dns', why: "Redis' address" },
    { from: backend, to: redis, ports: [redis.port], why: 'The queue, limits and events' },
    ...(monitoring?.flows ?? []),
    ...(backup?.flows ?? []),
  ];
  if (settings.model.engine === 'hunyuan3d' && !settings.model.offline)
    flows.push({ from: backend, to: 'internet', why: 'The model, until the caches have it' });
  const { certificate, namespaces } = settings.edge;
  if (certificate.source === 'lets-encrypt' && certificate.challenge.by === 'http-01')
    flows.push({ from: 'edge', to: StudioCertificate.solver, ports: [StudioCertificate.solverPort], why: "Let's Encrypt's challenge" });
  if (edgeRunsHere(settings)) {
    const { pods, ports, controllerPort } = NginxGateway;
    flows.push({ from: 'anywhere', to: pods, ports, why: 'What users ask for' });
    flows.push({ from: pods, to: 'dns', why: "The controller's address" });
    for (const namespace of namespaces) flows.push({ from: pods, to: { namespace }, ports: [controllerPort], why: 'What to serve' });
  }

  new PoliciesChart(app, '10-policies', { settings, flows });
  new NamespaceChart(app, '00-namespace', {
    settings,
    workloads: [...watched, ...(own?.workloads ?? []), ...(backup?.workloads ?? [])],
    claims: [...storage.claims.map(({ settings: claim }) => claim), ...(backup?.claims ?? [])],
  });
  acceptFindings(app, settings);
  numberWaves(app);
  return app;
}

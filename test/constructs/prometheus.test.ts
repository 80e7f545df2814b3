import { load } from 'js-yaml';
import { find, manifestsOf, settingsOf } from '../support';

type Monitoring = NonNullable<NonNullable<Parameters<typeof settingsOf>[1]>['monitoring']>;
const production = (monitoring: Monitoring = {}) => manifestsOf(settingsOf('production', { monitoring }));
// biome-ignore lint/suspicious/noExplicitAny: the shape is Prometheus' own
const configOf = (manifests: ReturnType<typeof manifestsOf>): any =>
  load(find(manifests, 'ConfigMap', 'prometheus-files').data['prometheus.yaml']);

const manifests = production();
const { spec } = find(manifests, 'StatefulSet', 'prometheus');
const [container] = spec.template.spec.containers;

test('samples are kept for 30 days, and never fill more than four fifths of the claim', () => {
  expect(configOf(manifests).storage.tsdb.retention).toEqual({ time: '30d', size: `${10 * 1024 * 0.8}MB` });
});
test('1 GB of memory and a claim by name', () => {
  expect(container.resources.limits.memory).toBe('1Gi');
  expect(spec.template.spec.volumes).toContainEqual({
    name: 'prometheus-data',
    persistentVolumeClaim: { claimName: 'prometheus-data' },
  });
});
test('a changed rule is read again and restarts nothing', () => {
  expect(container.args).toContain('--config.auto-reload');
  const other = find(production({ serviceLevel: { availability: 0.9 } }), 'StatefulSet', 'prometheus');
  expect(other.spec.template).toEqual(spec.template);
});
test('it may read the pods of its namespace and nothing else, with a token that lives for an hour', () => {
  expect(find(manifests, 'Role', 'prometheus').rules).toEqual([{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] }]);
  const { automountServiceAccountToken, volumes } = spec.template.spec;
  expect(automountServiceAccountToken).toBe(false);
  expect(volumes.flatMap(({ projected }: { projected?: { sources: object[] } }) => projected?.sources ?? [])).toContainEqual({
    serviceAccountToken: { path: 'token', expirationSeconds: 3600 },
  });
});
test('it asks each port that serves metrics, and no other', () => {
  const [{ relabel_configs }] = configOf(manifests).scrape_configs;
  expect(relabel_configs[0].regex.split('|').sort()).toEqual([
    'backend;http',
    'grafana;http',
    'grafana;metrics-volume',
    'prometheus;metrics-volume',
    'prometheus;web',
    'redis;metrics',
    'redis;metrics-volume',
    'web;metrics',
    'web;metrics-nginx',
  ]);
});
test('every port that serves metrics can be reached', () => {
  const [{ relabel_configs }] = configOf(manifests).scrape_configs;
  const asked = (relabel_configs[0].regex.split('|') as string[]).filter(target => !target.startsWith('prometheus;'));
  for (const target of asked) {
    const [name = '', portName] = target.split(';');
    const kind = name === 'redis' ? 'StatefulSet' : 'Deployment';
    const ports = find(manifests, kind, name).spec.template.spec.containers.flatMap(({ ports = [] }: { ports?: object[] }) => ports);
    const { containerPort } = ports.find((port: { name: string }) => port.name === portName);
    const open = find(manifests, 'NetworkPolicy', `${name}-from-prometheus`).spec.ingress[0].ports.map(
      ({ port }: { port: number }) => port,
    );
    expect({ target, open }).toEqual({ target, open: expect.arrayContaining([containerPort]) });
  }
});
test('credentials of a remote write are files of a Secret', () => {
  const remote = production({
    stack: {
      mode: 'bundled',
      prometheus: { remoteWrite: [{ url: 'https://metrics.example.org/api/v1/write', basicAuthSecret: 'remote-write' }] },
    },
  });
  expect(configOf(remote).remote_write).toEqual([
    {
      url: 'https://metrics.example.org/api/v1/write',
      basic_auth: {
        username_file: '/etc/prometheus/credentials/remote-write/username',
        password_file: '/etc/prometheus/credentials/remote-write/password',
      },
    },
  ]);
  expect(find(remote, 'NetworkPolicy', 'prometheus-to-internet').spec.egress[0].ports).toEqual([{ protocol: 'TCP', port: 443 }]);
});
test("the cluster's own exporters are asked in their namespaces", () => {
  const wired = production({
    stack: {
      mode: 'bundled',
      prometheus: { kubeStateMetrics: 'kube-state-metrics.monitoring:8080', dcgmExporter: 'dcgm-exporter.gpu-operator:9400' },
    },
  });
  expect(configOf(wired).scrape_config_files).toEqual(['kube-state-metrics.yaml', 'dcgm-exporter.yaml']);
  // biome-ignore lint/suspicious/noExplicitAny: the shape is Prometheus' own
  const file: any = load(find(wired, 'ConfigMap', 'prometheus-files').data['dcgm-exporter.yaml']);
  expect(file.scrape_configs[0].dns_sd_configs).toEqual([{ names: ['dcgm-exporter.gpu-operator.svc'], type: 'A', port: 9400 }]);
  const policy = find(wired, 'NetworkPolicy', 'prometheus-to-gpu-operator-9400');
  expect(policy.spec.egress).toEqual([
    {
      to: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'gpu-operator' } } }],
      ports: [{ protocol: 'TCP', port: 9400 }],
    },
  ]);
});
test('alerts go to the Alertmanager of its own, whose receiver is known from a Secret alone', () => {
  const own = production({ stack: { mode: 'bundled', alertmanager: { source: 'bundled', receiver: 'slack', receiverSecret: 'slack' } } });
  expect(configOf(own).alerting.alertmanagers).toEqual([{ static_configs: [{ targets: ['alertmanager:9093'] }] }]);
  // biome-ignore lint/suspicious/noExplicitAny: the shape is Alertmanager's own
  const config: any = load(find(own, 'ConfigMap', 'alertmanager-files').data['alertmanager.yaml']);
  expect(config.receivers[0].slack_configs).toEqual([{ api_url_file: '/etc/alertmanager/receiver/url', send_resolved: true }]);
  expect(config.route.group_by).toEqual(['namespace']);
  expect(config.inhibit_rules).not.toEqual([]);
});
test('or to those of the cluster', () => {
  const stack = {
    mode: 'bundled',
    alertmanager: { source: 'external', targets: ['alertmanager.monitoring:9093'] },
  } satisfies Monitoring['stack'];
  const wired = production({ stack });
  expect(configOf(wired).alerting.alertmanagers).toEqual([{ static_configs: [{ targets: ['alertmanager.monitoring:9093'] }] }]);
  expect(() => find(wired, 'StatefulSet', 'alertmanager')).toThrow();
});
test('two remote writes may share their credentials, which are mounted once', () => {
  const shared = production({
    stack: {
      mode: 'bundled',
      prometheus: {
        remoteWrite: ['a', 'b'].map(name => ({ url: `https://${name}.example.org/api/v1/write`, basicAuthSecret: 'remote-write' })),
      },
    },
  });
  const { volumes } = find(shared, 'StatefulSet', 'prometheus').spec.template.spec;
  expect(volumes.filter(({ name }: { name: string }) => name === 'remote-write')).toHaveLength(1);
});

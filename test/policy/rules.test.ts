import { environmentNames, loadSettings, type SettingsInput } from '../../config';
import { rules, violations } from '../../policy/rules';
import { find, gitopsOf, manifestsOf, settingsOf } from '../support';

describe.each(environmentNames)('%s', name => {
  const settings = loadSettings(name);
  const manifests = [...manifestsOf(settings), ...gitopsOf(settings).hooks];
  test.each(Object.entries(rules))('%s', (_, rule) => {
    expect(rule(manifests, settings)).toEqual([]);
  });
});

/** Settings that change which objects there are. */
const monitored: Record<string, SettingsInput['monitoring']> = {
  'monitoring off': { metrics: false },
  'a Prometheus Operator': { stack: { mode: 'operator' } },
  'all that a stack of its own may have': {
    stack: {
      mode: 'bundled',
      prometheus: {
        remoteWrite: [
          { url: 'https://metrics.example.org/api/v1/write', basicAuthSecret: 'remote-write' },
          { url: 'http://mimir.monitoring.svc:8080/api/v1/push' },
        ],
        kubeStateMetrics: 'kube-state-metrics.monitoring:8080',
        dcgmExporter: 'dcgm-exporter.gpu-operator:9400',
      },
      grafana: { access: { by: 'host', host: 'grafana.example.org' } },
      alertmanager: { source: 'bundled', receiverSecret: 'receiver' },
    },
  },
  'Alertmanagers of the cluster, and Grafana below a path': {
    stack: {
      mode: 'bundled',
      grafana: { access: { by: 'path' } },
      alertmanager: { source: 'external', targets: ['alertmanager.monitoring:9093'] },
    },
  },
};

const backedUp: Record<string, SettingsInput['backup']> = {
  'no backup': { enabled: false },
  'Secrets in the backup': { secrets: true },
  'a backup of the least': { models: false, monitoring: false },
  'a backup of clones': { readFrom: 'clones' },
  'backups in a bucket': {
    repository: { at: 's3', endpoint: 'https://s3.example.org', bucket: 'backups', credentialsSecret: 'bucket' },
  },
  'backups on a rest-server': { repository: { at: 'rest', url: 'https://backup.example.org/', credentialsSecret: 'rest-server' } },
  'backups on a server with SFTP': {
    repository: {
      at: 'sftp',
      host: 'nas.example.org',
      user: 'backup',
      path: '/srv/studio',
      keySecret: 'nas',
      addresses: ['192.0.2.10/32'],
    },
  },
};

const edges: SettingsInput['edge'][] = [
  { dialect: 'ingress-nginx', certificate: { source: 'self-signed' } },
  { dialect: 'nginx', certificate: { source: 'lets-encrypt', email: 'operator@example.com' } },
  { dialect: 'haproxy', certificate: { source: 'private-ca', caSecret: 'authority' } },
  { dialect: 'gateway-api', implementation: 'traefik' },
  { dialect: 'gateway-api', implementation: 'envoy-gateway', certificate: { source: 'lets-encrypt', email: 'operator@example.com' } },
  { dialect: 'gateway-api', implementation: 'nginx-gateway-fabric' },
];
const grafanaOutside: SettingsInput['monitoring'] = {
  stack: { mode: 'bundled', grafana: { access: { by: 'host', host: 'grafana.example.org' } } },
};

const variants: [string, Partial<SettingsInput>][] = [
  ...edges.map((edge): [string, Partial<SettingsInput>] => [JSON.stringify(edge), { edge, monitoring: grafanaOutside }]),
  ...Object.entries(monitored).map(([name, monitoring]): [string, Partial<SettingsInput>] => [name, { monitoring }]),
  ...Object.entries(backedUp).map(([name, backup]): [string, Partial<SettingsInput>] => [name, { backup }]),
];

describe.each(variants)('production with %s', (_, changes) => {
  const settings = settingsOf('production', changes);
  test('keeps every rule', () => {
    expect(violations([...manifestsOf(settings), ...gitopsOf(settings).hooks], settings)).toEqual([]);
  });
});

describe('a rule finds what breaks it', () => {
  const settings = loadSettings('production');
  // biome-ignore lint/suspicious/noExplicitAny: breaks what its type forbids
  type Break = (manifests: any[], of: (kind: string, name: string) => any) => void;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  const pod = (of: (kind: string, name: string) => any) => of('Deployment', 'backend').spec.template.spec;

  const breaks: Record<string, Break> = {
    'no two objects share kind, namespace and name': (all, of) => all.push(of('Service', 'web')),
    'every name is a DNS label': (_, of) => {
      of('Service', 'web').metadata.name = 'Web';
    },
    'every object but the namespace is in the namespace': (_, of) => {
      of('Service', 'web').metadata.namespace = 'default';
    },
    'no text says undefined, NaN or [object Object]': (_, of) => {
      of('ConfigMap', 'backend-env').data.REDIS_HOST = 'undefined';
    },
    'no Secret is written out': (_, of) => {
      of('ConfigMap', 'backend-env').kind = 'Secret';
    },
    'every object has the six labels': (_, of) => {
      delete of('Service', 'web').metadata.labels['app.kubernetes.io/component'];
    },
    'every pod has the six labels': (_, of) => {
      delete of('Deployment', 'web').spec.template.metadata.labels['app.kubernetes.io/version'];
    },
    'the namespace enforces, audits and warns restricted': (_, of) => {
      of('Namespace', 'orfeas').metadata.labels['pod-security.kubernetes.io/enforce'] = 'baseline';
    },
    'selectors name only what never changes, and select their own pods': (_, of) => {
      of('Deployment', 'web').spec.selector.matchLabels['app.kubernetes.io/version'] = '0.1.0';
    },
    'every Service leads to named ports of pods': (_, of) => {
      of('Service', 'web').spec.ports[0].targetPort = 9;
    },
    'every Ingress leads to a Service, over TLS or a redirect': (_, of) => {
      delete of('Ingress', 'studio').spec.tls;
    },
    'every HTTPRoute leads to a Service over TLS, or redirects': all =>
      all.push({
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'HTTPRoute',
        metadata: { name: 'open', namespace: 'orfeas' },
        spec: { parentRefs: [{ name: 'studio', sectionName: 'http' }], rules: [{ backendRefs: [{ name: 'web' }] }] },
      }),
    'every Deployment and StatefulSet has a disruption budget': (all, of) => all.splice(all.indexOf(of('PodDisruptionBudget', 'redis')), 1),
    'every pod is denied all traffic that no policy allows': (_, of) => {
      of('NetworkPolicy', 'default-deny').spec.policyTypes = ['Ingress'];
    },
    'no policy allows everything': (_, of) => {
      of('NetworkPolicy', 'default-deny').spec.ingress = [{}];
    },
    'every Secret that is referred to is one that the operator makes': (_, of) => {
      pod(of).volumes.push({ name: 'x', secret: { secretName: 'orfeas-app', items: [{ key: 'x', path: 'x' }], defaultMode: 0o440 } });
    },
    'no Secret is an environment variable': (_, of) => {
      pod(of).containers[0].env.push({ name: 'X', valueFrom: { secretKeyRef: { name: 'orfeas-app', key: 'SECRET_KEY' } } });
    },
    'the files of a Secret are read by the group alone, or by the one pod whose users share none': (_, of) => {
      pod(of).volumes.find(({ name }: { name: string }) => name === 'orfeas-app').secret.defaultMode = 0o444;
    },
    'every ConfigMap and claim that is referred to exists': (all, of) => all.splice(all.indexOf(of('PersistentVolumeClaim', 'outputs')), 1),
    'every claim stays when its manifest goes': (_, of) => {
      of('PersistentVolumeClaim', 'outputs').metadata.annotations = {};
    },
    'every mount has its volume, and every volume its mount': (_, of) => {
      pod(of).volumes.pop();
    },
    'every scratch volume is limited': (_, of) => {
      pod(of).volumes.push({ name: 'unlimited', emptyDir: {} });
    },
    'pods roll when their configuration changes, or read it again': (_, of) => {
      delete of('Deployment', 'web').spec.template.metadata.annotations;
    },
    'every pod runs as a high, numeric user with the default seccomp profile': (_, of) => {
      pod(of).securityContext.runAsUser = 999;
    },
    'no pod gets a token or the environment of other Services': (_, of) => {
      delete pod(of).automountServiceAccountToken;
    },
    'no account has rights beyond the namespace, or to change anything, or to Secrets, or to everything': (_, of) => {
      of('Role', 'prometheus').rules[0].resources.push('secrets');
    },
    'a token is projected into one container alone, of a pod whose account has a Role': (_, of) => {
      const { containers, initContainers } = of('CronJob', 'backup').spec.jobTemplate.spec.template.spec;
      initContainers[0].volumeMounts.push(containers[0].volumeMounts.find(({ name }: { name: string }) => name === 'service-account'));
    },
    'every CronJob runs once at a time, in a named time zone, and makes up for a missed start': (_, of) => {
      of('CronJob', 'backup').spec.startingDeadlineSeconds = 10;
    },
    'a backup can change no claim but its repository, and no more of Prometheus than a snapshot': (_, of) => {
      of('CronJob', 'backup').spec.jobTemplate.spec.template.spec.containers[0].volumeMounts.push({
        name: 'prometheus-data',
        mountPath: '/elsewhere',
      });
    },
    'no pod shares the host': (_, of) => {
      pod(of).hostNetwork = true;
    },
    'every container is unprivileged over a read-only root': (_, of) => {
      pod(of).containers[1].securityContext.capabilities.add = ['SYS_ADMIN'];
    },
    'every container asks for and is limited in CPU, memory and scratch space': (_, of) => {
      delete pod(of).containers[1].resources.limits.memory;
    },
    'every long-running container has three probes, ready and alive by different means': (_, of) => {
      const { containers } = pod(of);
      containers[0].readinessProbe = containers[0].livenessProbe;
    },
    'every probe asks a port that its container has': (_, of) => {
      pod(of).containers[0].startupProbe.httpGet.port = 80;
    },
    'every port has a name': (_, of) => {
      delete pod(of).containers[0].ports[0].name;
    },
    'every image has a version, and one of others a digest where digests are asked for': (_, of) => {
      of('StatefulSet', 'redis').spec.template.spec.containers[0].image = 'docker.io/library/redis:8';
    },
    'no environment variable is set twice, or carries a secret in the open': (_, of) => {
      pod(of).containers[0].env.push({ name: 'REDIS_PASSWORD', value: 'x' });
    },
    'the backend asks for the GPUs that the settings name, in one container alone': (_, of) => {
      delete pod(of).containers[1].resources.limits['nvidia.com/gpu'];
    },
  };

  test('each rule has a case here', () => {
    expect(Object.keys(breaks).sort()).toEqual(Object.keys(rules).sort());
  });
  test.each(Object.entries(breaks))('%s', (rule, act) => {
    const manifests = structuredClone(manifestsOf(settings));
    act(manifests, (kind, name) => find(manifests, kind, name));
    expect(violations(manifests, settings).filter(found => found.startsWith(`${rule}: `))).not.toEqual([]);
  });
});

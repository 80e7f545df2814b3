import type { KubernetesObject } from '../../cli/objects';
import { type Finding, preflight, versionFindings } from '../../cli/preflight';
import { loadSettings, type Settings } from '../../config';
import { FakeCluster } from './fake-cluster';

const namespace = 'orfeas-local';
const local = loadSettings('local');
const withGpu: Settings = { ...local, gpu: { ...local.gpu, perPod: 1 } };

let fake: FakeCluster;
beforeEach(async () => {
  fake = await FakeCluster.start();
});
afterEach(() => fake.stop());

const check = async (objects: readonly KubernetesObject[], settings = local): Promise<Finding[]> =>
  (await preflight(fake.connect(), { settings, objects })).findings;

const claim = (storageClassName?: string): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'outputs', namespace },
  spec: { ...(storageClassName && { storageClassName }) },
});

describe('the version of Kubernetes', () => {
  test.each(['v1.29.0', 'v1.34.1', 'v1.33.4-gke.1', 'v1.32.5+k3s1', 'v2.0.0'])('%s is recent enough', version => {
    expect(versionFindings(version)).toEqual([]);
  });
  test.each(['v1.28.15', 'v1.9.0', 'unknown'])('%s is not', version => {
    expect(versionFindings(version)).toEqual([expect.objectContaining({ severity: 'error' })]);
  });
});

test('a kind that the cluster does not know is an error with what to install', async () => {
  const issuer: KubernetesObject = { apiVersion: 'cert-manager.io/v1', kind: 'Issuer', metadata: { name: 'lets-encrypt', namespace } };
  expect(await check([issuer])).toContainEqual({
    severity: 'error',
    message: 'the cluster knows no Issuer of cert-manager.io/v1',
    remedy: expect.stringContaining('install cert-manager'),
  });
});

test('without the Prometheus Operator its kinds are an error with both ways out', async () => {
  const rule: KubernetesObject = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'orfeas', namespace },
  };
  expect((await check([rule]))[0]?.remedy).toMatch(/install the Prometheus Operator .* or set monitoring\.stack to \{ mode: "bundled" \}/);
});

test('permissions that are missing are named by resource, with all their verbs', async () => {
  fake.intercept = (_, path) =>
    path.endsWith('/selfsubjectaccessreviews') ? { status: 201, body: { status: { allowed: false } } } : undefined;
  const deployment: KubernetesObject = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web', namespace } };
  const messages = (await check([deployment])).map(({ message }) => message);
  expect(messages).toContain('you may not get, create, patch, delete deployments.apps in orfeas-local');
  expect(messages).toContain('you may not get, create, patch secrets in orfeas-local');
});

test('a gateway class that is not there is an error with those that are', async () => {
  const gateway: KubernetesObject = {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name: 'studio', namespace },
    spec: { gatewayClassName: 'eg' },
  };
  fake.put({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'GatewayClass', metadata: { name: 'traefik' } });
  expect((await check([gateway]))[0]?.message).toBe('there is no gateway class "eg"; the cluster has traefik');
});

describe('an ingress class', () => {
  const ingress: KubernetesObject = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name: 'studio', namespace },
    spec: { ingressClassName: 'traefik' },
  };

  test('that is there is fine', async () => {
    fake.put({ apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'traefik' } });
    expect(await check([ingress])).toEqual([]);
  });

  test('that is not there is an error with those that are', async () => {
    fake.put({ apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass', metadata: { name: 'nginx' } });
    expect((await check([ingress]))[0]?.message).toBe('there is no ingress class "traefik"; the cluster has nginx');
  });

  test('that the user may not look at is a warning', async () => {
    fake.intercept = (_, path) =>
      path.endsWith('/ingressclasses') ? { status: 403, body: { reason: 'Forbidden', message: 'no' } } : undefined;
    expect(await check([ingress])).toEqual([
      { severity: 'warning', message: 'classes of the edge could not be checked: no', remedy: 'check it yourself' },
    ]);
  });
});

describe('a claim', () => {
  test('without a class needs a default one', async () => {
    fake.put({ apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name: 'slow' } });
    expect(await check([claim()])).toEqual([
      expect.objectContaining({ message: 'no storage class is the default', remedy: expect.stringContaining('slow') }),
    ]);
  });

  test('with a class needs that one', async () => {
    expect((await check([claim('fast')]))[0]?.message).toBe('there is no storage class "fast"');
  });

  test('that has its volume needs no class any more', async () => {
    fake.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
    fake.put({ ...claim('fast'), status: { phase: 'Bound' } });
    expect(await check([claim('fast')])).toEqual([]);
  });
});

describe('a Secret that settings name', () => {
  const { monitoring } = local;
  const stack = { ...monitoring.stack, alertmanager: { source: 'bundled', receiver: 'webhook', receiverSecret: 'on-call' } };
  const withReceiver = { ...local, monitoring: { ...monitoring, stack } } as Settings;
  const secret = (data: Record<string, string>): KubernetesObject => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'on-call', namespace },
    data,
  });

  test('must be there, and the remedy makes it', async () => {
    expect(await check([], withReceiver)).toEqual([
      {
        severity: 'error',
        message: 'there is no Secret/on-call in orfeas-local, which monitoring.stack.alertmanager.receiverSecret names',
        remedy:
          'kubectl --namespace orfeas-local create secret generic on-call --from-file=url=FILE (orfeas secrets makes the namespace first)',
      },
    ]);
  });

  test('must be there, even if its keys may have any name', async () => {
    const withKeys = { ...local, security: { ...local.security, apiKeysSecret: 'on-call' } } as Settings;
    const [finding] = await check([], withKeys);
    expect(finding?.message).toMatch(/^there is no Secret\/on-call in orfeas-local, which security\.apiKeysSecret/);
    expect(finding?.remedy).toContain('--from-file=NAME=FILE');
    fake.put(secret({ anybody: 'eA==' }));
    expect(await check([], withKeys)).toEqual([]);
  });

  test('must have its keys', async () => {
    fake.put(secret({ URL: 'aHR0cHM6Ly9leGFtcGxl' }));
    expect((await check([], withReceiver))[0]?.message).toMatch(/^Secret\/on-call lacks url, which monitoring\.stack/);
  });

  test('is fine with its keys', async () => {
    fake.put(secret({ url: 'aHR0cHM6Ly9leGFtcGxl' }));
    expect(await check([], withReceiver)).toEqual([]);
  });

  test('needs both keys to send samples elsewhere', async () => {
    const remoteWrite = [{ url: 'https://metrics.example.org/api/v1/write', basicAuthSecret: 'on-call' }];
    const prometheus = { ...(monitoring.stack as { prometheus: object }).prometheus, remoteWrite };
    const sending = { ...local, monitoring: { ...monitoring, stack: { ...monitoring.stack, prometheus } } } as Settings;
    expect((await check([], sending))[0]?.remedy).toContain('--from-file=username=FILE --from-file=password=FILE');
  });
});

describe('a GPU', () => {
  test('that a node offers is fine', async () => {
    fake.put({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'a' }, status: { allocatable: { 'nvidia.com/gpu': '1' } } });
    expect(await check([], withGpu)).toEqual([]);
  });

  test('that no node offers is a warning, since an autoscaler may bring one', async () => {
    expect(await check([], withGpu)).toEqual([
      expect.objectContaining({ severity: 'warning', message: 'no node offers 1 nvidia.com/gpu: the backend waits until one does' }),
    ]);
  });

  test('is not looked for where none is asked for', async () => {
    expect(await check([])).toEqual([]);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DeployOptions, deploy } from '../../cli/commands/deploy';
import { secrets } from '../../cli/commands/secrets';
import { status } from '../../cli/commands/status';
import { tls } from '../../cli/commands/tls';
import type { KubernetesObject, StatefulSet } from '../../cli/objects';
import type { Alert } from '../../cli/prometheus';
import { beginRevision, listRevisions } from '../../cli/revisions';
import { FakeCluster } from './fake-cluster';
import { FakePrometheus } from './fake-prometheus';

const namespace = 'orfeas-local';
const signal = new AbortController().signal;
const quiet = { env: 'local', json: true } as const;
const deployment: DeployOptions = { ...quiet, skipBuild: true, skipTls: true, skipHealthCheck: true };

let fake: FakeCluster;
let folder: string;
beforeEach(async () => {
  fake = await FakeCluster.startComplete();
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(folder, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
});
afterEach(async () => {
  delete process.env.KUBECONFIG;
  rmSync(folder, { recursive: true });
  await fake.stop();
});

describe('deploy', () => {
  test('brings everything to an empty cluster in ten steps', async () => {
    const { ok, result, error } = await deploy(deployment, signal);
    expect(error).toBeUndefined();
    expect(ok).toBe(true);
    expect(result.steps.map(({ name, status: state }) => `${name} ${state}`)).toEqual([
      'preflight done',
      'secrets done',
      'tls skipped',
      'replace done',
      'images skipped',
      'pull done',
      'backup done',
      'apply done',
      'wait done',
      'health skipped',
    ]);
    expect(fake.find('Namespace', namespace)?.metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    expect(result.changes).toContainEqual({ object: 'Namespace/orfeas-local', action: 'created' });
    expect(result.changes).toContainEqual({ object: 'Deployment/backend', action: 'created' });
    expect(fake.find('Secret', 'orfeas-app')).toBeDefined();
  });

  test('tells how to reach Grafana and Prometheus', async () => {
    const { text } = await deploy(deployment, signal);
    expect(text).toMatch(/^ {2}orfeas open grafana --env local +shows the dashboards$/m);
    expect(text).toMatch(/^ {2}orfeas open prometheus --env local +shows metrics and alerts$/m);
  });

  test('a second time changes nothing', async () => {
    await deploy(deployment, signal);
    const before = new Map(fake.objects);
    const { result } = await deploy(deployment, signal);
    expect(new Set(result.changes.map(({ action }) => action))).toEqual(new Set(['unchanged']));
    expect(fake.objects).toEqual(before);
  });

  test('in a dry run tells what it would do, and does nothing', async () => {
    const { ok, result, text } = await deploy({ ...deployment, dryRun: true }, signal);
    expect(ok).toBe(true);
    expect(result.changes).toContainEqual({ object: 'Deployment/backend', action: 'created' });
    expect(text).toContain('Nothing was changed');
    expect(fake.writes).toEqual([]);
  });

  test('finds all that is missing before it changes anything', async () => {
    fake.objects.clear();
    const { ok, error, result } = await deploy(deployment, signal);
    expect(ok).toBe(false);
    expect((error as Error).message).toMatch(/there is no ingress class "traefik"[\s\S]*no storage class is the default/);
    expect(result.steps).toEqual([expect.objectContaining({ name: 'preflight', status: 'failed' })]);
    expect(fake.writes).toEqual([]);
  });

  test('refuses placeholders outside of local, with their paths', async () => {
    const { error } = await deploy({ ...deployment, env: 'staging' }, signal);
    expect((error as Error).message).toMatch(
      /host is still the placeholder staging\.studio\.example\.com\n {4}→ give your own in config\/staging\.ts/,
    );
  });

  test('waits for no namespace that is being deleted', async () => {
    fake.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, deletionTimestamp: '2026-01-01T00:00:00Z' } });
    const { error } = await deploy(deployment, signal);
    expect((error as Error).message).toContain('the namespace orfeas-local is being deleted');
  });

  test('that fails names the revision to go back to', async () => {
    await deploy(deployment, signal);
    fake.objects.delete(`/api/v1/namespaces/${namespace}/configmaps/web-files`);
    const [first] = await listRevisions(fake.connect(), namespace);
    const other = { host: 'studio.localhost', objects: (first?.objects ?? []).slice(1) };
    await (await beginRevision(fake.connect(), namespace, other))('deployed');
    fake.intercept = (method, path) =>
      method === 'GET' && path.endsWith('/pods') ? { status: 403, body: { reason: 'Forbidden', message: 'no' } } : undefined;
    fake.controllers = false;
    fake.put({ ...(fake.find('Deployment', 'web') as KubernetesObject), status: {} });
    const { ok, result } = await deploy(deployment, signal);
    expect(ok).toBe(false);
    expect(result.warnings).toEqual(['revision 2 was deployed before → orfeas rollback --env local goes back to it']);
    expect((await listRevisions(fake.connect(), namespace)).map(({ number, status: state }) => `${number} ${state}`)).toEqual([
      '3 failed',
      '2 deployed',
      '1 deployed',
    ]);
  });

  test('goes no further once it is interrupted', async () => {
    const interrupt = new AbortController();
    fake.intercept = (_, path) => {
      if (path.endsWith('/secrets/orfeas-backup')) interrupt.abort();
      return undefined;
    };
    const { ok, result } = await deploy(deployment, interrupt.signal);
    expect(ok).toBe(false);
    expect(fake.find('Deployment', 'backend')).toBeUndefined();
    expect(result.steps.at(-1)).toMatchObject({ status: 'failed' });
  });
});

describe('secrets', () => {
  test('makes the namespace with its Pod Security labels first', async () => {
    await secrets(quiet, signal);
    expect(fake.find('Namespace', namespace)?.metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    expect(fake.find('Secret', 'orfeas-grafana')).toBeDefined();
  });

  test('shows no value', async () => {
    const { text, result } = await secrets(quiet, signal);
    const shown = text + JSON.stringify(result);
    for (const { kind, data } of fake.objects.values()) {
      if (kind !== 'Secret') continue;
      for (const value of Object.values(data as Record<string, string>)) {
        expect(shown).not.toContain(value);
        expect(shown).not.toContain(Buffer.from(value, 'base64').toString());
      }
    }
  });

  test('does not rotate without a confirmation where nobody can give one', async () => {
    await expect(secrets({ ...quiet, rotate: 'orfeas-redis' }, signal)).rejects.toMatchObject({ remedy: 'pass --force to confirm that' });
  });
});

describe('tls', () => {
  test('makes a certificate once, and replaces it only when told to', async () => {
    const { result } = await tls(quiet, signal);
    expect(result.certificate).toMatchObject({ selfSigned: true, names: 'DNS:studio.localhost' });
    expect(fake.find('Secret', 'orfeas-tls')).toMatchObject({ type: 'kubernetes.io/tls' });
    await expect(tls(quiet, signal)).rejects.toThrow('Secret/orfeas-tls exists in orfeas-local already');
    const before = fake.find('Secret', 'orfeas-tls')?.data;
    await tls({ ...quiet, force: true }, signal);
    expect(fake.find('Secret', 'orfeas-tls')?.data).not.toEqual(before);
  }, 120_000);

  test('leaves what cert-manager owns alone', async () => {
    await expect(tls({ ...quiet, env: 'production' }, signal)).rejects.toThrow('cert-manager owns the certificate of production');
  });

  test('takes no certificate without its key', async () => {
    await expect(tls({ ...quiet, cert: 'a.pem' }, signal)).rejects.toThrow('--cert and --key belong together');
  });

  test('names a file that is not there', async () => {
    await expect(tls({ ...quiet, cert: '/no/cert.pem', key: '/no/key.pem' }, signal)).rejects.toThrow(
      '--cert /no/cert.pem cannot be read: ENOENT',
    );
  });
});

describe('status', () => {
  test('of nothing says so', async () => {
    const { ok, text, result } = await status(quiet);
    expect(ok).toBe(false);
    expect(result.deployed).toBe(false);
    expect(text).toBe('Nothing is deployed in orfeas-local of the cluster "fake"\n  → orfeas deploy --env local');
  });

  test('of a studio without a certificate is not well', async () => {
    await deploy(deployment, signal);
    const { ok, result } = await status(quiet);
    expect(ok).toBe(false);
    expect(result.warnings).toContain('there is no certificate: orfeas tls --env local');
  });

  test('of a studio that runs is well, and shows what runs', async () => {
    await deploy({ ...deployment, skipTls: false }, signal);
    const { ok, text } = await status(quiet);
    expect(text).toMatch(/Deployment\/backend +1\/1 +0\.1\.0/);
    expect(text).toContain('All is well.');
    expect(ok).toBe(true);
  }, 120_000);

  describe('with Prometheus', () => {
    let prometheus: FakePrometheus;
    beforeEach(async () => {
      prometheus = await FakePrometheus.start();
      await deploy({ ...deployment, skipTls: false }, signal);
    }, 120_000);
    afterEach(() => prometheus.stop());

    /** The pod that a controller would make. */
    function startPod(): void {
      const { metadata, spec } = (fake.find('StatefulSet', 'prometheus') as unknown as StatefulSet).spec?.template ?? {};
      const status = { conditions: [{ type: 'Ready', status: 'True' }] };
      fake.put({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'prometheus-0', namespace, labels: metadata?.labels ?? {} },
        spec,
        status,
      });
      fake.ports.set('prometheus-0:9090', prometheus.port);
    }
    const alert = (alertname: string, severity: string): Alert => ({
      labels: { alertname, severity, namespace },
      annotations: { summary: 'something' },
      state: 'firing',
      activeAt: new Date().toISOString(),
    });

    test('tells the service level, and is well while no alert is critical', async () => {
      startPod();
      prometheus.series = [{ metric: { __name__: 'orfeas:slo_objective:ratio', slo: 'availability', namespace }, value: '0.995' }];
      prometheus.alerts = [alert('OrfeasGpuHot', 'warning')];
      const { ok, result, text } = await status(quiet);
      expect(text).toMatch(/availability +99\.5 %/);
      expect(text).toContain('OrfeasGpuHot');
      expect(text).toMatch(/All is well\.$/);
      expect(result).toMatchObject({
        serviceLevel: [{ slo: 'availability', objective: 0.995 }],
        alerts: { firing: [{ name: 'OrfeasGpuHot', severity: 'warning' }], pending: 0 },
        warnings: [],
      });
      expect(ok).toBe(true);
    });

    test('is not well while a critical alert fires', async () => {
      startPod();
      prometheus.alerts = [alert('OrfeasWebDown', 'critical')];
      const { ok, text } = await status(quiet);
      expect(ok).toBe(false);
      expect(text).not.toContain('All is well.');
    });

    test('that cannot be asked warns with the reason and the remedy, and is well nevertheless', async () => {
      const { ok, result, text } = await status(quiet);
      expect(result.warnings).toEqual([
        expect.stringMatching(/^the service level is not known: Service\/prometheus has no ready pod in orfeas-local → see why: kubectl /),
      ]);
      expect(text).toContain(`warning: ${result.warnings[0]}`);
      expect(result).not.toHaveProperty('serviceLevel');
      expect(result).not.toHaveProperty('alerts');
      expect(ok).toBe(true);
    });
  });

  test('of a studio whose backend was left stopped is not well', async () => {
    await deploy(deployment, signal);
    const backend = fake.find('Deployment', 'backend') as KubernetesObject;
    fake.put({ ...backend, spec: { ...(backend.spec as object), replicas: 0 } });
    const { ok, text } = await status(quiet);
    expect(ok).toBe(false);
    expect(text).toContain('Deployment/backend is Stopped: it is scaled to 0 pods\n  → run a restore that was cut off again');
  });

  test('names a workload that is gone, and one that does not run with the reason', async () => {
    await deploy(deployment, signal);
    fake.objects.delete(`/apis/apps/v1/namespaces/${namespace}/deployments/web`);
    fake.controllers = false;
    fake.put({ ...(fake.find('Deployment', 'backend') as KubernetesObject), status: {} });
    const conditions = [
      {
        type: 'PodScheduled',
        status: 'False',
        reason: 'Unschedulable',
        message: '0/1 nodes are available: 1 Insufficient nvidia.com/gpu.',
      },
    ];
    const labels = { 'app.kubernetes.io/name': 'backend', 'app.kubernetes.io/instance': namespace };
    fake.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'backend-1', namespace, labels },
      status: { phase: 'Pending', conditions },
    });
    const { ok, text } = await status(quiet);
    expect(ok).toBe(false);
    expect(text).toContain(
      'Pod/backend-1 is Unschedulable: 0/1 nodes are available: 1 Insufficient nvidia.com/gpu.\n  → give a node nvidia.com/gpu',
    );
    expect(text).toContain('Deployment/web is Missing');
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deploy } from '../../cli/commands/deploy';
import { type DiffResult, diff } from '../../cli/commands/diff';
import { deliverers } from '../../cli/deliverers';
import type { KubernetesObject, Metadata } from '../../cli/objects';
import type { Outcome } from '../../cli/outcome';
import { FakeCluster } from './fake-cluster';

const namespace = 'orfeas-local';
const options = { env: 'local', json: true } as const;
const labels = {
  'app.kubernetes.io/part-of': 'orfeas',
  'app.kubernetes.io/managed-by': 'cdk8s',
  'app.kubernetes.io/instance': namespace,
};

let fake: FakeCluster;
let folder: string;
beforeEach(async () => {
  fake = await FakeCluster.startComplete();
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(folder, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
  await deployed();
});
afterEach(async () => {
  delete process.env.KUBECONFIG;
  rmSync(folder, { recursive: true });
  await fake.stop();
});

const deployed = () => deploy({ ...options, skipBuild: true, skipTls: true, skipHealthCheck: true }, new AbortController().signal);
const compared = (deployedOnly = false) => diff({ ...options, deployed: deployedOnly }) as Promise<Outcome<DiffResult>>;

/** Adds to the metadata of an object, as a tool would that owns these fields. */
function write(kind: string, name: string, manager: string, added: Pick<Metadata, 'labels' | 'annotations'>, fieldsV1: object): void {
  const object = fake.find(kind, name) as KubernetesObject;
  const { metadata } = object;
  fake.put({
    ...object,
    metadata: {
      ...metadata,
      labels: { ...metadata.labels, ...added.labels },
      annotations: { ...metadata.annotations, ...added.annotations },
      managedFields: [{ manager, operation: 'Update', fieldsType: 'FieldsV1', fieldsV1: { 'f:metadata': fieldsV1 } }],
    },
  });
}

test('right after a deploy nothing differs', async () => {
  const { ok, exitCode, text } = await compared();
  expect({ ok, exitCode }).toEqual({ ok: true, exitCode: undefined });
  expect(text).toBe('orfeas-local of the cluster "fake" is what git says.');
});

test('a changed field is told with what it is and what it should be', async () => {
  const web = fake.find('Deployment', 'web') as KubernetesObject;
  fake.put({ ...web, spec: { ...(web.spec as object), replicas: 3 } });
  const { ok, result, text } = await compared();
  expect(ok).toBe(false);
  expect(result.differences).toEqual([
    { object: 'Deployment/web', state: 'different', fields: [{ path: 'spec.replicas', live: 3, wanted: 1 }] },
  ]);
  expect(text).toContain('\n\nDeployment/web\n  spec.replicas: 3 → 1');
});

test('of a changed text the lines that differ are shown', async () => {
  const files = fake.find('ConfigMap', 'web-files') as KubernetesObject;
  const data = files.data as Record<string, string>;
  fake.put({ ...files, data: { ...data, 'nginx.conf': `# by hand\n${data['nginx.conf']}` } });
  const { text } = await compared();
  expect(text).toMatch(/ConfigMap\/web-files\n {2}data\[nginx\.conf\]\n {4}- # by hand$/);
});

test('an object that is missing and one that git does not have are told', async () => {
  fake.objects.delete(`/api/v1/namespaces/${namespace}/configmaps/web-files`);
  fake.put({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'extra', namespace, labels } });
  const { text } = await compared();
  expect(text).toContain('ConfigMap/web-files: missing in the cluster');
  expect(text).toContain('ConfigMap/extra: not in git');
});

describe('where git says nothing', () => {
  const label = { labels: { team: 'blue' } };
  const ownsLabel = { 'f:labels': { 'f:team': {} } };

  test('what somebody set by hand is told, and deploy removes it', async () => {
    write('Service', 'web', 'kubectl-label', label, ownsLabel);
    const { result } = await compared();
    expect(result.differences).toEqual([
      { object: 'Service/web', state: 'different', fields: [{ path: 'metadata.labels.team', live: 'blue' }] },
    ]);
    await deployed();
    expect(fake.find('Service', 'web')?.metadata.labels).not.toHaveProperty('team');
    expect((await compared()).ok).toBe(true);
  });

  test.each(deliverers)(
    'what $name applied of an earlier commit is told, and deploy removes it; its marks are no difference',
    async each => {
      const marks = Object.fromEntries(each.marks.map(mark => [mark, 'orfeas']));
      const annotations = Object.fromEntries(['size', ...each.marks].map(name => [`f:${name}`, {}]));
      write('Service', 'web', each.manager, { annotations: { ...marks, size: 'old' } }, { 'f:annotations': annotations });
      expect((await compared()).result.differences).toEqual([
        { object: 'Service/web', state: 'different', fields: [{ path: 'metadata.annotations.size', live: 'old' }] },
      ]);
      await deployed();
      expect(fake.find('Service', 'web')?.metadata.annotations).toEqual(expect.objectContaining(marks));
      expect((await compared()).ok).toBe(true);
    },
  );

  test.each(['kube-controller-manager', 'k3s', 'nginx-ingress-controller', 'external-provisioner', 'orfeas-rotate'])(
    'what %s writes is no difference',
    async manager => {
      write('Service', 'web', manager, label, ownsLabel);
      expect((await compared()).ok).toBe(true);
    },
  );

  test.each(['kubectl.kubernetes.io/last-applied-configuration', 'kubectl.kubernetes.io/restartedAt'])(
    'the trace %s is no difference',
    async name => {
      write('Service', 'web', 'kubectl', { annotations: { [name]: '{}' } }, { 'f:annotations': { [`f:${name}`]: {} } });
      expect((await compared()).ok).toBe(true);
    },
  );

  test('a default that the cluster puts back is no difference', async () => {
    const service = fake.find('Service', 'web') as KubernetesObject;
    const managedFields = [
      { manager: 'kubectl-client-side-apply', operation: 'Update', fieldsV1: { 'f:spec': { 'f:internalTrafficPolicy': {} } } },
    ];
    const live = {
      ...service,
      spec: { ...(service.spec as object), internalTrafficPolicy: 'Cluster' },
      metadata: { ...service.metadata, managedFields },
    };
    fake.put(live);
    fake.intercept = (method, path) => (method === 'PATCH' && path.endsWith('/services/web') ? { status: 200, body: live } : undefined);
    expect((await compared()).ok).toBe(true);
  });
});

test('compares with what was deployed last when asked to', async () => {
  const { ok, result, text } = await compared(true);
  expect(ok).toBe(true);
  expect(result.revision).toBe(1);
  expect(text).toBe('orfeas-local of the cluster "fake" is what revision 1 made it.');
});

test('a cluster that cannot be asked ends with exit code 2', async () => {
  fake.intercept = () => ({ status: 500, body: { message: 'no' } });
  expect(await diff(options)).toMatchObject({ ok: false, exitCode: 2, error: expect.objectContaining({ message: 'no' }) });
});

test('changes nothing', async () => {
  write('Service', 'web', 'kubectl-label', { labels: { team: 'blue' } }, { 'f:labels': { 'f:team': {} } });
  fake.writes.length = 0;
  await compared();
  expect(fake.writes).toEqual([]);
});

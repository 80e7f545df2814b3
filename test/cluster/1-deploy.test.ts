import { join } from 'node:path';
import { environmentNames, loadSettings } from '../../config';
import { checkoutWith, host, kubectl, list, namespace, orfeas, ROOT, rolledOut } from './support';

const DEPLOY = ['deploy', '--env', 'local', '--json'];

/** What tells whether an object was written or a pod restarted. */
async function fingerprint(): Promise<Record<string, string>> {
  const objects = await list(
    '-n',
    namespace,
    'deployments,statefulsets,services,configmaps,ingresses,networkpolicies,persistentvolumeclaims',
  );
  const pods = await list('-n', namespace, 'pods');
  return Object.fromEntries([
    // A claim that waits for its first consumer is written by the API server itself when it is applied again.
    ...objects.map(({ kind, metadata: { name, uid, generation, resourceVersion } }) => [
      `${kind}/${name}`,
      kind === 'PersistentVolumeClaim' ? uid : `${generation ?? resourceVersion}`,
    ]),
    ...pods.map(({ metadata, status }) => [
      `Pod/${metadata.name}`,
      status.containerStatuses.map(({ restartCount }: { restartCount: number }) => restartCount).join(),
    ]),
  ]);
}

const podOf = async (name: string): Promise<string> => {
  const pods = await list('-n', namespace, 'pods', '-l', `app.kubernetes.io/name=${name}`);
  return pods.find(({ metadata }) => !metadata.deletionTimestamp).metadata.name;
};

test('orfeas deploy builds, applies, waits and finds the studio healthy', async () => {
  const { code, stdout, stderr } = await orfeas(DEPLOY);
  expect({ code, output: code === 0 ? '' : `${stdout}${stderr}` }).toEqual({ code: 0, output: '' });
  expect(stdout.toString()).toContain(`https://${host}`);
  await rolledOut(1);
});

test('orfeas status finds all well', async () => {
  const { code, stdout, stderr } = await orfeas(['status', '--env', 'local']);
  expect({ code, output: code === 0 ? '' : `${stdout}${stderr}` }).toEqual({ code: 0, output: '' });
});

test('a second deploy changes nothing and restarts nothing', async () => {
  const before = await fingerprint();
  const { code, stderr } = await orfeas([...DEPLOY, '--skip-build']);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  expect(await fingerprint()).toEqual(before);
});

test('a changed setting restarts only what it concerns', async () => {
  const [backend, redis, web] = await Promise.all(['backend', 'redis', 'web'].map(podOf));
  const changed = checkoutWith('config/local.ts', {
    "host: 'studio.localhost',": "host: 'studio.localhost',\n  security: { hstsSeconds: 60 },",
  });
  try {
    const { code, stderr } = await orfeas([...DEPLOY, '--skip-build'], changed.folder);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    expect([await podOf('backend'), await podOf('redis')]).toEqual([backend, redis]);
    expect(await podOf('web')).not.toBe(web);
  } finally {
    changed.remove();
    await orfeas([...DEPLOY, '--skip-build']);
  }
});

test('an object that is gone from the manifests is pruned, and a claim is not', async () => {
  const labels = Object.entries({ 'part-of': 'orfeas', 'managed-by': 'cdk8s', instance: namespace, name: 'gone' });
  const metadata = {
    name: 'gone',
    namespace,
    labels: Object.fromEntries(labels.map(([key, value]) => [`app.kubernetes.io/${key}`, value])),
  };
  const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } };
  const items = [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata },
    { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata, spec: claim },
  ];
  // The quota leaves no room for a claim more.
  await kubectl(['-n', namespace, 'delete', 'resourcequota', 'orfeas']);
  await kubectl(
    ['apply', '--server-side', '--field-manager=orfeas', '-f', '-'],
    Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })),
  );
  const { code, stderr } = await orfeas([...DEPLOY, '--skip-build']);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  expect((await list('-n', namespace, 'configmaps', '--field-selector=metadata.name=gone')).length).toBe(0);
  expect((await list('-n', namespace, 'persistentvolumeclaims', '--field-selector=metadata.name=gone')).length).toBe(1);
  await kubectl(['-n', namespace, 'delete', 'persistentvolumeclaim', 'gone']);
});

describe('the API server takes the manifests with restricted enforced', () => {
  const made = environmentNames.filter(name => name !== 'local');
  afterAll(() => Promise.all(made.map(name => kubectl(['delete', 'namespace', loadSettings(name).namespace, '--ignore-not-found']))));

  test.each(environmentNames)('%s', async name => {
    const folder = join(ROOT, 'dist', name);
    if (name !== 'local') await kubectl(['apply', '-f', join(folder, '00-namespace.k8s.yaml')]);
    const output = (await kubectl(['apply', '--dry-run=server', '-f', folder])).toString();
    expect(output).not.toMatch(/violate|Warning/);
  });
});

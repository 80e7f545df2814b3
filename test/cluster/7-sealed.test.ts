import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { loadAll } from 'js-yaml';
import { present, redisAnswer, restarts } from './passwords';
import { ALL, apply, checkoutWith, command, get, kubectl, list, moduleFolder, namespace, ROOT, until } from './support';

const VERSION = '0.27.1';
const IMAGE = `docker.io/bitnami/sealed-secrets-controller:${VERSION}`;
const controller = 'sealed-secrets';
const labels = { 'app.kubernetes.io/name': controller };
const metadata = { name: controller, namespace: controller };

/** The Sealed Secrets controller, with the rights that its own release gives it. */
const MANIFESTS = [
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: controller } },
  { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: controller },
    rules: [
      { apiGroups: ['bitnami.com'], resources: ['sealedsecrets'], verbs: ['get', 'list', 'watch'] },
      { apiGroups: ['bitnami.com'], resources: ['sealedsecrets/status'], verbs: ['update'] },
      { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'create', 'update', 'delete', 'watch'] },
      { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
      { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
    ],
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name: controller },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: controller },
    subjects: [{ kind: 'ServiceAccount', name: controller, namespace: controller }],
  },
  {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          serviceAccountName: controller,
          containers: [{ name: controller, image: IMAGE, readinessProbe: { httpGet: { path: '/healthz', port: 8080 }, periodSeconds: 1 } }],
        },
      },
    },
  },
  { apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ name: 'http', port: 8080 }] } },
];

(ALL ? describe : describe.skip)('with the Sealed Secrets controller', () => {
  const checkout = checkoutWith('config/local.ts', {
    "environment: 'local',": "environment: 'local', secrets: { mode: 'sealed-secrets' },",
  });
  const deploy = () => command(['deploy', '--skip-build'], checkout.folder);
  let definition: { metadata: { name: string } };
  let first: Record<string, string>;

  beforeAll(async () => {
    execFileSync('test/cluster/stand-ins', [IMAGE], { cwd: ROOT, stdio: 'ignore' });
    const crd = 'helm/sealed-secrets/crds/bitnami.com_sealedsecrets.yaml';
    const file = join(moduleFolder(`github.com/bitnami-labs/sealed-secrets@v${VERSION}`), crd);
    [definition] = loadAll(readFileSync(file, 'utf8')) as [typeof definition];
    await apply([definition, ...MANIFESTS]);
    await kubectl(['-n', controller, 'rollout', 'status', `deployment/${controller}`, '--timeout=120s']);
    const certificate = `/api/v1/namespaces/${controller}/services/http:${controller}:8080/proxy/v1/cert.pem`;
    writeFileSync(join(checkout.folder, 'controller.pem'), await kubectl(['get', '--raw', certificate]));
    first = await present();
    // As docs/quick-start.md has it for Secrets that are there.
    await kubectl(['-n', namespace, 'annotate', 'secret', ...Object.keys(first), 'sealedsecrets.bitnami.com/managed=true', '--overwrite']);
    await command(['secrets', 'seal', '--cert', 'controller.pem'], checkout.folder);
    await deploy();
  }, 900_000);
  afterAll(async () => {
    checkout.remove();
    await command(['deploy', '--skip-build']);
    await kubectl(['delete', `crd/${definition.metadata.name}`, `namespace/${controller}`]);
    await kubectl(['delete', `clusterrole/${controller}`, `clusterrolebinding/${controller}`]);
  });

  test('each Secret is made of what git has, sealed, and again when it is lost', async () => {
    for (const { metadata, status } of await list('-n', namespace, 'sealedsecrets')) {
      const conditions = status.conditions.map((condition: Record<string, string>) => `${condition.type} ${condition.status}`);
      expect({ name: metadata.name, conditions }).toEqual({ name: metadata.name, conditions: ['Synced True'] });
    }
    expect(await present()).toEqual(first);
    await kubectl(['-n', namespace, 'delete', 'secret', 'orfeas-app']);
    await until('the Secret', 30, () => get('-n', namespace, 'secret', 'orfeas-app'));
    expect(await present()).toEqual(first);
  });

  test('a value is rotated by three deployments of what the command seals, without a restart', async () => {
    const before = await restarts();
    const args = ['cli/bin.js', 'secrets', '--rotate', 'orfeas-redis', '--cert', 'controller.pem', '--env', 'local', '--force', '--json'];
    const child = spawn(process.execPath, args, { cwd: checkout.folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const output = text(child.stdout);
    const ended = once(child, 'exit');
    let deployments = 0;
    for await (const line of createInterface({ input: child.stderr })) {
      if (!line.includes('commit it and dist, and deploy')) continue;
      deployments++;
      await deploy();
    }
    expect({ ended: await ended, ok: JSON.parse(await output).ok, deployments }).toEqual({ ended: [0, null], ok: true, deployments: 3 });
    expect(await redisAnswer(first['orfeas-redis'] as string)).toContain('WRONGPASS');
    expect(await redisAnswer((await present())['orfeas-redis'] as string)).toBe('PONG');
    expect(await restarts()).toEqual(before);
  });
});

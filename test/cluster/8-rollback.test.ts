import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkoutWith, command, get, kubectl, list, namespace, orfeas } from './support';

/** The differences that `orfeas diff` finds, as `<object> <state>` or `<object> <path>: <live> → <wanted>`. */
async function differences(...args: readonly string[]): Promise<string[]> {
  const { code, stdout, stderr } = await orfeas(['diff', '--env', 'local', '--json', ...args]);
  const found = JSON.parse(stdout.toString());
  expect({ code, stderr, error: found.error }).toEqual({ code: found.ok ? 0 : 1, stderr: '', error: undefined });
  return found.differences.flatMap(
    ({ object, state, fields }: { object: string; state: string; fields: { path: string; live?: unknown; wanted?: unknown }[] }) =>
      state === 'different'
        ? fields.map(({ path, live, wanted }) => `${object} ${path}: ${JSON.stringify(live)} → ${JSON.stringify(wanted)}`)
        : [`${object} ${state}`],
  );
}

const inNamespace = (...args: readonly string[]) => kubectl(['-n', namespace, ...args]);
const deploy = () => command(['deploy', '--skip-build']);
const podsOf = async (name: string) =>
  (await list('-n', namespace, 'pods', '-l', `app.kubernetes.io/name=${name}`)).filter(({ metadata }) => !metadata.deletionTimestamp);

beforeAll(deploy);
afterAll(deploy);

test('right after a deploy nothing differs, from git or from what was deployed', async () => {
  expect(await differences()).toEqual([]);
  expect(await differences('--deployed')).toEqual([]);
});

test('a restart, and what kubectl applies with its defaults, are no difference', async () => {
  await inNamespace('rollout', 'restart', 'deployment/web');
  await inNamespace('delete', 'deployment/grafana', 'service/grafana');
  await inNamespace('apply', '-f', 'dist/local/70-monitoring.k8s.yaml');
  await inNamespace('rollout', 'status', 'deployment/web', 'deployment/grafana', '--timeout=120s');
  expect(await differences()).toEqual([]);
});

test('what was changed by hand is found, that and nothing else, and a deploy puts it right', async () => {
  const labels = Object.entries({ 'part-of': 'orfeas', 'managed-by': 'cdk8s', instance: namespace });
  const metadata = {
    name: 'by-hand',
    namespace,
    labels: Object.fromEntries(labels.map(([key, value]) => [`app.kubernetes.io/${key}`, value])),
  };
  await kubectl(['create', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata })));
  await inNamespace('set', 'env', 'deployment/web', '--containers=nginx', 'BY_HAND=1');
  await inNamespace('label', 'service/web', 'team=blue');
  await inNamespace('annotate', 'deployment/grafana', 'example.org/owner=me');
  await inNamespace('patch', 'deployment/grafana', '-p', '{"spec":{"revisionHistoryLimit":7}}');
  await inNamespace('patch', 'service/web', '-p', '{"spec":{"sessionAffinity":"ClientIP"}}');
  await inNamespace('delete', 'configmap', 'dashboard-gpu');
  expect((await differences()).sort()).toEqual([
    'ConfigMap/by-hand extra',
    'ConfigMap/dashboard-gpu missing',
    'Deployment/grafana metadata.annotations[example.org/owner]: "me" → undefined',
    'Deployment/grafana spec.revisionHistoryLimit: 7 → 5',
    'Deployment/web spec.template.spec.containers[nginx].env[BY_HAND]: {"name":"BY_HAND","value":"1"} → undefined',
    'Service/web metadata.labels.team: "blue" → undefined',
    'Service/web spec.sessionAffinity: "ClientIP" → "None"',
    'Service/web spec.sessionAffinityConfig.clientIP.timeoutSeconds: 10800 → undefined',
  ]);
  await deploy();
  expect(await differences()).toEqual([]);
});

describe('after a deployment that fails', () => {
  const revisions = async () =>
    (await command(['rollback', '--list'])).revisions.map(
      ({ number, status, rollbackTo }: { number: number; status: string; rollbackTo?: number }) => ({
        number,
        status,
        ...(rollbackTo !== undefined && { rollbackTo }),
      }),
    );
  const settingsOf = async () => (await get('-n', namespace, 'configmap', 'web-files')).data['nginx.conf'];

  test('users are still served, a rollback brings images and settings back', async () => {
    const [before] = await revisions();
    const pods = (await podsOf('web')).map(({ metadata }) => metadata.name);
    const bad = checkoutWith('constructs/web.ts', { "ownImage(images, 'web')": "'localhost/orfeas/web:9.9.9'" });
    appendFileSync(join(bad.folder, 'files/nginx/nginx.conf'), '# changed\n');
    try {
      const { code, stdout } = await orfeas(['deploy', '--skip-build', '--env', 'local', '--json'], bad.folder);
      expect({ code, message: JSON.parse(stdout.toString()).error.message }).toEqual({
        code: 1,
        message: expect.stringContaining('web:9.9.9'),
      });
      const ready = (await podsOf('web')).filter(({ status }) => status.containerStatuses?.every(({ ready }: { ready: boolean }) => ready));
      expect(ready.map(({ metadata }) => metadata.name)).toEqual(pods);
      await command(['smoke']);
      expect(await settingsOf()).toContain('# changed');
      expect((await revisions())[0]).toEqual({ number: before.number + 1, status: 'failed' });

      const { revision } = await command(['rollback']);
      expect(revision).toBe(before.number);
      expect(await settingsOf()).not.toContain('# changed');
      expect((await podsOf('web')).map(({ metadata }) => metadata.name)).toEqual(pods);
      expect((await revisions())[0]).toEqual({ number: before.number + 2, status: 'deployed', rollbackTo: before.number });
      expect(await differences('--deployed')).toEqual([]);
      expect(await differences()).toEqual([]);
      expect((await orfeas(['diff', '--env', 'local'], bad.folder)).code).toBe(1);
    } finally {
      bad.remove();
    }
  });
});

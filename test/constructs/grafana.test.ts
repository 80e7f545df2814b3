import type { SettingsInput } from '../../config';
import { find, manifestsOf, settingsOf } from '../support';

type Stack = Extract<NonNullable<NonNullable<SettingsInput['monitoring']>['stack']>, { mode: 'bundled' }>;

function grafana(access?: NonNullable<Stack['grafana']>['access']) {
  const stack: Stack = { mode: 'bundled', ...(access && { grafana: { access } }) };
  const manifests = manifestsOf(settingsOf('production', { monitoring: { stack } }));
  const { spec } = find(manifests, 'Deployment', 'grafana').spec.template;
  const [container] = spec.containers;
  return { manifests, spec, container, files: find(manifests, 'ConfigMap', 'grafana-files').data };
}

const { manifests, spec, container, files } = grafana();

test('the password is read from the file of its Secret, and is in no environment', () => {
  expect(files['grafana.ini']).toMatch(/^admin_password = \$__file\{\/etc\/grafana\/secret\/admin-password\}$/m);
  expect(container.volumeMounts).toContainEqual({ name: 'orfeas-grafana', mountPath: '/etc/grafana/secret', readOnly: true });
  expect(spec.volumes).toContainEqual({
    name: 'orfeas-grafana',
    secret: { secretName: 'orfeas-grafana', defaultMode: 0o440, items: [{ key: 'admin-password', path: 'admin-password' }] },
  });
  expect(container.env ?? []).toEqual([]);
});
test('nobody signs up, and nobody sees anything without a password', () => {
  expect(files['grafana.ini']).toMatch(/^\[users\]\nallow_sign_up = false$/m);
  expect(files['grafana.ini']).toMatch(/^\[auth\.anonymous\]\nenabled = false$/m);
});
test("it runs as the image's user, and writes to its volume and /tmp alone", () => {
  expect(spec.securityContext).toMatchObject({ runAsUser: 10007, fsGroup: 10007 });
  expect(container.securityContext.readOnlyRootFilesystem).toBe(true);
  const writable = container.volumeMounts.filter(({ readOnly }: { readOnly?: boolean }) => !readOnly);
  expect(writable.map(({ mountPath }: { mountPath: string }) => mountPath)).toEqual(['/var/lib/grafana', '/tmp']);
});
test('two never write to its database', () => {
  expect(find(manifests, 'Deployment', 'grafana').spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } });
});
test('every dashboard is mounted where the provider looks', () => {
  const dashboards = manifests.filter(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name.startsWith('dashboard-'));
  const volume = spec.volumes.find(({ name }: { name: string }) => name === 'dashboards');
  expect(volume.projected.sources).toEqual(dashboards.map(({ metadata: { name } }) => ({ configMap: { name } })));
  expect(dashboards).toHaveLength(7);
  const mount = container.volumeMounts.find(({ name }: { name: string }) => name === 'dashboards');
  expect(files['dashboards.yaml']).toContain(`path: ${mount.mountPath}\n`);
});
test('its data source has the uid that the dashboards name, and the interval of the scrapes', () => {
  expect(files['datasources.yaml']).toMatch(/uid: prometheus$/m);
  expect(files['datasources.yaml']).toMatch(/timeInterval: 15s$/m);
});

describe.each([
  ['a forwarded port', undefined, 'http://localhost:3000/', '', false],
  ["a path of the studio's host", { by: 'path' as const }, 'https://studio.example.com/grafana/', '/grafana', true],
  ['a host of its own', { by: 'host' as const, host: 'grafana.example.org' }, 'https://grafana.example.org/', '', true],
])('reached by %s', (_, access, url, path, https) => {
  const reached = grafana(access);
  test('it knows its address, and keeps its cookie to HTTPS where that is spoken', () => {
    const ini = reached.files['grafana.ini'];
    expect(ini).toContain(`root_url = ${url}\n`);
    expect(ini).toContain(`serve_from_sub_path = ${path !== ''}\n`);
    expect(ini).toContain(`cookie_secure = ${https}\n`);
  });
  test('its probes ask below its path', () => {
    expect(reached.container.readinessProbe.httpGet.path).toBe(`${path}/api/health`);
    expect(reached.container.livenessProbe.httpGet.path).toBe(`${path}/healthz`);
  });
  test('the edge leads to it only where the settings say so', () => {
    expect(reached.manifests.some(({ kind, metadata }) => kind === 'Ingress' && metadata.name === 'grafana')).toBe(https);
  });
});

test('the Grafana of a Prometheus Operator finds the dashboards by label, and puts them into a folder', () => {
  const monitoring: SettingsInput['monitoring'] = { stack: { mode: 'operator', dashboardLabels: { grafana_dashboard: 'yes' } } };
  const { metadata } = find(manifestsOf(settingsOf('production', { monitoring })), 'ConfigMap', 'dashboard-overview');
  expect(metadata).toMatchObject({
    labels: { grafana_dashboard: 'yes', 'app.kubernetes.io/part-of': 'orfeas' },
    annotations: { grafana_folder: 'ORFEAS' },
  });
});

import type { SettingsInput } from '../../config';
import { find, manifestsOf, settingsOf } from '../support';

const edge = (dialect: 'traefik' | 'ingress-nginx', changes: Partial<SettingsInput> = {}) =>
  manifestsOf(settingsOf('local', { edge: { dialect }, ...changes })).filter(
    ({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'edge',
  );

/** What matters of an object, without its labels. */
const essence = (dialect: 'traefik' | 'ingress-nginx') =>
  edge(dialect).map(({ kind, metadata, spec }) => ({ kind, name: metadata.name, annotations: metadata['annotations' as never], spec }));

test('Traefik: limits and redirect as Middlewares, TLS 1.2 at least', () => {
  expect(essence('traefik')).toMatchSnapshot();
});
test('ingress-nginx: limits, body size, timeouts and redirect as annotations', () => {
  expect(essence('ingress-nginx')).toMatchSnapshot();
});

test.each(['traefik', 'ingress-nginx'] as const)('%s: without rate limits the API needs no Ingress of its own', dialect => {
  const objects = edge(dialect, { rateLimiting: { enabled: false } });
  expect(objects.map(({ metadata }) => metadata.name)).not.toContain('studio-api');
  expect(JSON.stringify(objects)).not.toMatch(/limit/);
});

test('every layer takes bodies of the same size', () => {
  const manifests = manifestsOf(settingsOf('local', { uploads: { maxMebibytes: 20 }, edge: { dialect: 'ingress-nginx' } }));
  const bytes = 21 * 2 ** 20;
  expect(find(manifests, 'Ingress', 'studio-api').metadata['annotations' as never]['nginx.ingress.kubernetes.io/proxy-body-size']).toBe(
    `${bytes}`,
  );
  expect(find(manifests, 'ConfigMap', 'web-files').data['nginx.conf']).toContain(`client_max_body_size ${bytes};`);
  expect(find(manifests, 'ConfigMap', 'backend-env').data.MAX_FILE_SIZE).toBe(`${20 * 2 ** 20}`);
});

test("Let's Encrypt: an RSA key of 4096 bits, and a way in for the challenge alone", () => {
  const manifests = manifestsOf(settingsOf('production'));
  expect(find(manifests, 'Certificate', 'studio').spec).toMatchObject({
    secretName: 'orfeas-tls',
    privateKey: { algorithm: 'RSA', size: 4096 },
    issuerRef: { kind: 'Issuer', name: 'lets-encrypt' },
  });
  expect(find(manifests, 'NetworkPolicy', 'acme-solver-from-edge').spec.ingress[0].ports).toEqual([{ port: 8089, protocol: 'TCP' }]);
});

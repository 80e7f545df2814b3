import type { SettingsInput } from '../../config';
import { operatorSecrets } from '../../config/secrets';
import { find, manifestsOf, settingsOf } from '../support';

type EdgeInput = NonNullable<SettingsInput['edge']>;
type CertificateInput = NonNullable<EdgeInput['certificate']>;

const letsEncrypt = { source: 'lets-encrypt', email: 'operator@example.org' } as const;
const withCertificate = (certificate: CertificateInput, edge: EdgeInput = { dialect: 'traefik' }) =>
  settingsOf('production', { edge: { ...edge, certificate } });
const solverOf = (settings: ReturnType<typeof settingsOf>) => find(manifestsOf(settings), 'Issuer', 'lets-encrypt').spec.acme.solvers[0];

test('with a Secret of your own, or of orfeas tls, cert-manager has nothing to do', () => {
  expect(manifestsOf(withCertificate({ source: 'secret' })).map(({ kind }) => kind)).not.toContain('Certificate');
});

test.each<[CertificateInput, object]>([
  [{ source: 'self-signed' }, { selfSigned: {} }],
  [{ source: 'private-ca', caSecret: 'authority' }, { ca: { secretName: 'authority' } }],
])('%j: an RSA key of 4096 bits, for 365 days', (certificate, issuer) => {
  const manifests = manifestsOf(withCertificate(certificate));
  expect(find(manifests, 'Issuer', certificate.source).spec).toEqual(issuer);
  expect(find(manifests, 'Certificate', 'studio').spec).toMatchObject({
    secretName: 'orfeas-tls',
    duration: '8760h',
    privateKey: { algorithm: 'RSA', size: 4096 },
    issuerRef: { kind: 'Issuer', name: certificate.source },
  });
  expect(manifests.map(({ metadata }) => metadata.name)).not.toContain('acme-solver-from-edge');
});

test("Let's Encrypt: an RSA key of 4096 bits, and a way in for the challenge alone", () => {
  const manifests = manifestsOf(withCertificate(letsEncrypt));
  expect(find(manifests, 'Certificate', 'studio').spec).toMatchObject({
    secretName: 'orfeas-tls',
    privateKey: { algorithm: 'RSA', size: 4096 },
    issuerRef: { kind: 'Issuer', name: 'lets-encrypt' },
  });
  expect(find(manifests, 'NetworkPolicy', 'acme-solver-from-edge').spec.ingress[0].ports).toEqual([{ port: 8089, protocol: 'TCP' }]);
});

test.each([
  ['production', 'https://acme-v02.api.letsencrypt.org/directory'],
  ['staging', 'https://acme-staging-v02.api.letsencrypt.org/directory'],
] as const)("Let's Encrypt's %s server is asked where the settings say so", (server, directory) => {
  expect(find(manifestsOf(withCertificate({ ...letsEncrypt, server })), 'Issuer', 'lets-encrypt').spec.acme.server).toBe(directory);
});

test.each<[EdgeInput, object]>([
  [{ dialect: 'traefik' }, { ingress: { ingressClassName: 'traefik' } }],
  [
    { dialect: 'nginx', className: 'f5' },
    {
      ingress: {
        ingressClassName: 'f5',
        ingressTemplate: { metadata: { annotations: { 'nginx.org/mergeable-ingress-type': 'minion' } } },
      },
    },
  ],
  [
    { dialect: 'gateway-api', implementation: 'envoy-gateway' },
    { gatewayHTTPRoute: { parentRefs: [{ kind: 'Gateway', name: 'studio', sectionName: 'http' }] } },
  ],
])('%j: a challenge over HTTP takes the way of this dialect', (edge, http01) => {
  expect(solverOf(withCertificate(letsEncrypt, edge))).toEqual({ http01 });
});

const secret = (name: string, ...keys: string[]) => ({ name, keys });
type Challenge = NonNullable<Extract<CertificateInput, { source: 'lets-encrypt' }>['challenge']>;
type Provider = Extract<Challenge, { by: 'dns-01' }>['provider'];

test.each<[Provider, object, { name: string; keys: string[] }[]]>([
  [
    { name: 'cloudflare', tokenSecret: 'dns' },
    { cloudflare: { apiTokenSecretRef: { name: 'dns', key: 'api-token' } } },
    [secret('dns', 'api-token')],
  ],
  [{ name: 'route53', region: 'eu-central-1' }, { route53: { region: 'eu-central-1' } }, []],
  [
    { name: 'route53', region: 'eu-central-1', hostedZoneId: 'Z2E9THH8H2QRUN', credentialsSecret: 'dns' },
    {
      route53: {
        region: 'eu-central-1',
        hostedZoneID: 'Z2E9THH8H2QRUN',
        accessKeyIDSecretRef: { name: 'dns', key: 'AWS_ACCESS_KEY_ID' },
        secretAccessKeySecretRef: { name: 'dns', key: 'AWS_SECRET_ACCESS_KEY' },
      },
    },
    [secret('dns', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY')],
  ],
  [
    { name: 'rfc2136', nameserver: '192.0.2.53:53', keyName: 'studio', keySecret: 'dns' },
    {
      rfc2136: {
        nameserver: '192.0.2.53:53',
        tsigKeyName: 'studio',
        tsigAlgorithm: 'HMACSHA256',
        tsigSecretSecretRef: { name: 'dns', key: 'tsig-secret' },
      },
    },
    [secret('dns', 'tsig-secret')],
  ],
])('%j: a record in DNS answers, nobody comes in for it, and deploy looks for its Secret', (provider, dns01, secrets) => {
  const settings = withCertificate({ ...letsEncrypt, challenge: { by: 'dns-01', provider } });
  expect(solverOf(settings)).toEqual({ dns01 });
  expect(manifestsOf(settings).map(({ metadata }) => metadata.name)).not.toContain('acme-solver-from-edge');
  expect(operatorSecrets(settings).map(({ name, keys }) => ({ name, keys }))).toEqual(secrets);
});

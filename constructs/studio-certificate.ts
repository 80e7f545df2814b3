import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { CertificateSettings, DnsProvider, LetsEncryptSettings, Settings } from '../config/schema';
import { TLS_SECRET } from '../config/secrets';
import {
  Certificate,
  CertificateSpecPrivateKeyAlgorithm,
  CertificateSpecPrivateKeyRotationPolicy,
  Issuer,
  type IssuerSpec,
  type IssuerSpecAcmeSolversDns01,
  type IssuerSpecAcmeSolversHttp01,
} from '../imports/cert-manager.io';
import type { Pods } from './network-policies';
import { StudioGateway } from './studio-gateway';

const DIRECTORY = {
  production: 'https://acme-v02.api.letsencrypt.org/directory',
  staging: 'https://acme-staging-v02.api.letsencrypt.org/directory',
} as const;

/** Where no authority decides how long a certificate is valid. */
const DAYS = 365;

function dnsSolver(provider: DnsProvider): IssuerSpecAcmeSolversDns01 {
  switch (provider.name) {
    case 'cloudflare':
      return { cloudflare: { apiTokenSecretRef: { name: provider.tokenSecret, key: 'api-token' } } };
    case 'route53': {
      const { region, hostedZoneId, credentialsSecret: name } = provider;
      return {
        route53: {
          region,
          ...(hostedZoneId && { hostedZoneId }),
          ...(name && {
            accessKeyIdSecretRef: { name, key: 'AWS_ACCESS_KEY_ID' },
            secretAccessKeySecretRef: { name, key: 'AWS_SECRET_ACCESS_KEY' },
          }),
        },
      };
    }
    case 'rfc2136': {
      const { nameserver, keyName, keySecret, algorithm } = provider;
      return {
        rfc2136: {
          nameserver,
          tsigKeyName: keyName,
          tsigAlgorithm: algorithm,
          tsigSecretSecretRef: { name: keySecret, key: 'tsig-secret' },
        },
      };
    }
  }
}

function httpSolver({ edge }: Settings): IssuerSpecAcmeSolversHttp01 {
  if (edge.dialect === 'gateway-api') {
    return { gatewayHttpRoute: { parentRefs: [{ kind: 'Gateway', name: StudioGateway.gatewayName, sectionName: 'http' }] } };
  }
  return {
    ingress: {
      ingressClassName: edge.className,
      // The controller takes a second Ingress for a host only as a part of the first.
      ...(edge.dialect === 'nginx' && {
        ingressTemplate: { metadata: { annotations: { 'nginx.org/mergeable-ingress-type': 'minion' } } },
      }),
    },
  };
}

const acme = (settings: Settings, { email, server, challenge }: LetsEncryptSettings): IssuerSpec => ({
  acme: {
    server: DIRECTORY[server],
    email,
    privateKeySecretRef: { name: 'lets-encrypt-account' },
    solvers: [challenge.by === 'dns-01' ? { dns01: dnsSolver(challenge.provider) } : { http01: httpSolver(settings) }],
  },
});

type Issued = Exclude<CertificateSettings, { source: 'secret' }>;

function issuerSpec(settings: Settings, certificate: Issued): IssuerSpec {
  switch (certificate.source) {
    case 'self-signed':
      return { selfSigned: {} };
    case 'private-ca':
      return { ca: { secretName: certificate.caSecret } };
    case 'lets-encrypt':
      return acme(settings, certificate);
  }
}

export interface StudioCertificateProps {
  readonly settings: Settings;
  readonly certificate: Issued;
}

/** The studio's certificate, made and renewed by cert-manager. */
export class StudioCertificate extends Construct {
  /** Pods of cert-manager that answer a challenge over HTTP, and their port. */
  static readonly solver: Pods = { name: 'acme-solver', selector: { 'acme.cert-manager.io/http01-solver': 'true' } };
  static readonly solverPort = 8089;

  constructor(scope: Construct, id: string, { settings, certificate }: StudioCertificateProps) {
    super(scope, id);
    const issuer = new Issuer(this, 'issuer', { metadata: { name: certificate.source }, spec: issuerSpec(settings, certificate) });
    const [commonName, ...others] = derive.hosts(settings) as [string, ...string[]];
    new Certificate(this, 'certificate', {
      metadata: { name: 'studio' },
      spec: {
        secretName: TLS_SECRET,
        dnsNames: [commonName, ...others],
        ...(certificate.source !== 'lets-encrypt' && { duration: `${DAYS * 24}h` }),
        // A self-signed certificate without a subject has no issuer either, which some clients refuse.
        ...(certificate.source === 'self-signed' && { commonName }),
        privateKey: {
          algorithm: CertificateSpecPrivateKeyAlgorithm.RSA,
          size: 4096,
          rotationPolicy: CertificateSpecPrivateKeyRotationPolicy.ALWAYS,
        },
        issuerRef: { name: issuer.name, kind: issuer.kind },
      },
    });
  }
}

import { Construct } from 'constructs';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { TLS_SECRET } from '../config/secrets';
import {
  Certificate,
  CertificateSpecPrivateKeyAlgorithm,
  CertificateSpecPrivateKeyRotationPolicy,
  Issuer,
} from '../imports/cert-manager.io';
import type { Pods } from './network-policies';

const DIRECTORY = {
  production: 'https://acme-v02.api.letsencrypt.org/directory',
  staging: 'https://acme-staging-v02.api.letsencrypt.org/directory',
} as const;

type LetsEncryptSettings = Extract<Settings['edge']['certificate'], { source: 'lets-encrypt' }>;

export interface LetsEncryptProps {
  readonly settings: Settings;
  readonly certificate: LetsEncryptSettings;
}

/** The studio's certificate from Let's Encrypt, made and renewed by cert-manager over HTTP-01. */
export class LetsEncrypt extends Construct {
  /** Pods of cert-manager that answer a challenge, and their port. */
  static readonly solver: Pods = { name: 'acme-solver', selector: { 'acme.cert-manager.io/http01-solver': 'true' } };
  static readonly solverPort = 8089;

  constructor(scope: Construct, id: string, { settings, certificate }: LetsEncryptProps) {
    super(scope, id);
    const issuer = new Issuer(this, 'issuer', {
      metadata: { name: 'lets-encrypt' },
      spec: {
        acme: {
          server: DIRECTORY[certificate.server],
          email: certificate.email,
          privateKeySecretRef: { name: 'lets-encrypt-account' },
          solvers: [{ http01: { ingress: { ingressClassName: derive.ingressClassName(settings) } } }],
        },
      },
    });
    new Certificate(this, 'certificate', {
      metadata: { name: 'studio' },
      spec: {
        secretName: TLS_SECRET,
        dnsNames: derive.hosts(settings),
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

import { join } from 'node:path';
import { ROOT } from '../root';
import { bundledStack } from './derive';
import type { Settings } from './schema';

/** A Secret that the operator makes outside of git; manifests only refer to it. */
export interface SecretReference {
  readonly name: string;
  readonly key: string;
  /** Length of the value that `orfeas secrets` makes. */
  readonly characters: number;
}

export const secrets = {
  app: { name: 'orfeas-app', key: 'SECRET_KEY', characters: 64 },
  redis: { name: 'orfeas-redis', key: 'password', characters: 32 },
  grafana: { name: 'orfeas-grafana', key: 'admin-password', characters: 32 },
  backup: { name: 'orfeas-backup', key: 'password', characters: 32 },
} as const satisfies Record<string, SecretReference>;

/** Those that the studio has a use for. */
export const studioSecrets = (settings: Settings): [keyof typeof secrets, SecretReference][] =>
  (Object.entries(secrets) as [keyof typeof secrets, SecretReference][]).filter(
    ([name]) => (name !== 'grafana' || bundledStack(settings) !== undefined) && (name !== 'backup' || settings.backup.enabled),
  );

/** Where git has them, encrypted. */
export const sealedFolder = ({ environment }: Settings): string => join(ROOT, 'files/sealed-secrets', environment);

/** A Secret whose values only the operator knows. */
export interface OperatorSecret {
  readonly name: string;
  readonly keys: readonly string[];
  /** Setting that names it. */
  readonly path: string;
}

/** What opens the repository of the backups, where it is not a claim. */
function repositorySecrets({ backup: { enabled, repository } }: Settings): OperatorSecret[] {
  if (!enabled) return [];
  const path = 'backup.repository';
  switch (repository.at) {
    case 's3':
      return [
        { name: repository.credentialsSecret, keys: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'], path: `${path}.credentialsSecret` },
      ];
    case 'rest':
      return repository.credentialsSecret === undefined
        ? []
        : [{ name: repository.credentialsSecret, keys: ['username', 'password'], path: `${path}.credentialsSecret` }];
    case 'sftp':
      return [{ name: repository.keySecret, keys: ['ssh-privatekey', 'known_hosts'], path: `${path}.keySecret` }];
    default:
      return [];
  }
}

function monitoringSecrets(settings: Settings): OperatorSecret[] {
  const stack = bundledStack(settings);
  if (stack === undefined) return [];
  const { alertmanager, prometheus } = stack;
  return [
    ...(alertmanager.source === 'bundled'
      ? [{ name: alertmanager.receiverSecret, keys: ['url'], path: 'monitoring.stack.alertmanager.receiverSecret' }]
      : []),
    ...prometheus.remoteWrite.flatMap(({ basicAuthSecret: name }, index) =>
      name === undefined
        ? []
        : [{ name, keys: ['username', 'password'], path: `monitoring.stack.prometheus.remoteWrite.${index}.basicAuthSecret` }],
    ),
  ];
}

/** What cert-manager needs to get the certificate. */
function certificateSecrets({ edge: { certificate } }: Settings): OperatorSecret[] {
  const path = 'edge.certificate';
  if (certificate.source === 'private-ca') return [{ name: certificate.caSecret, keys: ['tls.crt', 'tls.key'], path: `${path}.caSecret` }];
  if (certificate.source !== 'lets-encrypt' || certificate.challenge.by !== 'dns-01') return [];
  const { provider } = certificate.challenge;
  const at = `${path}.challenge.provider`;
  switch (provider.name) {
    case 'cloudflare':
      return [{ name: provider.tokenSecret, keys: ['api-token'], path: `${at}.tokenSecret` }];
    case 'route53':
      return provider.credentialsSecret === undefined
        ? []
        : [{ name: provider.credentialsSecret, keys: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'], path: `${at}.credentialsSecret` }];
    case 'rfc2136':
      return [{ name: provider.keySecret, keys: ['tsig-secret'], path: `${at}.keySecret` }];
  }
}

/** Keys are named as the operator likes. */
const apiSecrets = ({ security: { apiKeysSecret: name } }: Settings): OperatorSecret[] =>
  name === undefined ? [] : [{ name, keys: [], path: 'security.apiKeysSecret' }];

/** Secrets that settings name and `orfeas secrets` cannot make. */
export const operatorSecrets = (settings: Settings): OperatorSecret[] => [
  ...apiSecrets(settings),
  ...monitoringSecrets(settings),
  ...repositorySecrets(settings),
  ...certificateSecrets(settings),
];

/** Secret of type kubernetes.io/tls, by `orfeas tls`, cert-manager or the operator. */
export const TLS_SECRET = 'orfeas-tls';

/** Secrets that go into a backup where they are asked for: all but those that one needs to open it. */
export const secretsInBackup = (settings: Settings): string[] => [
  ...new Set([
    secrets.app.name,
    secrets.redis.name,
    ...(bundledStack(settings) ? [secrets.grafana.name] : []),
    TLS_SECRET,
    ...settings.images.pullSecrets,
    ...[...apiSecrets(settings), ...monitoringSecrets(settings)].map(({ name }) => name),
  ]),
];

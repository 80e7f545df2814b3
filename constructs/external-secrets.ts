import { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { studioSecrets } from '../config/secrets';
import {
  ExternalSecret,
  ExternalSecretSpecSecretStoreRefKind,
  ExternalSecretSpecTargetCreationPolicy,
  ExternalSecretSpecTargetDeletionPolicy,
} from '../imports/external-secrets.io';

export interface ExternalSecretsProps {
  readonly settings: Settings;
  readonly secrets: Extract<Settings['secrets'], { mode: 'external-secrets' }>;
}

/** The studio's Secrets as the External Secrets Operator copies them: each with all that the store has under its key. */
export class ExternalSecrets extends Construct {
  constructor(scope: Construct, id: string, { settings, secrets: { store, remoteKeys, refreshMinutes } }: ExternalSecretsProps) {
    super(scope, id);
    for (const [use, { name }] of studioSecrets(settings)) {
      new ExternalSecret(this, name, {
        metadata: { name },
        spec: {
          refreshInterval: `${refreshMinutes}m0s`,
          secretStoreRef: {
            name: store.name,
            kind: ExternalSecretSpecSecretStoreRefKind[store.kind === 'SecretStore' ? 'SECRET_STORE' : 'CLUSTER_SECRET_STORE'],
          },
          target: {
            name,
            // The studio's data outlives a prune, and so must what opens it.
            creationPolicy: ExternalSecretSpecTargetCreationPolicy.ORPHAN,
            deletionPolicy: ExternalSecretSpecTargetDeletionPolicy.RETAIN,
          },
          dataFrom: [{ extract: { key: remoteKeys[use] ?? `${settings.namespace}/${name}` } }],
        },
      });
    }
  }
}

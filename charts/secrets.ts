import type { Construct } from 'constructs';
import type { Settings } from '../config/schema';
import { sealedFolder } from '../config/secrets';
import { ExternalSecrets } from '../constructs/external-secrets';
import { SealedSecrets } from '../constructs/sealed-secrets';
import { StudioChart } from '../constructs/studio-chart';

export interface SecretsChartProps {
  readonly settings: Settings;
  readonly secrets: Exclude<Settings['secrets'], { mode: 'cli' }>;
}

/** What asks an operator of the cluster for the studio's Secrets. */
export class SecretsChart extends StudioChart {
  constructor(scope: Construct, id: string, { settings, secrets }: SecretsChartProps) {
    const { namespace, images } = settings;
    super(scope, id, { namespace, identity: { name: 'orfeas', component: 'secrets', version: images.version } });
    if (secrets.mode === 'external-secrets') new ExternalSecrets(this, 'external-secrets', { settings, secrets });
    else new SealedSecrets(this, 'sealed-secrets', { settings, folder: sealedFolder(settings) });
  }
}

import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ApiObject, type ApiObjectProps } from 'cdk8s';
import { Construct } from 'constructs';
import { load } from 'js-yaml';
import { SettingsError } from '../config/fault';
import type { Settings } from '../config/schema';
import { studioSecrets } from '../config/secrets';

export interface SealedSecretsProps {
  readonly settings: Settings;
  /** Has a file for each Secret. */
  readonly folder: string;
}

/** The studio's Secrets as git has them: encrypted for the Sealed Secrets controller of the cluster. */
export class SealedSecrets extends Construct {
  constructor(scope: Construct, id: string, { settings, folder }: SealedSecretsProps) {
    super(scope, id);
    const { environment } = settings;
    const files = studioSecrets(settings).map(([, { name }]) => join(folder, `${name}.yaml`));
    const missing = files.filter(file => !existsSync(file));
    if (missing.length > 0) {
      throw new SettingsError({
        [environment]: [
          {
            path: 'secrets.mode',
            value: 'sealed-secrets',
            problem: `there is no ${missing.join(', ')}`,
            remedy: `make it: orfeas secrets seal --env ${environment} --cert <certificate of the controller>`,
          },
        ],
      });
    }
    // Not by Include, which reads files in a process of a script beside its library: the bundle has none.
    for (const file of files) new ApiObject(this, basename(file, '.yaml'), load(readFileSync(file, 'utf8')) as ApiObjectProps);
  }
}

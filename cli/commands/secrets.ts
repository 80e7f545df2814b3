import { createInterface } from 'node:readline/promises';
import { loadSettings } from '../../config';
import { secrets as references } from '../../config/secrets';
import { Cluster } from '../cluster';
import { CommandError } from '../errors';
import { ensureNamespace } from '../namespace';
import type { CommonOptions, Outcome } from '../outcome';
import { rotateSecret } from '../rotation';
import { readSealing } from '../seal';
import { ensureSecrets, refuseForeign, type SecretChange } from '../secrets';
import { runSteps } from '../steps';

export interface SecretsOptions extends CommonOptions {
  readonly rotate?: string;
  readonly cert?: string;
  readonly force?: boolean;
}

export interface SecretsResult {
  readonly environment: string;
  readonly namespace: string;
  readonly secrets: readonly SecretChange[];
}

/** How long a change in a store or in git is waited for where nobody can press Ctrl-C: time for a review, but a pipeline ends. */
const PATIENCE_SECONDS = 3600;

async function confirm({ rotate, force, env }: SecretsOptions, signal: AbortSignal): Promise<void> {
  if (force) return;
  if (!process.stdin.isTTY)
    throw new CommandError(`The present value of ${rotate} will no longer be valid`, 'pass --force to confirm that');
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt
    .question(`Replace ${rotate} of ${env}? The present value will no longer be valid. [y/N] `, { signal })
    .finally(() => prompt.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('Nothing was changed');
}

/** Makes the Secrets that are missing, or replaces one. Values are never shown. */
export async function secrets(options: SecretsOptions, signal: AbortSignal): Promise<Outcome<SecretsResult>> {
  const { rotate: name, json } = options;
  const settings = loadSettings(options.env);
  const { environment, namespace } = settings;
  const cluster = Cluster.connect(options.context);
  let changes: SecretChange[] = [];
  const reference = Object.values(references).find(secret => secret.name === name);
  if (reference === undefined) {
    refuseForeign(settings);
    await ensureNamespace(cluster, settings);
    changes = await ensureSecrets(cluster, namespace);
  } else {
    const certificate = settings.secrets.mode === 'sealed-secrets' ? await readSealing(options.cert) : undefined;
    await confirm(options, signal);
    const patienceSeconds = process.stdin.isTTY ? Number.POSITIVE_INFINITY : PATIENCE_SECONDS;
    const rotation = {
      name: 'rotate',
      title: `Rotate ${reference.name}`,
      run: async (progress: (text: string) => void) => {
        const onInstruction = json ? (text: string) => console.error(text) : progress;
        await rotateSecret(cluster, { settings, reference, certificate, patienceSeconds, signal, onProgress: progress, onInstruction });
        return 'the old value is no longer valid';
      },
    };
    await runSteps([rotation], { json, signal });
    changes = [{ name: reference.name, action: 'rotated' }];
  }
  return {
    ok: true,
    result: { environment, namespace, secrets: changes },
    text: [
      ...changes.map(({ name, action }) => `Secret/${name} ${action}`),
      ...(reference === references.backup
        ? ['Without the new password no backup can be read: keep it outside of the cluster, as docs/backup.md says']
        : []),
    ].join('\n'),
  };
}

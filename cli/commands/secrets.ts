import { createInterface } from 'node:readline/promises';
import { loadSettings } from '../../config';
import { secrets as references } from '../../config/secrets';
import { Cluster } from '../cluster';
import { CommandError } from '../errors';
import { ensureNamespace } from '../namespace';
import type { CommonOptions, Outcome } from '../outcome';
import { ensureSecrets, refuseForeign, rotateSecret, type SecretChange } from '../secrets';
import { runSteps } from '../steps';

export interface SecretsOptions extends CommonOptions {
  readonly rotate?: string;
  readonly force?: boolean;
}

export interface SecretsResult {
  readonly environment: string;
  readonly namespace: string;
  readonly secrets: readonly SecretChange[];
  /** Workloads that a rotation restarted. */
  readonly restarted: readonly string[];
}

async function confirm({ rotate, force, env }: SecretsOptions, signal: AbortSignal): Promise<void> {
  if (force) return;
  if (rotate === references.backup.name) {
    throw new CommandError(
      `Snapshots made so far can be read with the present password of ${rotate} only`,
      'keep that password in a safe place, then pass --force',
    );
  }
  if (!process.stdin.isTTY) throw new CommandError(`A rotation of ${rotate} restarts what uses it`, 'pass --force to confirm that');
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt
    .question(`Replace ${rotate} of ${env} and restart what uses it? [y/N] `, { signal })
    .finally(() => prompt.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('Nothing was changed');
}

/** Makes the Secrets that are missing, or replaces one. Values are never shown. */
export async function secrets(options: SecretsOptions, signal: AbortSignal): Promise<Outcome<SecretsResult>> {
  const { rotate: name, json } = options;
  const settings = loadSettings(options.env);
  const { environment, namespace } = settings;
  refuseForeign(settings);
  const cluster = Cluster.connect(options.context);
  let changes: SecretChange[] = [];
  let restarted: string[] = [];
  const reference = Object.values(references).find(secret => secret.name === name);
  if (reference === undefined) {
    await ensureNamespace(cluster, settings);
    changes = await ensureSecrets(cluster, namespace);
  } else {
    await confirm(options, signal);
    const rotation = {
      name: 'rotate',
      title: `Rotate ${reference.name}`,
      run: async (progress: (text: string) => void) => {
        restarted = await rotateSecret(cluster, { namespace, reference, signal, onProgress: progress });
        return restarted.length > 0 ? `restarted ${restarted.join(', ')}` : 'nothing uses it';
      },
    };
    await runSteps([rotation], { json, signal });
    changes = [{ name: reference.name, action: 'rotated' }];
  }
  return {
    ok: true,
    result: { environment, namespace, secrets: changes, restarted },
    text: changes.map(({ name, action }) => `Secret/${name} ${action}`).join('\n'),
  };
}

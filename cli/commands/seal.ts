import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { loadSettings } from '../../config';
import { type SecretReference, studioSecrets } from '../../config/secrets';
import { Cluster } from '../cluster';
import { CommandError } from '../errors';
import type { Secret } from '../objects';
import type { CommonOptions, Outcome } from '../outcome';
import { readSealing, sealedFile, writeSealed } from '../seal';
import { randomValue, referenceTo } from '../secrets';

export interface SealOptions extends CommonOptions {
  readonly cert?: string;
  readonly force?: boolean;
}

export interface SealResult {
  readonly environment: string;
  readonly files: readonly { readonly path: string; readonly action: 'sealed' | 'kept' }[];
}

/** What the cluster has, or else a new value. */
async function valuesOf(cluster: Cluster, namespace: string, { name, key, characters }: SecretReference): Promise<Record<string, Buffer>> {
  const live = await cluster.get<Secret>(referenceTo(namespace, name));
  if (!live?.data?.[key]) return { [key]: Buffer.from(randomValue(characters)) };
  return Object.fromEntries(Object.entries(live.data).map(([each, value]) => [each, Buffer.from(value, 'base64')]));
}

/** Encrypts the Secrets of an environment for git: the values that the cluster has, and new ones where it has none. */
export async function sealSecrets({ env, cert, force = false, context }: SealOptions, signal: AbortSignal): Promise<Outcome<SealResult>> {
  const settings = loadSettings(env);
  const { environment, namespace } = settings;
  if (settings.secrets.mode !== 'sealed-secrets') {
    throw new CommandError(
      `The Secrets of ${environment} are not sealed (secrets.mode is ${settings.secrets.mode})`,
      `set secrets to { mode: 'sealed-secrets' } in config/${environment}.ts first`,
    );
  }
  const certificate = await readSealing(cert);
  const cluster = Cluster.connect(context);
  const wanted = studioSecrets(settings).map(([, reference]) => ({ reference, file: sealedFile(settings, reference.name) }));
  const missing = wanted.filter(({ file }) => force || !existsSync(file));
  const found = await Promise.all(
    missing.map(async ({ reference }) => ({ name: reference.name, values: await valuesOf(cluster, namespace, reference) })),
  );
  signal.throwIfAborted();
  for (const { name, values } of found) await writeSealed(settings, name, values, certificate);
  const files = wanted.map(({ file }) => ({
    path: relative(process.cwd(), file),
    action: missing.some(one => one.file === file) ? ('sealed' as const) : ('kept' as const),
  }));
  return {
    ok: true,
    result: { environment, files },
    text: [...files.map(({ path, action }) => `${path} ${action}`), 'Next: npm run synth, and commit both'].join('\n'),
  };
}

import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { dump } from 'js-yaml';
import { loadSettings } from '../../config';
import { sealedFolder, studioSecrets } from '../../config/secrets';
import { Cluster } from '../cluster';
import { CommandError } from '../errors';
import type { Secret } from '../objects';
import type { CommonOptions, Outcome } from '../outcome';
import { checkSealing, seal } from '../seal';
import { randomValue, referenceTo } from '../secrets';

export interface SealOptions extends CommonOptions {
  readonly cert: string;
  readonly force?: boolean;
}

export interface SealResult {
  readonly environment: string;
  readonly files: readonly { readonly path: string; readonly action: 'sealed' | 'kept' }[];
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
  const certificate = await readFile(cert, 'utf8').catch(error => {
    throw new CommandError(`--cert ${cert} cannot be read: ${error.code}`, 'give the path of a PEM file', { cause: error });
  });
  checkSealing(certificate, cert);
  const cluster = Cluster.connect(context);
  const folder = sealedFolder(settings);
  const wanted = studioSecrets(settings).map(([, reference]) => ({ reference, file: join(folder, `${reference.name}.yaml`) }));
  const sealed = await Promise.all(
    wanted
      .filter(({ file }) => force || !existsSync(file))
      .map(async ({ reference: { name, key, characters }, file }) => {
        const live = await cluster.get<Secret>(referenceTo(namespace, name));
        const values = live?.data?.[key]
          ? Object.entries(live.data).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const)
          : [[key, Buffer.from(randomValue(characters))] as const];
        // The studio's data outlives a prune, and so must what opens it; a Secret that is there is taken over.
        const annotations = Object.fromEntries(
          ['skip-set-owner-references', 'managed'].map(name => [`sealedsecrets.bitnami.com/${name}`, 'true']),
        );
        const object = {
          apiVersion: 'bitnami.com/v1alpha1',
          kind: 'SealedSecret',
          metadata: { name, namespace },
          spec: {
            encryptedData: Object.fromEntries(values.map(([key, value]) => [key, seal(certificate, `${namespace}/${name}`, value)])),
            template: { metadata: { name, namespace, annotations }, type: 'Opaque' },
          },
        };
        return { file, text: dump(object) };
      }),
  );
  signal.throwIfAborted();
  await mkdir(folder, { recursive: true });
  for (const { file, text } of sealed) await writeFile(file, text);
  const files = wanted.map(({ file }) => ({
    path: relative(process.cwd(), file),
    action: sealed.some(one => one.file === file) ? ('sealed' as const) : ('kept' as const),
  }));
  return {
    ok: true,
    result: { environment, files },
    text: [...files.map(({ path, action }) => `${path} ${action}`), 'Next: npm run synth, and commit both'].join('\n'),
  };
}

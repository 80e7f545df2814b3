import { loadSettings } from '../../config';
import { inRegistry } from '../../config/images';
import { registry as schema } from '../../config/schema';
import { findCopier } from '../copier';
import { CommandError } from '../errors';
import { runCommand } from '../images';
import { inventory } from '../inventory';
import type { CommonOptions, Outcome } from '../outcome';
import { RegistryClient } from '../registry';
import { runSteps, type StepResult } from '../steps';

export interface MirrorOptions extends CommonOptions {
  /** `images.mirror` when absent. */
  readonly registry?: string;
}

export interface MirrorResult {
  readonly registry: string;
  readonly steps: readonly StepResult[];
}

/** Copies every image that pods run to a private registry, by digest. What is there already is left alone, so it can be run again. */
export async function mirrorImages(options: MirrorOptions, signal: AbortSignal): Promise<Outcome<MirrorResult>> {
  const { env, json } = options;
  const settings = loadSettings(env);
  const registry = options.registry ?? settings.images.mirror;
  if (registry === undefined)
    throw new CommandError('There is no registry to copy to', 'name one, or set images.mirror, which pods pull from then');
  if (!schema.safeParse(registry).success)
    throw new CommandError(`"${registry}" is not a registry`, 'write it like registry.example.org/studio');
  const images = inventory(settings).filter(({ reference }) => reference);
  const unlocked = images.filter(({ digest }) => digest === undefined).map(({ image }) => image);
  if (unlocked.length > 0)
    throw new CommandError(
      `The lock has no digest of ${unlocked.join(', ')}`,
      `push ${unlocked.length > 1 ? 'them' : 'it'}, then run orfeas images lock --env ${env}`,
    );
  const copier = await findCopier();
  const client = new RegistryClient(signal);
  const copies = images.map(({ image, digest }) => ({
    name: image,
    title: image,
    run: async (progress: (text: string) => void) => {
      const target = inRegistry(registry, image);
      if ((await client.digestOf(target)) === digest) return 'there';
      await runCommand(copier.copyCommand(`${image.slice(0, image.lastIndexOf(':'))}@${digest}`, target), { signal, onLine: progress });
      const copied = await client.digestOf(target);
      if (copied !== digest) throw new CommandError(`${target} has ${copied ?? 'no image'}, and not ${digest}`, 'use another registry');
      return `copied by ${copier.name}`;
    },
  }));
  const steps: StepResult[] = [];
  await runSteps(copies, { json, signal }, steps);
  const next =
    settings.images.mirror === registry
      ? `config/${env}.ts names it already: pods pull from there.`
      : `Set images.mirror to "${registry}" in config/${env}.ts, and images.pullSecrets where it asks for a login, to have pods pull from there.`;
  return { ok: true, result: { registry, steps }, text: `${images.length} images are in ${registry}, each under its digest. ${next}` };
}

import { mkdir, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { loadSettings } from '../../config';
import { ownImages, pinnedOwn } from '../../config/images';
import { CommandError } from '../errors';
import { runCommand, succeeds } from '../images';
import type { CommonOptions, Outcome } from '../outcome';
import { runSteps } from '../steps';

export interface SbomOptions extends CommonOptions {
  readonly folder: string;
}

export interface SbomResult {
  readonly files: readonly string[];
}

/** Writes a software bill of materials of each of our images: by its digest where the lock has one, as it was built elsewhere. */
export async function writeSboms(options: SbomOptions, signal: AbortSignal): Promise<Outcome<SbomResult>> {
  const { env, json } = options;
  const { images } = loadSettings(env);
  const folder = resolve(options.folder);
  if (!(await succeeds(['syft', 'version'], process.env)))
    throw new CommandError('syft is not installed', 'install it, such as by: go install github.com/anchore/syft/cmd/syft@v1.57.1');
  await mkdir(folder, { recursive: true }).catch(error => {
    throw new CommandError(`${folder} cannot be made: ${error.code}`, 'give a folder that you may write to', { cause: error });
  });
  const files: string[] = [];
  const steps = ownImages.map(name => ({
    name,
    title: name,
    run: async (onLine: (line: string) => void) => {
      const { image, digest } = pinnedOwn(images, name);
      const file = join(folder, `${name}-${images.version}.spdx.json`);
      const scratch = `${file}.${process.pid}`;
      try {
        await runCommand(['syft', 'scan', digest ? `registry:${image}@${digest}` : image, '--output', `spdx-json=${scratch}`], {
          signal,
          onLine,
        });
        await rename(scratch, file);
      } finally {
        await rm(scratch, { force: true });
      }
      files.push(file);
      return file;
    },
  }));
  await runSteps(steps, { json, signal });
  return { ok: true, result: { files }, text: files.join('\n') };
}

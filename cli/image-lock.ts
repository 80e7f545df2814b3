import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageLock } from '../config/images';
import { ROOT } from '../root';
import { CommandError } from './errors';

const LOCK = join(ROOT, 'config/images.lock.json');

/** Reads the lock anew, as a command may have changed it. */
export const readLock = async (path = LOCK): Promise<ImageLock> =>
  JSON.parse(
    await readFile(path, 'utf8').catch(error => {
      throw new CommandError(`${path} cannot be read: ${error.code}`, 'check it out of git again', { cause: error });
    }),
  );

/** Replaces the lock at once: whoever reads it finds the old one or the new one. */
export async function writeLock(lock: ImageLock, path = LOCK): Promise<void> {
  const scratch = `${path}.${process.pid}`;
  try {
    await writeFile(scratch, `${JSON.stringify(lock, undefined, 2)}\n`);
    await rename(scratch, path);
  } catch (error) {
    await rm(scratch, { force: true });
    throw new CommandError(`${path} cannot be written: ${(error as NodeJS.ErrnoException).code}`, 'see that you may write there', {
      cause: error,
    });
  }
}

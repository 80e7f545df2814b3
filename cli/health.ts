import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from './errors';
import type { Studio } from './http';

const ATTEMPTS = 12;
const PAUSE_MILLISECONDS = 5_000;
const PATHS = ['/', '/health', '/ready'] as const;

export interface HealthProps {
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/**
 * Asks web and the backend through the Ingress, twelve times with five seconds between.
 *
 * @throws CommandError with what the last attempt saw.
 */
export async function checkHealth(studio: Studio, { signal, onProgress }: HealthProps): Promise<void> {
  const failures = new Map<string, CommandError>();
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    for (const path of PATHS) {
      await studio.request('GET', path).then(
        ({ status }) => {
          if (status === 200) failures.delete(path);
          else
            failures.set(path, new CommandError(`GET ${studio.url}${path} was answered ${status}`, 'orfeas status says what is not ready'));
        },
        (error: CommandError) => failures.set(path, error),
      );
    }
    if (failures.size === 0) return;
    onProgress(`attempt ${attempt} of ${ATTEMPTS}: ${[...failures.values()].map(({ message }) => message).join('; ')}`);
    if (attempt < ATTEMPTS) await sleep(PAUSE_MILLISECONDS, undefined, { signal });
  }
  const [first, ...others] = failures.values();
  throw new CommandError([first, ...others].map(error => error?.message).join('\n'), first?.remedy, { cause: first });
}

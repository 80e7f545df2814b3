import { createInterface } from 'node:readline/promises';
import { CommandError } from './errors';

/**
 * Asks whether to go on, on a terminal.
 *
 * @param what - Said where nobody can be asked.
 * @throws CommandError when the answer is no, or nobody can be asked.
 */
export async function confirm(text: string, what: string, signal: AbortSignal): Promise<void> {
  if (!process.stdin.isTTY) throw new CommandError(what, 'see what with --dry-run, then pass --force to confirm that');
  console.error(text);
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await prompt.question('Go on? [y/N] ', { signal }).finally(() => prompt.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandError('Nothing was changed');
}

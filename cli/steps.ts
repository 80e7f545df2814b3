import { Listr } from 'listr2';

/** One visible part of a command. */
export interface Step {
  readonly name: string;
  readonly title: string;
  /** Why it is left out. */
  readonly skip?: string | undefined;
  /** Does the work, tells how it goes, and returns what came of it in a few words. */
  readonly run: (progress: (text: string) => void) => Promise<string>;
}

export interface StepResult {
  readonly name: string;
  readonly status: 'done' | 'skipped' | 'failed';
  readonly seconds: number;
  /** What came of it, or why it was left out. */
  readonly detail: string;
}

export interface RunProps {
  readonly json?: boolean | undefined;
  /** No further step starts once it is aborted. */
  readonly signal: AbortSignal;
}

const seconds = (since: number): number => Math.round((Date.now() - since) / 100) / 10;

/**
 * Runs steps one after the other and shows them: live on a terminal, line by line elsewhere, not at all for JSON.
 *
 * @param results - Gets the result of each step as it ends, so that it is there when one fails.
 */
export async function runSteps(steps: readonly Step[], { json, signal }: RunProps, results: StepResult[] = []): Promise<void> {
  let failure: unknown;
  const tasks = new Listr(
    steps.map(({ name, title: bare, skip, run }, index) => {
      const title = steps.length > 1 ? `${index + 1}/${steps.length} ${bare}` : bare;
      return {
        title,
        skip: () => {
          if (skip === undefined) return false;
          results.push({ name, status: 'skipped', seconds: 0, detail: skip });
          return skip;
        },
        task: async (_, task) => {
          const start = Date.now();
          const progress = (text: string): void => {
            if (task.output !== text) task.output = text;
          };
          try {
            signal.throwIfAborted();
            const detail = await run(progress);
            results.push({ name, status: 'done', seconds: seconds(start), detail });
            task.title = `${title}: ${detail}`;
          } catch (error) {
            results.push({ name, status: 'failed', seconds: seconds(start), detail: (error as Error).message });
            failure = error;
            // The command reports the error itself, once and in full.
            throw new Error('see below');
          }
        },
        rendererOptions: { outputBar: 8 },
      };
    }),
    {
      renderer: 'default',
      fallbackRenderer: 'simple',
      silentRendererCondition: json ?? false,
      // The command itself decides what an interrupt means.
      registerSignalListeners: false,
      rendererOptions: { showErrorMessage: false, collapseErrors: false, collapseSkips: false },
    },
  );
  await tasks.run().catch(error => {
    throw failure ?? error;
  });
}

import type { Settings } from '../config';
import { describePhase, findCronJob, isPhase, type PhaseEvent, parseLine, refuseWhileRunning, type Snapshot } from './backups';
import type { Cluster } from './cluster';
import { deleteJob, followJob, stamp, startJob } from './cron-jobs';
import { CommandError, Interrupted } from './errors';

/** What a backup tells at its end. */
export interface MadeBackup {
  readonly name: string;
  /** Restic's id of it. */
  readonly snapshot: string;
  /** Of the data in it. */
  readonly bytes: number;
  /** What the repository grew by. */
  readonly addedBytes: number;
  readonly files: number;
  readonly seconds: number;
  /** Parts that could not be had, with the reason. */
  readonly missing: Snapshot['missing'];
}

export interface MakeBackupProps {
  /** Whether the caches of the model, which can be had again, are left out. */
  readonly skipModels?: boolean | undefined;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/**
 * Makes a backup now, as the schedule would.
 *
 * @throws Interrupted when the signal aborts it, with what is left of it; CommandError with why it failed.
 */
export async function makeBackup(
  cluster: Cluster,
  settings: Settings,
  { skipModels, signal, onProgress }: MakeBackupProps,
): Promise<MadeBackup> {
  let made: MadeBackup | undefined;
  let failure: PhaseEvent | undefined;
  let archiving = false;
  let archived: string | undefined;
  const cronJob = await findCronJob(cluster, settings, 'backup');
  await refuseWhileRunning(cluster, settings.namespace, ['backup', 'restore']);
  const [main] = cronJob.spec?.jobTemplate.spec?.template.spec?.containers ?? [];
  const args = [...(main?.args ?? []), ...(skipModels ? ['--skip-models'] : [])];
  // Whoever waits for it can start it again; a pod that fails again and again would only keep them waiting.
  const job = await startJob(cluster, cronJob, { suffix: `manual-${stamp()}`, args, backoffLimit: 0 });
  const { name } = job.metadata;
  onProgress(`Job/${name}`);
  const onLine = (line: string): void => {
    const document = parseLine(line);
    if (document === undefined) return;
    if ('result' in document) made = document.result as MadeBackup;
    if (!isPhase(document)) return;
    onProgress(describePhase(document));
    if (document.status === 'failed') failure = document;
    if (document.phase === 'archive') {
      archiving = true;
      if (document.status === 'done') archived = document.name;
    }
  };
  const { succeeded, problem } = await followJob(cluster, job, { signal, onLine, onProgress }).catch(async error => {
    await deleteJob(cluster, job);
    if (!signal.aborted) throw error;
    const interrupted = `Interrupted. Job/${name} is deleted`;
    if (archived) throw new Interrupted(`${interrupted}, and ${archived} is complete`, 'the next backup removes those that are too old');
    // The last word of its pod may not have come.
    if (archiving) throw new Interrupted(`${interrupted}, and left a whole backup or none`, 'orfeas backup list shows which');
    throw new Interrupted(`${interrupted}, and left no backup`, 'run the same command again for a new one');
  });
  if (succeeded && made) return made;
  throw new CommandError(failure?.error ?? (problem || `Job/${name} did not tell what it made`), failure?.remedy);
}

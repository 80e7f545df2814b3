import { describePhase, isPhase, type PhaseEvent, parseLine } from './backups';
import { type Cluster, isPassing } from './cluster';
import { followJob, hasEnded, hasSucceeded, jobsOf, stamp, startJob, stopJob, variableOf } from './cron-jobs';
import { CommandError } from './errors';
import type { CronJob, Job } from './objects';
import type { Part } from './parts';

/** Says when the command was done with what the Job began: data replaced, workloads started, or all of it put back. */
const CONCLUDED = 'orfeas/concluded';

/** What a Job of CronJob/restore is to do. */
export interface RestoreOrder {
  readonly action: 'restore' | 'rollback' | 'discard';
  /** Name of the backup. */
  readonly snapshot: string;
  readonly parts: readonly Part[];
  /** Time of the restore, `YYYYMMDD_HHMMSS`; its safety copy is named by it. */
  readonly id: string;
}

/** A restore by its Job. */
export interface PastRestore extends RestoreOrder {
  readonly job: Job;
}

export const newId = (): string => stamp().replace(/^(\d{8})/, '$1_');

const orderOf = (job: Job): PastRestore => ({
  job,
  action: variableOf(job, 'RESTORE_ACTION') as RestoreOrder['action'],
  snapshot: variableOf(job, 'RESTORE_SNAPSHOT') ?? '',
  parts: (variableOf(job, 'RESTORE_PARTS') ?? '').split(',') as Part[],
  id: variableOf(job, 'RESTORE_ID') ?? '',
});

/** All that was restored or put back, as far as its Jobs are still there; the newest first. */
export const pastRestores = async (cluster: Cluster, namespace: string): Promise<PastRestore[]> =>
  (await jobsOf(cluster, namespace, ['restore'])).map(orderOf);

/** Whether a command that began it was cut off. */
export const isOpen = ({ job }: PastRestore): boolean => job.metadata.annotations?.[CONCLUDED] === undefined;

export const hasRestored = ({ job }: PastRestore): boolean => hasSucceeded(job);
export const isRunning = ({ job }: PastRestore): boolean => !hasEnded(job);

export const isSame = (a: RestoreOrder, b: Omit<RestoreOrder, 'id'>): boolean =>
  a.action === b.action && a.snapshot === b.snapshot && [...a.parts].sort().join() === [...b.parts].sort().join();

/**
 * The last restore, to put back what it replaced.
 *
 * @throws CommandError when there is none, or that was done already.
 */
export function findUndoable(past: readonly PastRestore[], namespace: string): Pick<RestoreOrder, 'snapshot' | 'parts' | 'id'> {
  const last = past.find(restore => hasRestored(restore) || isOpen(restore));
  const remedy = 'restore a backup: orfeas backup list shows them';
  if (last === undefined) throw new CommandError(`No restore of ${namespace} is known that could be undone`, remedy);
  const { action, snapshot, parts, id } = last;
  if (action === 'discard') throw new CommandError(`What restores of ${namespace} had replaced was removed`, remedy);
  if (action === 'rollback' && !isOpen(last)) throw new CommandError(`The restore of ${snapshot} was undone already`, remedy);
  return { snapshot, parts, id };
}

/** Makes the Job of a restore. Its pods do nothing before the writers have stopped. */
export const startRestore = (cluster: Cluster, cronJob: CronJob, { action, snapshot, parts, id }: RestoreOrder): Promise<Job> =>
  startJob(cluster, cronJob, {
    suffix: action === 'restore' ? stamp() : `${action}-${stamp()}`,
    env: { RESTORE_ACTION: action, RESTORE_SNAPSHOT: snapshot, RESTORE_PARTS: parts.join(','), RESTORE_ID: id },
    kept: true,
  });

/** Notes that nothing of the Job is left to be gone on with. */
export const conclude = (cluster: Cluster, { metadata: { name, namespace } }: Job): Promise<void> =>
  cluster.merge(
    { apiVersion: 'batch/v1', kind: 'Job', metadata: { name, namespace } },
    { metadata: { annotations: { [CONCLUDED]: new Date().toISOString() } } },
  );

export interface RestoreProps {
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
  /** Told once data is being replaced. */
  readonly onCommit: () => void;
}

/** A phase with the owner of the files that it is about. */
const describe = (event: PhaseEvent & { owner?: string }): string => [event.owner, describePhase(event)].filter(Boolean).join(': ');

/**
 * Follows the Job of a restore to its end. Until it replaces data, an interrupt ends it, and so does a first failure.
 *
 * @throws CommandError with why it failed, or the interrupt. Its pods have stopped then, unless the cluster does not answer.
 */
export async function followRestore(cluster: Cluster, job: Job, { signal, onProgress, onCommit }: RestoreProps): Promise<void> {
  const cut = new AbortController();
  let committing = false;
  let heard = false;
  let failure: PhaseEvent | undefined;
  const isCommit = (container: string): boolean => container.startsWith('commit-');
  const commit = (): void => {
    committing = true;
    onCommit();
  };
  const onLine = (line: string, container: string): void => {
    heard = true;
    if (isCommit(container) && !committing) commit();
    const document = parseLine(line);
    if (document === undefined || !isPhase(document)) return;
    onProgress(describe(document));
    if (document.status !== 'failed') return;
    failure = document;
    // The cluster would try again and again, while people wait for their studio.
    if (!isCommit(container)) cut.abort(new CommandError(document.error ?? '', document.remedy));
  };
  const onInterrupt = (): void => {
    if (!committing) cut.abort(signal.reason);
  };
  signal.addEventListener('abort', onInterrupt);
  if (signal.aborted) onInterrupt();
  try {
    const { succeeded, problem } = await followJob(cluster, job, { signal: cut.signal, onLine, onProgress }).catch(async error => {
      if (isPassing(error)) throw error;
      const begun = await stopJob(cluster, job, onProgress);
      if (!committing && [...begun].some(isCommit)) commit();
      throw cut.signal.aborted ? cut.signal.reason : error;
    });
    if (succeeded) return;
    // Of one that failed before we looked, nobody knows how far it came.
    if (!heard) commit();
    throw new CommandError(failure?.error ?? problem, failure?.remedy);
  } finally {
    signal.removeEventListener('abort', onInterrupt);
  }
}

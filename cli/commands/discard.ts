import { loadSettings } from '../../config';
import { findCronJob, refuseWhileRunning } from '../backups';
import { Cluster } from '../cluster';
import { confirm } from '../confirm';
import { CommandError } from '../errors';
import { type CronJob, title } from '../objects';
import type { CommonOptions, Outcome } from '../outcome';
import { parts } from '../parts';
import { describeStop } from '../restore-plan';
import { conclude, followRestore, isOpen, newId, pastRestores, startRestore } from '../restores';
import { runSteps, type Step, type StepResult } from '../steps';
import { startWriters, stopWriters, writersOf } from '../writers';

export interface DiscardOptions extends CommonOptions {
  /** Cannot be given: what is removed is that of all restores. */
  readonly snapshot?: string | undefined;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

export interface DiscardResult {
  readonly dryRun: boolean;
  readonly steps: readonly StepResult[];
}

/** Removes what restores have replaced, to have its room on the volumes. */
export async function discard(
  { env, context, json, snapshot, force, dryRun = false }: DiscardOptions,
  signal: AbortSignal,
): Promise<Outcome<DiscardResult>> {
  if (snapshot !== undefined) throw new CommandError('--discard takes no name of a backup', 'leave it out: it is about all restores');
  const settings = loadSettings(env);
  const { namespace, environment } = settings;
  const cluster = Cluster.connect(context);
  const results: StepResult[] = [];
  const writers = writersOf(settings, parts);
  let cronJob: CronJob;

  const check: Step = {
    name: 'check',
    title: 'Check',
    run: async () => {
      cronJob = await findCronJob(cluster, settings, 'restore');
      await refuseWhileRunning(cluster, namespace, ['backup', 'restore']);
      const [last] = await pastRestores(cluster, namespace);
      if (last && isOpen(last) && last.action !== 'discard') {
        throw new CommandError(
          `The restore of ${last.snapshot} did not come to its end, and needs what it replaced`,
          `run it again: orfeas restore ${last.snapshot} --env ${environment}`,
        );
      }
      return `${namespace} of the cluster "${cluster.context}"`;
    },
  };
  // A volume may be one that a single node mounts, and this is done by a pod of its own.
  const stop: Step = {
    name: 'stop',
    title: 'Stop what writes',
    run: async onProgress => {
      await stopWriters(cluster, writers, { namespace, signal, onProgress });
      return writers.map(title).join(', ');
    },
  };
  const remove: Step = {
    name: 'discard',
    title: 'Remove what was replaced',
    run: async onProgress => {
      const job = await startRestore(cluster, cronJob, { action: 'discard', snapshot: '', parts, id: newId() });
      await followRestore(cluster, job, { signal, onProgress, onCommit: () => {} });
      await conclude(cluster, job);
      return job.metadata.name;
    },
  };
  const start: Step = {
    name: 'start',
    title: 'Start what was stopped',
    run: async onProgress => {
      await startWriters(cluster, writers, { namespace, signal: new AbortController().signal, onProgress });
      return writers.map(title).join(', ');
    },
  };

  await runSteps([check], { json, signal }, results);
  const text = `What restores in ${namespace} have replaced is removed for good: none can be undone.\n${describeStop(writers)}`;
  if (dryRun) return { ok: true, result: { dryRun, steps: results }, text: `${text}\nNothing was changed.` };
  if (!force) await confirm(text, 'This removes data', signal);
  try {
    await runSteps([stop, remove], { json, signal }, results);
  } finally {
    await runSteps([start], { json, signal: new AbortController().signal }, results);
  }
  return { ok: true, result: { dryRun, steps: results }, text: 'What restores have replaced is removed' };
}

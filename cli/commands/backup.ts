import { join, resolve } from 'node:path';
import { loadSettings } from '../../config';
import {
  askRepository,
  describeMissing,
  describePhase,
  findCronJob,
  isPhase,
  type PhaseEvent,
  parseLine,
  refuseWhileRunning,
  type Snapshot,
} from '../backups';
import { Cluster } from '../cluster';
import { deleteJob, followJob, stamp, startJob } from '../cron-jobs';
import { CommandError, Interrupted } from '../errors';
import { age, type CommonOptions, type Outcome, size, table } from '../outcome';
import { runSteps, type Step } from '../steps';
import { type Exported, exportBackup, refuseExisting } from '../transfer';
import { describeExport, type ExportResult } from './export';

export interface BackupOptions extends CommonOptions {
  readonly skipModels?: boolean;
  /** Folder for a zip of it. */
  readonly target?: string;
}

/** What a backup tells at its end. */
export interface BackupResult {
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
  /** The zip, where one was asked for. */
  readonly exported?: ExportResult;
}

const describeResult = ({ name, bytes, addedBytes, files, seconds, missing, exported }: BackupResult): string =>
  [
    `${name} is complete: ${size(bytes)} in ${files} files, of which ${size(addedBytes)} were new, in ${Math.round(seconds)} s`,
    ...(Object.keys(missing).length > 0 ? [`warning: it lacks ${describeMissing(missing)}`] : []),
    ...(exported ? [describeExport(exported)] : []),
  ].join('\n');

/** Makes a backup now, as the schedule would, and shows how it goes. */
export async function backup(options: BackupOptions, signal: AbortSignal): Promise<Outcome<BackupResult>> {
  const settings = loadSettings(options.env);
  const { namespace } = settings;
  const { target } = options;
  const fileOf = (name: string): string => join(resolve(target ?? '.'), `${name}.zip`);
  // Before anything is done: whether there is such a folder.
  if (target !== undefined) await refuseExisting(fileOf('orfeas_backup'), true);
  const cluster = Cluster.connect(options.context);
  let result: BackupResult | undefined;
  let failure: PhaseEvent | undefined;
  let archiving = false;
  let archived: string | undefined;

  const steps: Step[] = [
    {
      name: 'backup',
      title: 'Back up',
      run: async progress => {
        const cronJob = await findCronJob(cluster, settings, 'backup');
        await refuseWhileRunning(cluster, namespace, ['backup', 'restore']);
        const [main] = cronJob.spec?.jobTemplate.spec?.template.spec?.containers ?? [];
        const args = [...(main?.args ?? []), ...(options.skipModels ? ['--skip-models'] : [])];
        // Whoever waits for it can start it again; a pod that fails again and again would only keep them waiting.
        const job = await startJob(cluster, cronJob, { suffix: `manual-${stamp()}`, args, backoffLimit: 0 });
        const { name } = job.metadata;
        progress(`Job/${name}`);
        const onLine = (line: string): void => {
          const document = parseLine(line);
          if (document === undefined) return;
          if ('result' in document) result = document.result as BackupResult;
          if (!isPhase(document)) return;
          progress(describePhase(document));
          if (document.status === 'failed') failure = document;
          if (document.phase === 'archive') {
            archiving = true;
            if (document.status === 'done') archived = document.name;
          }
        };
        const { succeeded, problem } = await followJob(cluster, job, { signal, onLine, onProgress: progress }).catch(async error => {
          await deleteJob(cluster, job);
          if (!signal.aborted) throw error;
          const interrupted = `Interrupted. Job/${name} is deleted`;
          if (archived)
            throw new Interrupted(`${interrupted}, and ${archived} is complete`, 'the next backup removes those that are too old');
          // The last word of its pod may not have come.
          if (archiving) throw new Interrupted(`${interrupted}, and left a whole backup or none`, 'orfeas backup list shows which');
          throw new Interrupted(`${interrupted}, and left no backup`, 'run the same command again for a new one');
        });
        if (succeeded && result) return result.name;
        throw new CommandError(failure?.error ?? (problem || `Job/${name} did not tell what it made`), failure?.remedy);
      },
    },
  ];
  if (target !== undefined) {
    steps.push({
      name: 'export',
      title: 'Export',
      run: async progress => {
        const made = result as unknown as BackupResult;
        const file = fileOf(made.name);
        await refuseExisting(file);
        const exported: Exported = await exportBackup(cluster, settings, { wanted: made.name, file, signal, onProgress: progress });
        result = { ...made, exported: { ...exported, file } };
        return file;
      },
    });
  }
  try {
    await runSteps(steps, { json: options.json, signal });
  } catch (error) {
    const made = result as BackupResult | undefined;
    if (made === undefined) throw error;
    // The backup is there all the same.
    return { ok: false, result: made, text: describeResult(made), error };
  }
  const made = result as unknown as BackupResult;
  return { ok: true, result: made, text: describeResult(made) };
}

export interface BackupListResult {
  /** The newest first. */
  readonly snapshots: readonly Snapshot[];
}

/** Lists the backups in the repository. */
export async function listBackups(options: CommonOptions, signal: AbortSignal): Promise<Outcome<BackupListResult>> {
  const settings = loadSettings(options.env);
  const { environment } = settings;
  const cluster = Cluster.connect(options.context);
  let snapshots: readonly Snapshot[] = [];
  const step = {
    name: 'list',
    title: 'Ask the repository',
    run: async (progress: (text: string) => void) => {
      ({ snapshots } = await askRepository<BackupListResult>(cluster, settings, ['list'], { signal, onProgress: progress }));
      return `${snapshots.length} backup(s)`;
    },
  };
  await runSteps([step], { json: options.json, signal });
  const now = Date.now();
  const rows = snapshots.map(({ name, created, bytes, files, parts, missing }) => [
    name,
    age((now - Date.parse(created)) / 1000),
    size(bytes),
    `${files}`,
    parts.join(','),
    Object.keys(missing).join(',') || '-',
  ]);
  const text =
    rows.length > 0
      ? table([['NAME', 'AGE', 'SIZE', 'FILES', 'PARTS', 'MISSING'], ...rows])
      : `There is no backup yet\n  → orfeas backup --env ${environment}`;
  return { ok: true, result: { snapshots }, text };
}

import { join, resolve } from 'node:path';
import { loadSettings } from '../../config';
import { askRepository, describeMissing, type Snapshot } from '../backups';
import { Cluster } from '../cluster';
import { type MadeBackup, makeBackup } from '../make-backup';
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
export interface BackupResult extends MadeBackup {
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
  const { target } = options;
  const fileOf = (name: string): string => join(resolve(target ?? '.'), `${name}.zip`);
  // Before anything is done: whether there is such a folder.
  if (target !== undefined) await refuseExisting(fileOf('orfeas_backup'), true);
  const cluster = Cluster.connect(options.context);
  let result: BackupResult | undefined;

  const steps: Step[] = [
    {
      name: 'backup',
      title: 'Back up',
      run: async onProgress => {
        result = await makeBackup(cluster, settings, { skipModels: options.skipModels, signal, onProgress });
        return result.name;
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

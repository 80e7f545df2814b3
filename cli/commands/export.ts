import { resolve } from 'node:path';
import { loadSettings } from '../../config';
import { Cluster } from '../cluster';
import { type CommonOptions, type Outcome, size } from '../outcome';
import { runSteps } from '../steps';
import { type Exported, exportBackup, refuseExisting } from '../transfer';

export interface ExportOptions extends CommonOptions {
  readonly file: string;
  /** Name of a backup, or `latest`. */
  readonly snapshot: string;
  readonly force?: boolean;
}

export interface ExportResult extends Exported {
  readonly file: string;
}

/** Writes one backup as a plain zip. */
export async function exportZip(options: ExportOptions, signal: AbortSignal): Promise<Outcome<ExportResult>> {
  const settings = loadSettings(options.env);
  const file = resolve(options.file);
  await refuseExisting(file, options.force);
  const cluster = Cluster.connect(options.context);
  let exported: Exported | undefined;
  const step = {
    name: 'export',
    title: 'Export',
    run: async (onProgress: (text: string) => void) => {
      exported = await exportBackup(cluster, settings, { wanted: options.snapshot, file, signal, onProgress });
      return exported.name;
    },
  };
  await runSteps([step], { json: options.json, signal });
  const result = { ...(exported as unknown as Exported), file };
  return { ok: true, result, text: describeExport(result) };
}

export const describeExport = ({ name, bytes, seconds, file }: ExportResult): string =>
  `${name} is in ${file}: ${size(bytes)} in ${Math.round(seconds)} s`;

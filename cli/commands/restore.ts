import { loadSettings } from '../../config';
import { applyObject, type Change, plan } from '../apply';
import { askRepository, type BackupManifest, findCronJob, refuseWhileRunning } from '../backups';
import { Cluster, isPassing } from '../cluster';
import { confirm } from '../confirm';
import { followJob } from '../cron-jobs';
import { CommandError, Interrupted } from '../errors';
import { checkHealth } from '../health';
import { Studio } from '../http';
import { type CronJob, type Job, type KubernetesObject, title } from '../objects';
import { type CommonOptions, type Outcome, size } from '../outcome';
import { parts as allParts, type Part } from '../parts';
import { chooseParts, describePlan, describeStop } from '../restore-plan';
import {
  conclude,
  findUndoable,
  followRestore,
  hasRestored,
  isOpen,
  isRunning,
  isSame,
  newId,
  pastRestores,
  type RestoreOrder,
  startRestore,
} from '../restores';
import { isWorkload, type Workload, waitForRollouts } from '../rollout';
import { runSteps, type Step, type StepResult } from '../steps';
import { trustedCertificates } from '../tls';
import { describeLeftOut, importBackup, meter } from '../transfer';
import { findStopped, startWriters, stopWriters, writersOf } from '../writers';
import { checkZip, describeZip, type ZippedBackup } from '../zips';

export interface RestoreOptions extends CommonOptions {
  /** Name of a backup, or `latest`. */
  readonly snapshot?: string | undefined;
  readonly parts?: readonly Part[];
  readonly skipModels?: boolean;
  readonly force?: boolean;
  readonly undo?: boolean;
  /** A zip of a backup. */
  readonly from?: string;
  readonly skipHealthCheck?: boolean;
  readonly dryRun?: boolean;
}

export interface RestoreResult {
  readonly snapshot: string;
  readonly parts: readonly Part[];
  /** Names the safety copy of what was replaced; absent where no data was. */
  readonly id?: string;
  /** Whether that was put back, since the studio did not come up with what the backup holds. */
  readonly rolledBack: boolean;
  readonly dryRun: boolean;
  readonly steps: readonly StepResult[];
}

type Progress = (text: string) => void;
const never = new AbortController().signal;

/**
 * What of a backup's objects is applied: not the claims, whose data is restored in its own way.
 *
 * @param stopped - Workloads that are not to start yet.
 */
const applicable = (objects: readonly KubernetesObject[], stopped: readonly Workload[] = []): KubernetesObject[] =>
  objects
    .filter(({ kind }) => kind !== 'PersistentVolumeClaim')
    .map(object =>
      stopped.some(workload => title(workload) === title(object))
        ? { ...object, spec: { ...(object.spec as object), replicas: 0 } }
        : object,
    );

/**
 * Restores a backup, or puts back what the last restore replaced. It can be run again after any interruption: what a
 * command began that was cut off comes to its end first.
 */
export async function restore(options: RestoreOptions, signal: AbortSignal): Promise<Outcome<RestoreResult>> {
  const { undo = false, from, dryRun = false, json } = options;
  let wanted = options.snapshot;
  if ([wanted !== undefined, from !== undefined, undo].filter(Boolean).length !== 1) {
    throw new CommandError('Give either the name of a backup, latest, --from, --undo, or --discard', 'orfeas backup list shows the names');
  }
  const settings = loadSettings(options.env);
  const { namespace, host, environment } = settings;
  const cluster = Cluster.connect(options.context);
  const results: StepResult[] = [];
  const everyone = writersOf(settings, allParts);

  let cronJob: CronJob;
  /** Absent when a restore is undone. */
  let manifest: BackupManifest | undefined;
  /** What the Job does: all parts but the configuration. */
  let order: RestoreOrder = { action: undo ? 'rollback' : 'restore', snapshot: '', parts: [], id: newId() };
  let objects: KubernetesObject[] = [];
  let changes: readonly Change[] = [];
  let job: Job | undefined;
  let zip: ZippedBackup | undefined;

  const find: Step[] = [
    {
      name: 'check',
      title: 'Check',
      run: async () => {
        cronJob = await findCronJob(cluster, settings, 'restore');
        await refuseWhileRunning(cluster, namespace, ['backup']);
        // Tells which of them is missing.
        await findStopped(cluster, everyone);
        if (undo) order = { ...order, ...findUndoable(await pastRestores(cluster, namespace), namespace) };
        return `${namespace} of the cluster "${cluster.context}"`;
      },
    },
  ];
  if (from !== undefined) {
    find.unshift({
      name: 'zip',
      title: 'Check the zip',
      run: async progress => {
        zip = await checkZip(from, { signal, onProgress: meter('read', progress) });
        return `${zip.name}: ${size(zip.bytes)} in ${zip.entries.size} files`;
      },
    });
    find.push({
      name: 'import',
      title: 'Take it into the repository',
      skip: dryRun ? '--dry-run' : undefined,
      run: async progress => {
        const { name, leftOut } = await importBackup(cluster, settings, { zip: zip as ZippedBackup, signal, onProgress: progress });
        wanted = name;
        return `${name}${describeLeftOut(leftOut)}`;
      },
    });
  }
  if (!undo && !(from !== undefined && dryRun)) {
    find.push({
      name: 'inspect',
      title: 'Look into the backup',
      run: async progress => {
        const ask = { signal, onProgress: progress };
        ({ manifest } = await askRepository<{ manifest: BackupManifest }>(cluster, settings, ['inspect', wanted as string], ask));
        const parts = chooseParts(settings, manifest, options);
        order = { ...order, snapshot: manifest.name, parts: parts.filter(part => part !== 'configuration') };
        if (parts.includes('configuration')) {
          objects = await askRepository<KubernetesObject[]>(cluster, settings, ['objects', manifest.name], ask);
          ({ changes } = await plan(cluster, applicable(objects), namespace));
        }
        return manifest.name;
      },
    });
  }
  await runSteps(find, { json, signal }, results);

  if (zip && dryRun) {
    const result = { snapshot: zip.name, parts: [], rolledBack: false, dryRun, steps: results };
    return { ok: true, result, text: `${describeZip(zip)}\nNothing was changed.` };
  }

  const { snapshot } = order;
  const data = order.parts;
  const parts: readonly Part[] = objects.length > 0 ? [...data, 'configuration'] : data;
  const writers = writersOf(settings, data);
  const result = (rolledBack = false): RestoreResult => ({
    snapshot,
    parts,
    ...(data.length > 0 && !dryRun && { id: order.id }),
    rolledBack,
    dryRun,
    steps: results,
  });
  const text = manifest
    ? describePlan(settings, manifest, { parts, writers, changes })
    : `What the restore of ${snapshot} replaced is put back: ${data.join(', ')}.\n${describeStop(writers)}`;
  if (dryRun) return { ok: true, result: result(), text: `${text}\nNothing was changed.` };
  if (!options.force) await confirm(text, 'A restore replaces data', signal);

  // How far it comes decides what an error or an interrupt leads to.
  const reached = { stop: false, commit: false, end: false, rollback: false };

  const stop = (until: AbortSignal): Step => ({
    name: 'stop',
    title: 'Stop what writes',
    skip: data.length === 0 ? 'no data is restored' : undefined,
    run: async progress => {
      await stopWriters(cluster, writers, { namespace, signal: until, onProgress: progress });
      return writers.map(title).join(', ');
    },
  });
  const start = (until: AbortSignal): Step => ({
    name: 'start',
    title: 'Start what was stopped',
    run: async progress => {
      const watch = { namespace, signal: until, onProgress: progress };
      // With what an earlier command left stopped.
      const stopped = new Set([...writers, ...(await findStopped(cluster, everyone))].map(title));
      await startWriters(
        cluster,
        everyone.filter(workload => stopped.has(title(workload))),
        watch,
      );
      const configured = applicable(objects).filter(object => isWorkload(object) && !stopped.has(title(object)));
      await waitForRollouts(cluster, { ...watch, workloads: configured });
      return [...stopped, ...configured.map(title)].join(', ');
    },
  });

  /** Finds the Job that a command made for the same order before it was cut off; waits for one that it made for another. */
  const resume = async (progress: Progress): Promise<void> => {
    const [last] = await pastRestores(cluster, namespace);
    if (last === undefined || !isOpen(last)) return;
    // Once all writers run again, there is no knowing what they have changed since.
    if (isSame(last, order) && (await findStopped(cluster, writers)).length > 0) {
      order = { ...order, id: last.id };
      if (isRunning(last) || hasRestored(last)) job = last.job;
    } else if (isRunning(last)) {
      progress(`Job/${last.job.metadata.name} restores ${last.snapshot}: waiting for its end`);
      await followJob(cluster, last.job, { signal, onLine: () => {}, onProgress: progress });
    }
  };

  const steps: Step[] = [
    {
      ...stop(signal),
      run: async progress => {
        reached.stop = true;
        await resume(progress);
        return stop(signal).run(progress);
      },
    },
    {
      name: 'restore',
      title: undo ? 'Put back' : 'Restore',
      skip: data.length === 0 ? 'no data is restored' : undefined,
      run: async progress => {
        job ??= await startRestore(cluster, cronJob, order);
        progress(`Job/${job.metadata.name}`);
        const onCommit = (): void => {
          reached.commit = true;
        };
        await followRestore(cluster, job, { signal, onProgress: progress, onCommit });
        reached.commit = true;
        reached.end = true;
        return data.join(', ');
      },
    },
    {
      name: 'configuration',
      title: 'Configuration',
      skip: objects.length === 0 ? 'git has it' : undefined,
      run: async () => {
        const applied: Change[] = [];
        for (const object of applicable(objects, writers)) {
          signal.throwIfAborted();
          applied.push(await applyObject(cluster, object));
        }
        return `${applied.filter(({ action }) => action !== 'unchanged').length} object(s) changed`;
      },
    },
    start(signal),
    {
      name: 'health',
      title: 'Health checks',
      skip: options.skipHealthCheck ? '--skip-health-check' : undefined,
      run: async progress => {
        const studio = new Studio({ host, ...(await trustedCertificates(cluster, settings)) });
        await checkHealth(studio, { signal, onProgress: progress }).finally(() => studio.close());
        return `https://${host} answers`;
      },
    },
  ];

  const done = undo ? `What the restore of ${snapshot} replaced is back` : `${snapshot} is restored`;
  const putBack = `orfeas restore --undo --env ${environment}`;
  const again = undo ? putBack : `orfeas restore ${snapshot} --env ${environment}`;
  const attempt = (work: readonly Step[], until: AbortSignal): Promise<{ error: CommandError } | undefined> =>
    runSteps(work, { json, signal: until }, results).then(
      () => undefined,
      error => ({ error }),
    );

  const failure = await attempt(steps, signal);
  if (failure === undefined) {
    if (job) await conclude(cluster, job);
    const hint = undo || data.length === 0 ? [] : [`  ${putBack}   puts back what it replaced`];
    return { ok: true, result: result(), text: [`${done}: ${parts.join(', ')}`, ...hint].join('\n') };
  }
  const { error } = failure;
  if (!reached.stop) throw error;
  const fail = (message: string, remedy?: string): Outcome<RestoreResult> => ({
    ok: false,
    result: result(reached.rollback),
    text: '',
    error: new CommandError(message, remedy),
  });
  // The Job may go on meanwhile, so nothing else may touch the data.
  if (isPassing(error))
    return fail(`${error.message}\nHow far the restore came is not known`, `once the cluster answers, run it again: ${again}`);
  if (undo && reached.commit && !reached.end) {
    return fail(
      `${error.message}\nOnly a part is back, so ${writers.map(title).join(', ')} stay stopped`,
      `mend that, then run ${putBack}`,
    );
  }
  const interrupted = signal.aborted && (reached.end || !reached.commit);
  if (undo && reached.end && !interrupted) return fail(`${error.message}\n${done}`, error.remedy);

  const rollback: Step = {
    name: 'rollback',
    title: 'Put back what was replaced',
    run: async progress => {
      const putting = await startRestore(cluster, cronJob, { ...order, action: 'rollback' });
      await followRestore(cluster, putting, { signal: never, onProgress: progress, onCommit: () => {} });
      await conclude(cluster, putting);
      reached.rollback = true;
      return data.join(', ');
    },
  };
  const rollsBack = reached.commit && !interrupted;
  const unrecovered = await attempt(rollsBack ? [stop(never), rollback, start(never)] : [start(never)], never);
  if (rollsBack && !reached.rollback) {
    return fail(
      `${error.message}\nPutting back what was replaced failed, too: ${unrecovered?.error.message}`,
      `mend that, then run ${putBack}`,
    );
  }
  const state = rollsBack ? 'All that was replaced is back' : reached.end ? done : 'Nothing was replaced';
  if (unrecovered) {
    return fail(`${error.message}\n${state}, but what was stopped does not run: ${unrecovered.error.message}`, unrecovered.error.remedy);
  }
  if (job && reached.commit) await conclude(cluster, job);
  const running = `${state}, and what was stopped runs again`;
  if (!interrupted) return fail(`${error.message}\n${running}`, error.remedy);
  return {
    ...fail(''),
    error: new Interrupted(
      `Interrupted. ${running}`,
      reached.end ? `see how it is: orfeas status --env ${environment}` : `run it again: ${again}`,
    ),
  };
}

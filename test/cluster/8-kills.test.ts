import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { isPhase, parseLine } from '../../cli/backups';
import { ALL, command, folderOf, kubectl, list, namespace, orfeas, outputs, processes, ROOT, until } from './support';

/** Reads what is printed until something tells of a moment, or it ends. */
async function reaches(output: Readable, isMoment: (line: string) => boolean): Promise<boolean> {
  for await (const line of createInterface({ input: output })) if (isMoment(line)) return true;
  return false;
}

/** Starts a backup by its schedule's template, and kills it in a phase. */
async function killBackup(job: string, phase: string): Promise<void> {
  await kubectl(['-n', namespace, 'create', 'job', job, '--from=cronjob/backup']);
  const pod = await until('the archive', 60, async () => {
    const [found] = await list('-n', namespace, 'pods', '-l', `batch.kubernetes.io/job-name=${job}`);
    const archive = found?.status.containerStatuses?.find((container: { name: string }) => container.name === 'archive');
    return archive?.state.running && found.metadata.name;
  });
  const victims = await processes(pod, 'archive', 'orfeas_backup');
  const log = spawn('kubectl', ['-n', namespace, 'logs', '--follow', pod, '-c', 'archive']);
  const started = await reaches(log.stdout, line => {
    const document = parseLine(line);
    return document !== undefined && isPhase(document) && document.phase === phase && document.status === 'started';
  });
  // A phase may take less time than this: then the next one is hit, and after the last one nothing.
  for (const pid of victims) if (existsSync(`/proc/${pid}`)) process.kill(pid, 'SIGKILL');
  log.kill();
  expect(started).toBe(true);
}

describe('a backup that is killed', () => {
  const backups = async (): Promise<string[]> => (await command(['backup', 'list'])).snapshots.map(({ name }: { name: string }) => name);
  let before: readonly string[];
  beforeAll(async () => {
    await command(['backup']);
    before = await backups();
  });

  const phases = ALL ? ['redis', 'monitoring', 'configuration', 'archive', 'retention', 'record'] : ['archive', 'retention'];
  test.each(phases)('in phase %s is given up', async phase => {
    await killBackup(`killed-${phase}`, phase);
    await kubectl(['-n', namespace, 'delete', 'job', `killed-${phase}`, '--cascade=foreground']);
  });

  test('is made by the next pod of its Job, and no half of any is left', async () => {
    await killBackup('killed', 'archive');
    await kubectl(['-n', namespace, 'wait', '--for=condition=Complete', 'job/killed', '--timeout=120s']);
    await kubectl(['-n', namespace, 'delete', 'job', 'killed']);
    const made = (await backups()).filter(name => !before.includes(name));
    // In phase retention and after it, a backup is there already.
    expect(made).toHaveLength(ALL ? 3 : 2);
    for (const name of made) expect((await command(['restore', name, '--dry-run'])).snapshot).toBe(name);
  });
});

describe('a restore that is killed', () => {
  let backup: string;
  let models: string;
  beforeAll(async () => {
    await command(['smoke']);
    models = await outputs();
    ({ name: backup } = await command(['backup']));
    await command(['smoke']);
  });

  /** Starts a restore, as from a terminal without colours. */
  const start = (): ChildProcess & { stdout: Readable } =>
    spawn(process.execPath, ['cli/bin.js', 'restore', backup, '--parts', 'outputs', '--force', '--env', 'local'], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'ignore'],
    }) as ChildProcess & { stdout: Readable };

  async function killAt(step: string): Promise<void> {
    const cut = start();
    const ended = once(cut, 'exit');
    expect(await reaches(cut.stdout, line => line.includes(step))).toBe(true);
    cut.kill('SIGKILL');
    await ended;
  }

  // Each goes on with what the one before it began.
  test.each(['Stop what writes', 'stage outputs started', 'commit started', 'Start what was stopped'])('at "%s" is gone on with', killAt);

  test('comes to its end by the same command, and can be undone', async () => {
    await command(['restore', backup, '--parts', 'outputs', '--force']);
    expect(await outputs()).toBe(models);
    await command(['restore', '--undo', '--force']);
    expect((await outputs()).split('\n').length).toBe(models.split('\n').length + 1);
  });

  (ALL ? test : test.skip)('at its health checks has restored everything', async () => {
    await killAt('Health checks');
    expect(await outputs()).toBe(models);
    await command(['restore', '--undo', '--force']);
  });

  (ALL ? test : test.skip)('whose pods are lost in stage and in commit comes to its end by itself', async () => {
    const restore = start();
    const ended = once(restore, 'exit');
    const moments = ['stage outputs started', 'commit started'];
    for await (const line of createInterface({ input: restore.stdout })) {
      if (moments[0] === undefined || !line.includes(moments[0])) continue;
      moments.shift();
      const pods = ['-l', 'app.kubernetes.io/name=restore', '--field-selector=status.phase!=Succeeded'];
      await kubectl(['-n', namespace, 'delete', 'pods', ...pods, '--force', '--grace-period=0']);
    }
    expect({ moments, ended: await ended }).toEqual({ moments: [], ended: [0, null] });
    expect(await outputs()).toBe(models);
  });

  (ALL ? test : test.skip)('cannot be undone once what it replaced is removed, to have its room', async () => {
    const volume = await folderOf('outputs');
    const replaced = () => readdirSync(volume).filter(name => name.startsWith('.backup_'));
    await command(['restore', backup, '--parts', 'outputs', '--force']);
    expect(replaced()).toHaveLength(1);
    await command(['restore', '--discard', '--force']);
    expect(replaced()).toEqual([]);
    expect(await outputs()).toBe(models);
    expect((await orfeas(['restore', '--undo', '--force', '--env', 'local'])).code).toBe(1);
  });
});

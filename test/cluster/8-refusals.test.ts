import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { Store } from './stores';
import { ALL, command, exec, folderOf, get, kubectl, list, namespace, orfeas, outputs, rolledOut } from './support';

let store: Store;
let backup: string;

const filler = '/app/models/hy3dgen/filler';
const inWorker = (script: string) => exec('deploy/backend', 'worker', 'sh', '-c', script);

beforeAll(async () => {
  store = await Store.start('rest');
  await store.introduce();
  await command(['deploy', '--skip-build'], store.folder);
  await command(['smoke']);
  await inWorker(`head -c 64M /dev/zero >${filler}`);
  ({ name: backup } = await command(['backup'], store.folder));
  await inWorker(`rm ${filler}`);
});
afterAll(async () => {
  await command(['deploy', '--skip-build']);
  await kubectl(['-n', namespace, 'delete', 'secret', 'repository', '--ignore-not-found']);
  await store.remove();
});

/** Runs a command that must fail, and returns what it says. */
async function failure(...args: readonly string[]): Promise<{ message: string; remedy: string }> {
  const { code, stdout } = await orfeas([...args, '--env', 'local', '--json'], store.folder);
  expect(code).toBe(1);
  return JSON.parse(stdout.toString()).error;
}

/** What a refusal leaves as it is. */
async function state() {
  const writers = ['-l', 'app.kubernetes.io/name in (backend,redis,prometheus,grafana)'];
  const [pods, jobs] = await Promise.all([list('-n', namespace, 'pods', ...writers), list('-n', namespace, 'jobs')]);
  return {
    outputs: await outputs(),
    writers: pods.map(({ metadata }) => metadata.uid).sort(),
    restores: jobs.map(({ metadata }) => metadata.name).filter(name => name.startsWith('restore-')),
  };
}

async function refusal(...args: readonly string[]) {
  const before = await state();
  const said = await failure(...args);
  expect(await state()).toEqual(before);
  return said;
}

const restore = (name: string) => ['restore', name, '--force'];

test('a backup that is not there is not restored', async () => {
  expect(await refusal(...restore('orfeas_backup_20200101_000000'))).toEqual({
    message: 'there is no backup orfeas_backup_20200101_000000',
    remedy: `the newest are ${backup}; orfeas backup list shows all`,
  });
});

test('with another password nothing is backed up and nothing restored', async () => {
  const { data } = await get('-n', namespace, 'secret', 'orfeas-backup');
  const patch = (change: object) => kubectl(['-n', namespace, 'patch', 'secret', 'orfeas-backup', '-p', JSON.stringify(change)]);
  await patch({ stringData: { password: 'another' } });
  try {
    for (const args of [restore('latest'), ['backup'], ['backup', 'list']]) {
      const { message, remedy } = await refusal(...args);
      expect(message).toMatch(/^the password does not open the repository at rest:http:/);
      expect(remedy).toMatch(/into the Secret orfeas-backup$/);
    }
  } finally {
    await patch({ data });
  }
});

describe('a damaged repository', () => {
  beforeAll(() => store.run('cp -r . /tmp/whole'));
  afterEach(() => store.run('find . -mindepth 1 -delete && cp -r /tmp/whole/. .'));

  const largest = '"$(ls -S data/*/* | head -n 1)"';
  const damages = [
    ['without a pack', `rm ${largest}`],
    ['with a pack that is cut short', `truncate -s -1 ${largest}`],
    ['without its index', 'rm index/*'],
  ];
  test.each(ALL ? damages : damages.slice(0, 1))('%s is not restored from', async (_, damage) => {
    await store.run(damage);
    const { message, remedy } = await refusal(...restore(backup));
    expect(message).toMatch(/^the repository at rest:http:.* is damaged: /);
    expect(remedy).toContain('troubleshooting');
  });
});

test('a backup of a newer format is not restored', async () => {
  const newer = 'orfeas_backup_20991231_000000';
  const { spec } = (await get('-n', namespace, 'cronjob', 'backup-repository')).spec.jobTemplate;
  const [container] = spec.template.spec.containers;
  const manifest = JSON.stringify({ format: 2, name: newer, version: '9.0.0' });
  const credentials = 'for file in "$REPOSITORY_CREDENTIALS"/*; do export "$(basename "$file")=$(cat "$file")"; done';
  const program = `${credentials}; echo '${manifest}' >/scratch/manifest.json && restic "$@" /scratch/manifest.json`;
  container.command = ['sh', '-c', program, 'restic'];
  container.args = ['backup', '--host', namespace, '--tag', `orfeas,${newer},version=9.0.0`];
  const job = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'newer', namespace }, spec };
  await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(job)));
  await kubectl(['-n', namespace, 'wait', '--for=condition=Complete', 'job/newer', '--timeout=120s']);
  await kubectl(['-n', namespace, 'delete', 'job', 'newer']);
  expect(await refusal(...restore(newer))).toEqual({
    message: `${newer} was made by a newer version: its format is 2, and this version reads up to 1`,
    remedy: 'use version 9.0.0 of the studio or a later one',
  });
});

test('what does not fit on a claim is told before anything is replaced, and the studio runs again', async () => {
  const [models, claim] = [await outputs(), await folderOf('hy3dgen-cache')];
  // The node's volumes have no size of their own: this one gets one.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32m,mode=0777', 'tmpfs', claim]);
  try {
    const { message, remedy } = await failure(...restore(backup), '--parts', 'outputs,models');
    expect(message).toMatch(/^claim hy3dgen-cache has \d+ bytes free, and what the backup brings takes \d+\nNothing was replaced/);
    expect(remedy).toMatch(/^make the claim larger/);
    expect(readdirSync(claim)).toEqual([]);
    await rolledOut();
    expect(await outputs()).toBe(models);
  } finally {
    execFileSync('umount', ['--lazy', claim]);
    await kubectl(['-n', namespace, 'delete', 'pod', '-l', 'app.kubernetes.io/name=backend']);
    await rolledOut();
  }
});

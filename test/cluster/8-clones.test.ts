import { CloningClass } from './cloning';
import { value } from './prometheus';
import { ALL, checkoutWith, kubectl, list, orfeas, removeNamespace, until } from './support';

const studio = 'orfeas-clones';
const changed = checkoutWith('config/local.ts', {
  "namespace: 'orfeas-local'": `namespace: '${studio}'`,
  "host: 'studio.localhost'": "host: 'clones.localhost'",
  'backup: { ': "backup: { readFrom: 'clones', ",
  ...Object.fromEntries(
    ['huggingfaceCache', 'hy3dgenCache', 'outputs', 'redisData', 'prometheusData', 'grafanaData', 'backups'].map(name => [
      `${name}: { `,
      `${name}: { storageClass: 'orfeas-cloning', `,
    ]),
  ),
});

/** Runs the command on the studio of clones; it must succeed. */
async function command(args: readonly string[]) {
  const { code, stdout, stderr } = await orfeas([...args, '--env', 'local', '--json'], changed.folder);
  if (code !== 0) throw new Error(`orfeas ${args.join(' ')}: ${stdout}${stderr}`);
  return JSON.parse(stdout.toString());
}

const exec = async (pod: string, container: string, ...command: readonly string[]): Promise<string> =>
  (await kubectl(['-n', studio, 'exec', pod, '-c', container, '--', ...command])).toString();

/** SHA-256 of each model, by its name. */
const outputs = () => exec('deploy/backend', 'api', 'sh', '-c', 'cd /app/outputs && sha256sum * | sort');

const grafana = (statement: string) =>
  exec(
    'deploy/grafana',
    'grafana',
    'python3',
    '-c',
    'import sqlite3, sys; db = sqlite3.connect("/var/lib/grafana/grafana.db"); print(db.execute(sys.argv[1]).fetchall()); db.commit()',
    statement,
  );

const names = async (kind: string): Promise<string[]> => (await list('-n', studio, kind)).map(({ metadata }) => metadata.name);
const clones = async () => (await names('pvc')).filter(name => name.startsWith('backup-'));

(ALL ? describe : describe.skip)('a studio on volumes that can be cloned', () => {
  let cloning: CloningClass;
  beforeAll(async () => {
    cloning = await CloningClass.create('orfeas-cloning');
    await command(['deploy', '--skip-build']);
  });
  afterAll(async () => {
    changed.remove();
    await removeNamespace(studio);
    await cloning.remove();
  });

  test('what was lost comes back from a backup of clones, which are gone with its Job', async () => {
    await command(['smoke']);
    await grafana(`CREATE TABLE kept AS SELECT ${Date.now()} AS made`);
    const models = await outputs();
    const marker = await grafana('SELECT made FROM kept');
    const moment = await until('samples', 120, async () => (await value('count(up offset 15s)', studio)) && Date.now() / 1000 - 15);
    const series = () => value(`count({job=~".+"} @ ${moment})`, studio);
    const before = await series();
    expect(before).toBeGreaterThan(0);
    const { name, missing } = await command(['backup']);
    expect(missing).toEqual({});
    const [pod] = await list('-n', studio, 'pods', '-l', 'app.kubernetes.io/name=backup');
    expect(pod.spec).not.toHaveProperty('affinity');
    const copied = ['grafana-data', 'huggingface-cache', 'hy3dgen-cache', 'outputs', 'prometheus-data'];
    expect((await clones()).sort()).toEqual(copied.map(claim => `${pod.metadata.name}-${claim}`));
    await kubectl(['-n', studio, 'delete', 'jobs', '-l', 'app.kubernetes.io/name=backup']);
    await until('the end of the clones', 60, async () => (await clones()).length === 0);

    await exec('deploy/backend', 'api', 'sh', '-c', 'rm /app/outputs/*');
    await grafana('DROP TABLE kept');
    await exec('prometheus-0', 'prometheus', 'rm', '-r', '/prometheus/wal', '/prometheus/chunks_head');
    expect(await command(['restore', 'latest', '--force'])).toMatchObject({ snapshot: name, rolledBack: false });
    expect(await outputs()).toBe(models);
    expect(await grafana('SELECT made FROM kept')).toBe(marker);
    expect(await until('Prometheus', 60, series)).toBe(before);
    // What came back can be written by whom it belongs to.
    await command(['smoke']);
  });

  test('a class that does not clone is found out, and nothing is kept of its empty volumes', async () => {
    const kept = (await command(['backup', 'list'])).snapshots;
    expect(kept).toHaveLength(1);
    cloning.ignoresSources = true;
    const { code, stderr } = await orfeas(['backup', '--env', 'local'], changed.folder);
    expect(code).not.toBe(0);
    expect(stderr).toContain('the clone of outputs is empty: its storage class does not clone volumes');
    expect(stderr).toContain("set backup.readFrom back to 'volumes'");
    expect((await command(['backup', 'list'])).snapshots).toEqual(kept);
  });
});

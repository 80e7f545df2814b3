import { Store } from './stores';
import { ALL, command, exec, kubectl, namespace, orfeas, outputs } from './support';

beforeAll(() => command(['smoke']));
afterAll(async () => {
  await command(['deploy', '--skip-build']);
  await kubectl(['-n', namespace, 'delete', 'secret', 'repository', '--ignore-not-found']);
});

const servers = [
  { at: 's3', stranger: { AWS_SECRET_ACCESS_KEY: 'another' }, refusal: /signature/ },
  { at: 'sftp', stranger: { known_hosts: '' }, refusal: /Host key verification failed/ },
] as const;
describe.each(ALL ? servers : servers.slice(0, 1))('with a repository at $at', ({ at, stranger, refusal }) => {
  let store: Store;
  beforeAll(async () => {
    store = await Store.start(at);
    await store.introduce();
    await command(['deploy', '--skip-build'], store.folder);
  });
  afterAll(() => store.remove());

  test('a backup goes there, is listed, and brings back a model that was deleted', async () => {
    const before = await outputs();
    const { name } = await command(['backup'], store.folder);
    const { snapshots } = await command(['backup', 'list'], store.folder);
    expect(snapshots).toEqual([expect.objectContaining({ name, missing: {} })]);
    await exec('deploy/backend', 'api', 'sh', '-c', 'rm "$(ls -d /app/outputs/* | head -n 1)"');
    const restored = await command(['restore', 'latest', '--parts', 'outputs', '--force'], store.folder);
    expect(restored).toMatchObject({ snapshot: name, rolledBack: false });
    expect(await outputs()).toBe(before);
  });

  test('who is not known there is told that', async () => {
    await store.introduce(stranger);
    const { code, stdout } = await orfeas(['backup', 'list', '--env', 'local', '--json'], store.folder);
    expect({ code, error: JSON.parse(stdout.toString()).error }).toMatchObject({
      code: 1,
      error: { message: expect.stringMatching(refusal) },
    });
  });
});

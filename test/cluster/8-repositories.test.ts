import { Store } from './stores';
import { command, exec, kubectl, namespace, outputs } from './support';

beforeAll(() => command(['smoke']));
afterAll(async () => {
  await command(['deploy', '--skip-build']);
  await kubectl(['-n', namespace, 'delete', 'secret', 'repository', '--ignore-not-found']);
});

describe.each(['s3', 'sftp'] as const)('with a repository at %s', at => {
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
});

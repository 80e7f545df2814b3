import { checkoutWith, get, kubectl, list, namespace, orfeas, removeNamespace, rolledOut, until } from './support';

const DEPLOY = ['deploy', '--env', 'local', '--skip-build', '--skip-health-check'];

const conditionOf = async (pod: { status: { conditions?: { type: string; status: string; message?: string }[] } }, type: string) =>
  pod.status.conditions?.find(condition => condition.type === type);

test('an image that cannot be had is named, and the right one mends it', async () => {
  const broken = checkoutWith('config/local.ts', { "version: '0.1.0'": "version: '9.9.9'" });
  try {
    const { code, stdout, stderr } = await orfeas(DEPLOY, broken.folder);
    expect(code).not.toBe(0);
    expect(`${stdout}${stderr}`).toMatch(/localhost\/orfeas\/(backend|web):9\.9\.9/);
    expect(`${stdout}${stderr}`).not.toMatch(/\n {4}at /);
  } finally {
    broken.remove();
  }
  expect((await orfeas(DEPLOY)).code).toBe(0);
});

test('a Secret without its password is named by status, and the right one mends it', async () => {
  const secret = await get('-n', namespace, 'secret', 'orfeas-redis');
  const setPassword = (data: unknown) => kubectl(['-n', namespace, 'patch', 'secret', 'orfeas-redis', '-p', JSON.stringify({ data })]);
  const restart = () => kubectl(['-n', namespace, 'delete', 'pod', '-l', 'app.kubernetes.io/name=backend', '--grace-period=1']);
  await setPassword({ password: '' });
  try {
    await restart();
    const output = await until('the reason in orfeas status', 120, async () => {
      const { code, stdout, stderr } = await orfeas(['status', '--env', 'local']);
      return code !== 0 && /password/i.test(`${stdout}${stderr}`) && `${stdout}${stderr}`;
    });
    expect(output).not.toContain(Buffer.from(secret.data.password, 'base64').toString());
  } finally {
    await setPassword(secret.data);
    await restart();
    await rolledOut();
  }
});

describe('without a GPU', () => {
  const staging = 'orfeas-staging';
  const advertise = async (gpus: number) => {
    const [node] = await list('nodes');
    const amount = { 'nvidia.com/gpu': `${gpus}` };
    const patch = JSON.stringify({ status: { capacity: amount, allocatable: amount } });
    await kubectl(['patch', 'node', node.metadata.name, '--subresource=status', '--type=merge', '-p', patch]);
  };
  const scheduled = async () => {
    const [pod] = await list('-n', staging, 'pods', '-l', 'app.kubernetes.io/name=backend');
    return conditionOf(pod, 'PodScheduled');
  };
  afterAll(async () => {
    await advertise(1);
    await removeNamespace(staging);
  });

  test('the backend of staging stays Pending, orfeas status says why, and with one it is scheduled', async () => {
    await advertise(0);
    expect((await orfeas(['secrets', '--env', 'staging'])).code).toBe(0);
    await kubectl(['apply', '-f', 'dist/staging']);
    // The node need not have room for all of two studios.
    await kubectl(['-n', staging, 'scale', 'deployment/web', '--replicas=0']);
    await until('the verdict of the scheduler', 60, async () => (await scheduled())?.status === 'False');
    const { code, stdout, stderr } = await orfeas(['status', '--env', 'staging']);
    expect(code).not.toBe(0);
    expect(`${stdout}${stderr}`).toContain('nvidia.com/gpu');
    await advertise(1);
    await until('the pod on a node', 60, async () => (await scheduled())?.status === 'True');
  });
});

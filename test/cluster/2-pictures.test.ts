import { Studio } from '../../cli/http';
import { download, follow, submit } from '../../cli/jobs';
import { Client, certificate, host, orfeas, picture, trimesh } from './support';

let studio: Studio;
beforeAll(async () => {
  studio = new Studio({ host, trusted: await certificate() });
});
afterAll(() => studio.close());
afterAll(Client.removeAll);

test.each([
  ['PNG', 'glb'],
  ['JPEG', 'obj'],
  ['WEBP', 'stl'],
] as const)('a %s sent through the Ingress comes back as a watertight %s, with progress over Socket.IO', async (from, to) => {
  const id = await submit(studio, await picture(from), `picture.${from.toLowerCase()}`, to);
  const seen: number[] = [];
  const { job, channel } = await follow(studio, id, {
    signal: AbortSignal.timeout(120_000),
    onProgress: ({ progress }) => seen.push(progress),
  });
  expect(channel).toBe('socket.io');
  expect(job.status).toBe('completed');
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  const mesh = await download(studio, job);
  const { watertight, volume, faces } = await trimesh(mesh, to);
  expect(watertight).toBe(true);
  expect(volume).toBeGreaterThan(0);
  expect(faces).toBeGreaterThan(100);
});

test('the model is a download', async () => {
  const client = await Client.create('download');
  const [submitted] = await client.send('POST', '/api/generate-3d', 1, await picture('PNG'));
  const { job_id: id } = JSON.parse(submitted?.body ?? '');
  const { job } = await follow(studio, id, { signal: AbortSignal.timeout(120_000), onProgress: () => {} });
  const { headers, status } = await studio.request('HEAD', job.outputs?.[0]?.url ?? '');
  expect(status).toBe(200);
  expect(headers['content-disposition']).toMatch(/^attachment/);
});

test('orfeas smoke sends a picture and checks the mesh', async () => {
  const { code, stdout, stderr } = await orfeas(['smoke', '--env', 'local', '--json']);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout.toString())).toEqual(expect.objectContaining({ triangles: expect.any(Number), bytes: expect.any(Number) }));
});

describe('what is no good picture is refused through the Ingress with its own error', () => {
  let client: Client;
  beforeAll(async () => {
    client = await Client.create('uploads');
  });
  const bodies: Record<string, () => Promise<Buffer>> = {
    text: async () => Buffer.from('not a picture, but long enough to be looked at'),
    truncated: async () => (await picture('PNG')).subarray(0, 200),
    'too wide': () => picture('PNG', 4200),
    'too large': async () => Buffer.alloc(50 * 2 ** 20 + 1, 1),
  };
  test('each with another code', async () => {
    const codes = new Set<string>();
    for (const [name, make] of Object.entries(bodies)) {
      const [answer] = await client.send('POST', '/api/generate-3d', 1, await make());
      expect({ name, refused: answer && answer.status >= 400 && answer.status < 500 }).toEqual({ name, refused: true });
      codes.add(JSON.parse(answer?.body ?? '').error.code);
    }
    expect(codes.size).toBe(Object.keys(bodies).length);
  });
});

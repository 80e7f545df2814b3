import type { IncomingMessage } from 'node:http';
import https, { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { KeyPair } from '../../cli/certificate';
import { Studio } from '../../cli/http';
import { download, follow, type Job, submit } from '../../cli/jobs';
import { selfSigned } from '../../cli/self-signed';

const host = 'studio.localhost';
const never = new AbortController().signal;

interface Received {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly type: string;
  readonly body: string;
}

type Answer = [status: number, body: unknown, headers?: Record<string, string>];

let pair: KeyPair;
let server: Server;
let address: string;
let received: Received[];
/** What the studio answers to a path. */
let answers: Record<string, Answer | ((request: IncomingMessage, body: string) => Promise<Answer>)>;

beforeAll(async () => {
  pair = await selfSigned([host]);
}, 120_000);

beforeEach(async () => {
  received = [];
  answers = {};
  server = createServer({ cert: pair.certificate, key: pair.key }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const path = (request.url ?? '').split('?')[0] ?? '';
    const { method = '', headers } = request;
    const sent = Buffer.concat(chunks).toString('latin1');
    received.push({ method, path, host: headers.host ?? '', type: headers['content-type'] ?? '', body: sent });
    const found = answers[path] ?? [404, { error: { code: 'not_found', message: 'no such thing' } }];
    const [status, body, extra = {}] = typeof found === 'function' ? await found(request, sent) : found;
    response.writeHead(status, extra).end(Buffer.isBuffer(body) ? body : JSON.stringify(body));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => {
  server.closeAllConnections();
  return new Promise(resolve => server.close(resolve));
});

const studioAt = (name: string): Studio => new Studio({ host: name, trusted: pair.certificate, address });

async function withStudio<T>(use: (studio: Studio) => Promise<T>): Promise<T> {
  const studio = studioAt(host);
  return use(studio).finally(() => studio.close());
}

describe('a connection to the studio', () => {
  test('goes to the address, and asks for the host', async () => {
    answers['/health'] = [200, 'fine'];
    expect((await withStudio(studio => studio.request('GET', '/health'))).status).toBe(200);
    expect(received).toMatchObject([{ method: 'GET', path: '/health', host }]);
  });

  test('to a name below localhost goes to the own machine', async () => {
    const connect = jest.spyOn(https.Agent.prototype, 'createConnection').mockImplementation(() => {
      throw new Error('far enough');
    });
    const studio = new Studio({ host });
    await studio.request('GET', '/').catch(() => {});
    expect(connect.mock.calls[0]?.[0]).toMatchObject({ host: '127.0.0.1', servername: host });
    connect.mockRestore();
  });

  test('is refused when nobody vouches for the certificate', async () => {
    const studio = new Studio({ host, address });
    await expect(studio.request('GET', '/health')).rejects.toMatchObject({
      message: expect.stringContaining('self-signed certificate'),
      remedy: expect.stringContaining('orfeas-tls'),
    });
  });

  test('is refused when the certificate is for another host', async () => {
    await expect(studioAt('other.localhost').request('GET', '/health')).rejects.toThrow(/does not match certificate's altnames/);
  });

  test.each(['', 'host:port', 'a b', '127.0.0.1:99999'])('to the address "%s" is an error of the caller', wrong => {
    expect(() => new Studio({ host, address: wrong || ':' })).toThrow(/^--address is /);
  });
});

describe('a job', () => {
  const completed: Job = { status: 'completed', progress: 1, outputs: [{ url: '/outputs/a.stl', bytes: 4 }] };

  test('is submitted as a form with the picture and the format', async () => {
    answers['/api/generate-3d'] = [202, { job_id: 'job-1' }];
    expect(await withStudio(studio => submit(studio, Buffer.from('picture'), '/tmp/cat.png', 'stl'))).toBe('job-1');
    const [request] = received as [Received];
    expect(request.type).toMatch(/^multipart\/form-data; boundary=/);
    expect(request.body).toMatch(/name="image"; filename="cat\.png"[\s\S]*picture/);
    expect(request.body).toMatch(/name="format"[\s\S]*stl/);
  });

  test('that is refused tells the reason that the backend gives', async () => {
    answers['/api/generate-3d'] = [415, { error: { code: 'not_an_image', message: 'the file is no picture' } }];
    await expect(withStudio(studio => submit(studio, Buffer.from('x'), 'x.png', 'stl'))).rejects.toThrow(
      'The picture was answered 415 instead of 202: not_an_image: the file is no picture',
    );
  });

  test('beyond the rate limit is told when to try again', async () => {
    answers['/api/generate-3d'] = [429, {}, { 'retry-after': '6' }];
    await expect(withStudio(studio => submit(studio, Buffer.from('x'), 'x.png', 'stl'))).rejects.toMatchObject({
      remedy: 'this address has used up its requests (rateLimiting in config/): try again in 6 s',
    });
  });

  test('is asked for again and again where Socket.IO does not get through', async () => {
    answers['/api/job-status/job-1'] = [200, completed];
    const seen: string[] = [];
    const followed = await withStudio(studio =>
      follow(studio, 'job-1', { signal: never, onProgress: ({ status }, channel) => seen.push(`${status} ${channel}`) }),
    );
    expect(followed).toEqual({ job: completed, channel: 'polling' });
    expect(seen).toEqual(['completed polling']);
  }, 20_000);

  test('is heard of over Socket.IO, and a job of somebody else is not taken for it', async () => {
    const events = [
      ['job_completed', { job_id: 'job-2', ...completed }],
      ['job_progress', { job_id: 'job-1', status: 'processing', progress: 0.5 }],
      ['job_completed', { job_id: 'job-1', ...completed }],
    ];
    const handshake = { sid: 's', upgrades: [], pingInterval: 25_000, pingTimeout: 60_000, maxPayload: 1_000_000 };
    const packets = [
      `0${JSON.stringify(handshake)}`,
      '40{"sid":"s"}',
      ['430[{"job_id":"job-1","status":"queued","progress":0}]', ...events.map(event => `42${JSON.stringify(event)}`)].join('\x1e'),
    ];
    let subscribed = (): void => {};
    const subscription = new Promise<void>(resolve => {
      subscribed = resolve;
    });
    // Engine.IO over long polling: each GET brings the next packets, each POST takes some.
    answers['/socket.io/'] = async ({ method, headers }, body) => {
      if (headers.upgrade) return [404, 'no WebSocket here'];
      if (body.includes('"subscribe"')) subscribed();
      if (method === 'POST') return [200, Buffer.from('ok')];
      if (packets.length === 1) await subscription;
      return [200, Buffer.from(packets.shift() ?? '1')];
    };
    const seen: string[] = [];
    const followed = await withStudio(studio =>
      follow(studio, 'job-1', { signal: never, onProgress: ({ status }, channel) => seen.push(`${status} ${channel}`) }),
    );
    expect(followed).toMatchObject({ job: completed, channel: 'socket.io' });
    expect(seen).toEqual(['queued socket.io', 'processing socket.io', 'completed socket.io']);
    expect(received.map(({ body }) => body)).toContain('420["subscribe",{"job_id":"job-1"}]');
  }, 20_000);

  test('has a file of the size that it announced', async () => {
    answers['/outputs/a.stl'] = [200, Buffer.from('mesh')];
    expect((await withStudio(studio => download(studio, completed))).toString()).toBe('mesh');
  });

  test('whose file has another size is refused', async () => {
    answers['/outputs/a.stl'] = [200, Buffer.from('me')];
    await expect(withStudio(studio => download(studio, completed))).rejects.toThrow('The file has 2 bytes, its job announced 4');
  });

  test('that failed tells why', async () => {
    await expect(
      withStudio(studio => download(studio, { status: 'failed', progress: 0.2, error: { message: 'no subject' } })),
    ).rejects.toThrow('The job failed: no subject');
  });
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type Nginx, withNginx } from './nginx';
import { parse, type Samples } from './prometheus';

const UNLIMITED = { rateLimiting: { enabled: false } };
const ROUTES = ['page', 'assets', 'api', 'outputs', 'socket.io', 'health', 'metrics', 'other'];
const TIMED = ROUTES.filter(route => route !== 'socket.io');

const scrape = async (nginx: Nginx): Promise<Samples> => parse((await nginx.ask('/metrics', { port: nginx.ports.metrics })).text);

/** Samples of a counter that is not 0, under their labels. */
const counted = (samples: Samples, name: string): Record<string, number> =>
  Object.fromEntries(
    [...samples]
      .filter(([series, value]) => series.startsWith(`${name}{`) && value > 0)
      .map(([series, value]) => [series.slice(name.length), value]),
  );

const requests = (samples: Samples) => counted(samples, 'web_http_requests_total');
const total = (samples: Samples): number => Object.values(requests(samples)).reduce((sum, value) => sum + value, 0);

/** The metrics once they have as many requests: nginx counts one after its last byte went out. */
async function metricsAfter(count: number, nginx: Nginx): Promise<Samples> {
  for (const deadline = Date.now() + 10_000; ; await setTimeout(20)) {
    const samples = await scrape(nginx);
    if (total(samples) >= count) return samples;
    assert.ok(Date.now() < deadline, `of ${count} requests are counted: ${JSON.stringify(requests(samples))}`);
  }
}

describe("web's metrics", () => {
  test('have the usual series from the start, at 0', () =>
    withNginx({}, async nginx => {
      const samples = await scrape(nginx);
      const failures = ['429', '500', '502', '503', '504'];
      for (const route of ROUTES) {
        for (const status of ['200', ...failures]) {
          assert.equal(samples.get(`web_http_requests_total{method="GET",route="${route}",status="${status}"}`), 0);
        }
        assert.equal(samples.get(`web_http_response_size_bytes_total{route="${route}"}`), 0);
        assert.equal(samples.get(`web_upstream_errors_total{route="${route}"}`), 0);
      }
      for (const status of ['202', ...failures]) {
        assert.equal(samples.get(`web_http_requests_total{method="POST",route="api",status="${status}"}`), 0);
      }
      for (const route of TIMED) assert.equal(samples.get(`web_http_request_duration_seconds_count{route="${route}"}`), 0);
    }));

  test('come as the text that Prometheus asks for', () =>
    withNginx({}, async nginx => {
      const { status, headers } = await nginx.ask('/metrics', { port: nginx.ports.metrics });
      assert.equal(status, 200);
      assert.equal(headers['content-type'], 'text/plain; version=0.0.4');
    }));

  test('count each request once, by its method, the route that it asked for and the status that the client saw', () =>
    withNginx({ ...UNLIMITED, uploads: { maxMebibytes: 1 } }, async (nginx, backend) => {
      backend.answer = ({ method, url }, response) =>
        response.writeHead(method === 'POST' ? 202 : url?.startsWith('/api/busy') ? 503 : 200).end('{}');
      const style = /href="([^"]+\.css)"/.exec((await nginx.ask('/')).text)?.[1] as string;
      for (const [path, method] of [
        ['/?utm=1'],
        ['/index.html'],
        ['/', 'HEAD'],
        [style],
        ['/assets/none.js'],
        ['/api/job-status/1?x=/outputs/'],
        ['/api/busy'],
        ['/api/generate-3d', 'POST'],
        ['/api/x', 'DELETE'],
        ['/outputs/a.glb'],
        ['/socket.io/?EIO=4&transport=polling'],
        ['/ready'],
        ['/metrics'],
        ['/nothing'],
        ['/api'],
      ] as const) {
        await nginx.ask(path, method && { method });
      }
      await nginx.ask('/api/x', { headers: { 'X-Forwarded-Proto': 'http' } });
      await nginx.ask('/api/generate-3d', { method: 'POST', body: Buffer.alloc(2 * 2 ** 20 + 1) });

      assert.deepEqual(requests(await metricsAfter(18, nginx)), {
        '{method="GET",route="page",status="200"}': 3,
        '{method="HEAD",route="page",status="200"}': 1,
        '{method="GET",route="assets",status="200"}': 1,
        '{method="GET",route="assets",status="404"}': 1,
        '{method="GET",route="api",status="200"}': 1,
        '{method="GET",route="api",status="503"}': 1,
        '{method="POST",route="api",status="202"}': 1,
        '{method="DELETE",route="api",status="200"}': 1,
        '{method="GET",route="api",status="301"}': 1,
        '{method="POST",route="api",status="413"}': 1,
        '{method="GET",route="outputs",status="200"}': 1,
        '{method="GET",route="socket.io",status="200"}': 1,
        '{method="GET",route="health",status="200"}': 1,
        '{method="GET",route="metrics",status="403"}': 1,
        '{method="GET",route="other",status="404"}': 1,
        '{method="GET",route="other",status="301"}': 1,
      });
    }));

  test('count every request of a connection that is kept', () =>
    withNginx(UNLIMITED, async nginx => {
      await once(nginx.send('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n').resume(), 'close');
      assert.deepEqual(requests(await metricsAfter(2, nginx)), { '{method="GET",route="page",status="200"}': 2 });
    }));

  test("count what web's own limit refuses", () =>
    withNginx({}, async nginx => {
      await Promise.all(Array.from({ length: 15 }, () => nginx.ask('/api/x')));
      assert.deepEqual(requests(await metricsAfter(15, nginx)), {
        '{method="GET",route="api",status="200"}': 10,
        '{method="GET",route="api",status="429"}': 5,
      });
    }));

  test('leave out the probes, their own scrapes and those of stub_status', () =>
    withNginx(UNLIMITED, async nginx => {
      await nginx.ask('/healthz');
      await nginx.ask('/', { headers: { 'User-Agent': 'kube-probe/1.34' } });
      await nginx.ask('/metrics', { port: nginx.ports.metrics });
      await nginx.ask('/stub_status', { port: nginx.ports.status });
      await nginx.ask('/');
      assert.deepEqual(requests(await metricsAfter(1, nginx)), { '{method="GET",route="page",status="200"}': 1 });
      assert.doesNotMatch(await nginx.logged(), /metrics|stub_status/, 'nor are those logged');
    }));

  test('tell requests that nobody answered behind web from those that the backend refused', () =>
    withNginx({ ...UNLIMITED, performance: { gunicorn: { timeoutSeconds: 1, gracefulTimeoutSeconds: 1 } } }, async (nginx, backend) => {
      backend.answer = ({ url, socket }, response) => {
        if (url === '/api/refused') response.writeHead(503).end('{}');
        if (url === '/outputs/breaks') socket.destroy();
        // /api/hangs gets no answer.
      };
      for (const path of ['/api/refused', '/outputs/breaks', '/api/hangs']) await nginx.ask(path);
      await backend.close();
      for (const path of ['/api/x', '/socket.io/', '/ready']) await nginx.ask(path);

      const samples = await metricsAfter(6, nginx);
      assert.deepEqual(requests(samples), {
        '{method="GET",route="api",status="503"}': 1,
        '{method="GET",route="outputs",status="502"}': 1,
        '{method="GET",route="api",status="504"}': 1,
        '{method="GET",route="api",status="502"}': 1,
        '{method="GET",route="socket.io",status="502"}': 1,
        '{method="GET",route="health",status="502"}': 1,
      });
      assert.deepEqual(counted(samples, 'web_upstream_errors_total'), {
        '{route="outputs"}': 1,
        '{route="api"}': 2,
        '{route="socket.io"}': 1,
        '{route="health"}': 1,
      });
    }));

  test('time requests in buckets that add up', () =>
    withNginx(UNLIMITED, async (nginx, backend) => {
      backend.answer = async ({ url }, response) => {
        if (url === '/api/slow') await setTimeout(300);
        response.end('{}');
      };
      for (const path of ['/api/x', '/api/slow', '/api/x']) await nginx.ask(path);
      const samples = await metricsAfter(3, nginx);
      for (const route of TIMED) {
        const bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, '+Inf'];
        const buckets = bounds.map(le => samples.get(`web_http_request_duration_seconds_bucket{route="${route}",le="${le}"}`) as number);
        assert.deepEqual(
          buckets,
          buckets.toSorted((a, b) => a - b),
          'no bucket has less than the one before',
        );
        assert.equal(buckets.at(-1), samples.get(`web_http_request_duration_seconds_count{route="${route}"}`));
        assert.equal(buckets.at(-1), route === 'api' ? 3 : 0);
      }
      const within = (le: number) => samples.get(`web_http_request_duration_seconds_bucket{route="api",le="${le}"}`) as number;
      assert.equal(within(0.25), 2, 'the slow one took longer');
      const seconds = samples.get('web_http_request_duration_seconds_sum{route="api"}') as number;
      assert.ok(seconds >= 0.3 && seconds < 3, `${seconds} s`);
    }));

  test('tell how many bytes went out', () =>
    withNginx(UNLIMITED, async (nginx, backend) => {
      const model = Buffer.alloc(10 ** 6);
      backend.answer = (_, response) => response.end(model);
      await nginx.ask('/outputs/a.glb');
      const bytes = (await metricsAfter(1, nginx)).get('web_http_response_size_bytes_total{route="outputs"}') as number;
      assert.ok(bytes > model.length && bytes < model.length + 2000, `${bytes} bytes`);
    }));

  test('count a WebSocket when it ends, and do not time it', () =>
    withNginx(UNLIMITED, async nginx => {
      const socket = await nginx.upgrade('/socket.io/?EIO=4&transport=websocket');
      await nginx.ask('/');
      assert.deepEqual(requests(await metricsAfter(1, nginx)), { '{method="GET",route="page",status="200"}': 1 });
      socket.destroy();
      const samples = await metricsAfter(2, nginx);
      assert.equal(samples.get('web_http_requests_total{method="GET",route="socket.io",status="101"}'), 1);
      assert.deepEqual(
        [...samples.keys()].filter(series => series.includes('duration') && series.includes('socket.io')),
        [],
      );
    }));

  test('count a client that gave up as 499, and as no fault of the backend', () =>
    withNginx(UNLIMITED, async (nginx, backend) => {
      const reached = new Promise<void>(resolve => {
        backend.answer = () => resolve();
      });
      const socket = nginx.send('GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n');
      await reached;
      socket.destroy();
      const samples = await metricsAfter(1, nginx);
      assert.deepEqual(requests(samples), { '{method="GET",route="api",status="499"}': 1 });
      assert.deepEqual(counted(samples, 'web_upstream_errors_total'), {});
    }));

  test('have no more series for any method, path or nonsense that a client sends', () =>
    withNginx(UNLIMITED, async nginx => {
      const last = 'Host: a\r\nConnection: close\r\n\r\n';
      const sent = [
        'GET / HTTP/1.0\r\n\r\n',
        'GET /\r\n',
        `FOO /../../ HTTP/1.1\r\n${last}`,
        `PURGE /api/x HTTP/1.1\r\n${last}`,
        `A"}_B / HTTP/1.1\r\n${last}`,
        `GET /"}\\ HTTP/1.1\r\n${last}`,
        `GET /outputs/../etc HTTP/1.1\r\n${last}`,
        `GET /%zz HTTP/1.1\r\n${last}`,
        'GET / HTTP/1.1\r\n\r\n',
        `GET / HTTP/9.9\r\n${last}`,
        'nonsense\r\n\r\n',
        '\x16\x03\x01\x00\xa5\x01\x00',
        `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n${last}`,
        `GET / HTTP/1.1\r\nX: ${'x'.repeat(100_000)}\r\n${last}`,
      ];
      for (const text of sent) await once(nginx.send(text).resume(), 'close');
      for (const method of ['LOCK', 'MKCOL', 'PROPFIND', 'TRACE', 'PUT', 'PATCH', 'OPTIONS']) await nginx.ask('/api/x', { method });

      const samples = await metricsAfter(sent.length + 7, nginx);
      const label = (name: string) =>
        new Set([...samples.keys()].flatMap(series => new RegExp(`[{,]${name}="([^"]*)"`).exec(series)?.[1] ?? []));
      assert.deepEqual([...label('method')].sort(), ['GET', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'other']);
      assert.deepEqual([...label('route')].sort(), [...ROUTES].sort());
      for (const status of label('status')) assert.match(status, /^\d{3}$/);
    }));

  test('tell at any worker what each of them counted', () =>
    withNginx({ ...UNLIMITED, web: { resources: { limits: { cpu: 2, memoryMebibytes: 1024 } } } }, async nginx => {
      const [first, second] = nginx.workers as [number, number];
      assert.equal(nginx.workers.length, 2);
      const alone = async (worker: number, work: () => Promise<unknown>) => {
        const other = worker === first ? second : first;
        process.kill(other, 'SIGSTOP');
        while (!readFileSync(`/proc/${other}/status`, 'utf8').includes('State:\tT')) await setTimeout(5);
        await work().finally(() => process.kill(other, 'SIGCONT'));
      };
      for (const [index, worker] of [first, second].entries()) {
        await alone(worker, async () => {
          await nginx.ask(index === 0 ? '/' : '/nothing');
          // A worker that stands still counts nothing any more.
          await metricsAfter(index + 1, nginx);
        });
      }
      for (const worker of [first, second]) {
        await alone(worker, async () => {
          assert.deepEqual(requests(await metricsAfter(2, nginx)), {
            '{method="GET",route="page",status="200"}': 1,
            '{method="GET",route="other",status="404"}': 1,
          });
        });
      }
    }));

  test('survive a reload', () =>
    withNginx(UNLIMITED, async nginx => {
      await nginx.ask('/');
      await metricsAfter(1, nginx);
      await nginx.reload();
      await nginx.ask('/');
      assert.deepEqual(requests(await metricsAfter(2, nginx)), { '{method="GET",route="page",status="200"}': 2 });
    }));
});

describe('The ports of the metrics', () => {
  test('serve nothing else, and limit nobody', () =>
    withNginx({}, async nginx => {
      for (const [port, path] of [
        [nginx.ports.metrics, '/metrics'],
        [nginx.ports.status, '/stub_status'],
      ] as const) {
        const answers = await Promise.all(Array.from({ length: 150 }, () => nginx.ask(path, { port })));
        assert.ok(answers.every(({ status }) => status === 200));
        for (const other of ['/', '/healthz', '/index.html', '/api/x', `${path}/x`, path === '/metrics' ? '/stub_status' : '/metrics']) {
          assert.equal((await nginx.ask(other, { port })).status, 404, other);
        }
      }
    }));

  test('answer http as it comes, as an exporter and a Prometheus of the cluster ask', () =>
    withNginx({}, async nginx => {
      const { status, text } = await nginx.ask('/stub_status', { port: nginx.ports.status, headers: { 'X-Forwarded-Proto': 'http' } });
      assert.equal(status, 200);
      assert.match(text, /^Active connections: \d+/);
    }));

  test('are the only ones that tell: clients of web get 403 for metrics, and nothing for stub_status', () =>
    withNginx({}, async nginx => {
      assert.equal((await nginx.ask('/metrics')).status, 403);
      assert.equal((await nginx.ask('/stub_status')).status, 404);
      assert.equal((await nginx.ask('/metrics', { headers: { Host: `127.0.0.1:${nginx.ports.metrics}` } })).status, 403);
    }));
});

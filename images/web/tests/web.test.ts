import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { loadAllSettings } from '../../../config';
import { type Answer, checkConfiguration, freePort, Nginx, settingsWith, withNginx } from './nginx';
import { Stub } from './stub';

const SECURITY_HEADERS = {
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'content-security-policy':
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'x-xss-protection': '0',
  'referrer-policy': 'strict-origin-when-cross-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  'cross-origin-opener-policy': 'same-origin',
};

/** Resolves once the condition holds. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 5000; !(await condition()); await setTimeout(50)) assert.ok(Date.now() < end, 'it never came');
}

let clients = 0;
/** Headers of an edge's request for a client that has not asked for anything yet. */
const newClient = () => {
  clients += 1;
  return { 'X-Forwarded-For': `203.0.113.${clients}`, 'X-Forwarded-Proto': 'https' };
};

const times = (answer: Answer, name: string): number =>
  answer.rawHeaders.filter((header, i) => i % 2 === 0 && header.toLowerCase() === name).length;

function assertHeadersOnce(answer: Answer): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    assert.equal(answer.headers[name], value, name);
    assert.equal(times(answer, name), 1, `${name} must come once`);
  }
  assert.match(String(answer.headers['x-request-id']), /^[0-9a-f]{32}$/);
  assert.equal(times(answer, 'x-request-id'), 1);
  assert.equal(answer.headers.server, 'nginx', 'the version is not told');
}

function assertError(answer: Answer, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.match(String(answer.headers['content-type']), /^application\/json/);
  assert.equal(answer.json.error.code, code);
  assert.equal(typeof answer.json.error.message, 'string');
  assertHeadersOnce(answer);
}

describe('The configuration', () => {
  for (const settings of loadAllSettings()) {
    test(`of ${settings.environment} is one that nginx accepts`, () => {
      const { status, messages } = checkConfiguration(settings);
      assert.equal(status, 0, messages);
      assert.doesNotMatch(messages, /\[(warn|emerg)\]/);
    });
  }

  test('is accepted with the smallest limits', () => {
    const { status, messages } = checkConfiguration(
      settingsWith({ rateLimiting: { apiPerMinute: 1, generalPerSecond: 1, jobsPerHour: 1 } }),
    );
    assert.equal(status, 0, messages);
  });
});

describe('web', () => {
  const backend = new Stub();
  const realtime = new Stub();
  let nginx: Nginx;

  before(async () => {
    nginx = await Nginx.start(settingsWith({ uploads: { maxMebibytes: 1 } }), {
      backend: await backend.listen(),
      realtime: await realtime.listen(),
    });
  });
  after(() => Promise.all([nginx?.stop(), backend.close(), realtime.close()]));

  test('serves the page, which browsers ask for anew each time', async () => {
    const page = await nginx.ask('/', { headers: newClient() });
    assert.equal(page.status, 200);
    assert.match(page.text, /<title>ORFEAS AI 2D→3D Studio<\/title>/);
    assert.equal(page.headers['content-type'], 'text/html');
    assert.equal(page.headers['cache-control'], 'no-cache');
    assertHeadersOnce(page);
  });

  test('answers 304 for a page that has not changed', async () => {
    const { etag } = (await nginx.ask('/', { headers: newClient() })).headers;
    const again = await nginx.ask('/', { headers: { ...newClient(), 'If-None-Match': etag } });
    assert.equal(again.status, 304);
  });

  test('serves what the page loads for a year, under names that change with the content', async () => {
    const page = await nginx.ask('/', { headers: newClient() });
    const assets = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(match => match[1] as string);
    assert.deepEqual([...new Set(assets.map(path => path.split('/').at(-1)))].sort(), [
      'icon.svg',
      'socket.io.min.js',
      'studio.js',
      'style.css',
    ]);
    for (const path of assets) {
      assert.match(path, /^\/assets\/[0-9a-f]{12}\/[^/]+$/);
      const asset = await nginx.ask(path, { headers: newClient() });
      assert.equal(asset.status, 200, path);
      assert.equal(asset.headers['cache-control'], 'public, max-age=31536000, immutable', path);
      assertHeadersOnce(asset);
    }
  });

  test('does not let a missing file be kept for a year', async () => {
    const missing = await nginx.ask('/assets/000000000000/studio.js', { headers: newClient() });
    assert.equal(missing.status, 404);
    assert.equal(missing.headers['cache-control'], undefined);
  });

  for (const path of ['/nothing', '/assets/', '/nginx.conf', '/.env']) {
    test(`answers ${path} with a page that says that nothing is there`, async () => {
      const answer = await nginx.ask(path, { headers: newClient() });
      assert.equal(answer.status, 404);
      assert.match(answer.text, /There is nothing here/);
      assertHeadersOnce(answer);
    });
  }

  test('compresses text for clients that ask for it', async () => {
    const [, style = ''] = /href="([^"]+\.css)"/.exec((await nginx.ask('/', { headers: newClient() })).text) ?? [];
    const plain = await nginx.ask(style, { headers: newClient() });
    const compressed = await nginx.ask(style, { headers: { ...newClient(), 'Accept-Encoding': 'gzip' } });
    assert.equal(compressed.headers['content-encoding'], 'gzip');
    assert.equal(compressed.headers.vary, 'Accept-Encoding');
    assert.ok(compressed.body.length < plain.body.length / 2);
    assert.deepEqual(gunzipSync(compressed.body), plain.body);
  });

  test("compresses the API's JSON", async () => {
    backend.answer = (_, response) =>
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify({ text: 'x'.repeat(5000) }));
    const answer = await nginx.ask('/api/job-status/1', { headers: { ...newClient(), 'Accept-Encoding': 'gzip' } });
    assert.equal(answer.headers['content-encoding'], 'gzip');
    assert.equal(JSON.parse(gunzipSync(answer.body).toString()).text.length, 5000);
  });

  test('passes API calls on with their query, one client address, the scheme and the id of the request', async () => {
    const answer = await nginx.ask('/api/job-status/a%20b?x=1', {
      headers: { 'X-Forwarded-For': '203.0.113.250', 'X-Forwarded-Proto': 'https', Host: 'studio.example.com:8443' },
    });
    assert.equal(answer.status, 200);
    const { url, headers } = backend.last;
    assert.equal(url, '/api/job-status/a%20b?x=1');
    assert.equal(headers['x-forwarded-for'], '203.0.113.250');
    assert.equal(headers['x-forwarded-proto'], 'https');
    assert.equal(headers.host, 'studio.example.com:8443');
    assert.equal(headers['x-request-id'], answer.headers['x-request-id']);
  });

  test('gives each request an id of its own, whatever the client claims', async () => {
    const claimed = '0'.repeat(32);
    const answer = await nginx.ask('/api/x', { headers: { ...newClient(), 'X-Request-ID': claimed } });
    assert.notEqual(answer.headers['x-request-id'], claimed);
    assert.notEqual(backend.last.headers['x-request-id'], claimed);
  });

  test('does not switch an API call to another protocol', async () => {
    await nginx.ask('/api/x', { headers: { ...newClient(), Connection: 'Upgrade', Upgrade: 'h2c' } });
    assert.equal(backend.last.headers.upgrade, undefined);
    assert.equal(backend.last.headers.connection, 'close');
  });

  test("replaces the backend's security headers with its own", async () => {
    backend.answer = (_, response) => {
      for (const name of [...Object.keys(SECURITY_HEADERS), 'X-Request-ID']) response.setHeader(name, 'from the backend');
      response.end('{}');
    };
    assertHeadersOnce(await nginx.ask('/api/x', { headers: newClient() }));
  });

  test("leaves the backend's own errors as they are", async () => {
    backend.answer = (_, response) =>
      response
        .writeHead(429, { 'Content-Type': 'application/json', 'Retry-After': '1800' })
        .end('{"error":{"code":"rate_limited","message":"jobs"}}');
    const answer = await nginx.ask('/api/generate-3d', { method: 'POST', headers: newClient() });
    assertError(answer, 429, 'rate_limited');
    assert.equal(answer.json.error.message, 'jobs');
    assert.equal(answer.headers['retry-after'], '1800');
    assert.equal(times(answer, 'retry-after'), 1);
  });

  test('serves ten API calls at once, and answers the eleventh 429 while another client is served', async () => {
    const headers = newClient();
    backend.answer = (_, response) => response.end('{}');
    const answers = await Promise.all(Array.from({ length: 30 }, () => nginx.ask('/api/x', { headers })));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [...Array<number>(10).fill(200), ...Array<number>(20).fill(429)]);
    const refused = answers.find(({ status }) => status === 429) as Answer;
    assertError(refused, 429, 'rate_limited');
    assert.equal(refused.headers['retry-after'], '6');
    assert.equal((await nginx.ask('/api/x', { headers: newClient() })).status, 200);
    assert.equal((await nginx.ask('/', { headers })).status, 200, 'the page has a limit of its own');
  });

  test('limits everything else to a hundred requests at once', async () => {
    const headers = newClient();
    const answers = await Promise.all(Array.from({ length: 200 }, () => nginx.ask('/', { headers })));
    const served = answers.filter(({ status }) => status === 200).length;
    // More come back to the client with every 10 ms that the requests take.
    assert.ok(served >= 100 && served < 200, `${served} of 200 were served`);
    const refused = answers.find(({ status }) => status !== 200) as Answer;
    assertError(refused, 429, 'rate_limited');
    assert.equal(refused.headers['retry-after'], '1');
  });

  test('takes the last address of X-Forwarded-For that is not an edge, so that a forged one gains nothing', async () => {
    await nginx.ask('/api/x', { headers: { ...newClient(), 'X-Forwarded-For': '198.51.100.1, 203.0.113.251, 127.0.0.1' } });
    assert.equal(backend.last.headers['x-forwarded-for'], '203.0.113.251');
  });

  test('ignores X-Forwarded-For from anyone but an edge', async () => {
    const answers = await Promise.all(Array.from({ length: 11 }, () => nginx.ask('/api/x', { headers: newClient(), from: '127.0.0.2' })));
    assert.equal(answers.filter(({ status }) => status === 429).length, 1);
    assert.equal(backend.last.headers['x-forwarded-for'], '127.0.0.2');
  });

  test('never limits the probes of its own health, nor logs them', async () => {
    const headers = newClient();
    const answers = await Promise.all(Array.from({ length: 300 }, () => nginx.ask('/healthz', { headers })));
    assert.ok(answers.every(({ status, text }) => status === 200 && text === 'ok\n'));
    assert.doesNotMatch(await nginx.logged(), /healthz/);
  });

  test('redirects to HTTPS what came to the edge without it', async () => {
    const headers = { ...newClient(), 'X-Forwarded-Proto': 'http', Host: 'studio.example.com' };
    for (const path of ['/', '/api/x?a=1&b=2', '/outputs/a.glb', '/socket.io/?EIO=4']) {
      const { status, headers: answered } = await nginx.ask(path, { headers });
      assert.equal(status, 301);
      assert.equal(answered.location, `https://studio.example.com${path}`);
    }
    assert.equal((await nginx.ask('/healthz', { headers })).status, 200);
  });

  test('serves requests from inside the cluster, which carry no scheme, without a redirect', async () => {
    assert.equal((await nginx.ask('/')).status, 200);
    assert.equal((await nginx.ask('/api/x', { from: '127.0.0.3' })).status, 200);
    assert.equal(backend.last.headers['x-forwarded-proto'], 'http');
  });

  for (const path of ['/health', '/ready']) {
    test(`passes ${path} on to the backend`, async () => {
      backend.answer = (_, response) => response.writeHead(503).end('{"state":"loading"}');
      const answer = await nginx.ask(path, { headers: newClient() });
      assert.equal(answer.status, 503);
      assert.equal(answer.json.state, 'loading');
      assert.equal(backend.last.url, path);
      assertHeadersOnce(answer);
    });
  }

  for (const path of ['/metrics', '/metrics/', '/metrics/x', '/%6detrics', '//metrics', '/metrics?name=up']) {
    test(`keeps the backend's metrics from ${path}`, async () => {
      const before = backend.received.length;
      assertError(await nginx.ask(path, { headers: newClient() }), 403, 'forbidden');
      assert.equal(backend.received.length, before);
    });
  }

  for (const path of [
    '/outputs/../api/x',
    '/outputs/..%2f..%2fetc/passwd',
    '/outputs/%2e%2e/secret',
    '/outputs/.%2E/secret',
    '/outputs/%252e%252e%252fsecret',
    '/outputs/..%5csecret',
    '/outputs/..\\secret',
    '/api/%2e%2e/metrics',
    '/assets/..',
    '/../../etc/passwd',
    '/outputs/a%00.glb',
  ]) {
    test(`refuses ${path}`, async () => {
      const before = backend.received.length;
      assertError(await nginx.ask(path, { headers: newClient() }), 400, 'bad_request');
      assert.equal(backend.received.length, before);
    });
  }

  test('lets dots be where they climb nowhere', async () => {
    for (const path of ['/outputs/a..glb', '/outputs/...glb', '/api/x?next=/../y']) {
      assert.equal((await nginx.ask(path, { headers: newClient() })).status, 503, path);
      assert.equal(backend.last.url, path);
    }
  });

  const post = (headers: string, body = '') =>
    `POST /api/x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${newClient()['X-Forwarded-For']}\r\n${headers}\r\n\r\n${body}`;
  const CHUNKED = 'Transfer-Encoding: chunked';
  const GET = 'GET /api/x HTTP/1.1\r\nHost: x\r\n';
  for (const [what, request] of Object.entries({
    'a length and chunks at once': post(`Content-Length: 4\r\n${CHUNKED}`, '0\r\n\r\n'),
    'two encodings': post(`${CHUNKED}\r\nTransfer-Encoding: identity`, '0\r\n\r\n'),
    'an encoding before chunks': post('Transfer-Encoding: gzip, chunked', '0\r\n\r\n'),
    'an encoding after a tab': post('Transfer-Encoding:\tchunked', '0\r\n\r\n'),
    'an encoding of another name': post('Transfer-Encoding: xchunked', '0\r\n\r\n'),
    'a space before the colon': post('Transfer-Encoding : chunked', '0\r\n\r\n'),
    'two lengths': post('Content-Length: 4\r\nContent-Length: 5', 'abcde'),
    'the same length twice': post('Content-Length: 4\r\nContent-Length: 4', 'abcd'),
    'a list of lengths': post('Content-Length: 4, 4', 'abcd'),
    'a length with a sign': post('Content-Length: +4', 'abcd'),
    'a length below nothing': post('Content-Length: -4', 'abcd'),
    'a chunk whose size is no number': post(CHUNKED, 'zz\r\nabc\r\n0\r\n\r\n'),
    'a chunk whose size is beyond all bounds': post(CHUNKED, 'ffffffffffffffffff\r\nabc\r\n0\r\n\r\n'),
    'a folded header': `${GET}X-A: b\r\n c: d\r\n\r\n`,
    'a carriage return within a header': `${GET}X-A: b\rTransfer-Encoding: chunked\r\n\r\n`,
    'a zero within a header': `${GET}X-A: b\0c\r\n\r\n`,
    'a space within the name of a header': `${GET}X A: b\r\n\r\n`,
    'two hosts': `${GET}Host: y\r\n\r\n`,
    'no host': 'GET /api/x HTTP/1.1\r\n\r\n',
    'another protocol': '\x16\x03\x01\x02\x00\x01\r\n\r\n',
    'another version': 'GET /api/x HTTP/9.9\r\nHost: x\r\nConnection: close\r\n\r\n',
    'another method': 'CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n',
  })) {
    test(`refuses ${what}, and passes nothing on`, async () => {
      const before = backend.received.length;
      const answer = await nginx.exchange(request);
      assert.match(answer, /^HTTP\/1\.1 400 /, answer);
      assert.match(answer, /"code":"bad_request"/);
      assert.doesNotMatch(answer, /<html|nginx\//);
      assert.equal(answer.match(/HTTP\/1\.1 /g)?.length, 1, 'no second request is read from it');
      assert.equal(answer.match(/^content-security-policy:/gim)?.length, 1);
      assert.equal(backend.received.length, before);
    });
  }

  for (const [what, path, headers] of [
    ['a path', `/${'a'.repeat(9000)}`, {}],
    ['a header', '/', { 'X-Long': 'a'.repeat(9000) }],
    ['many headers', '/', Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`X-${i}`, 'a'.repeat(100)]))],
  ] as const) {
    test(`refuses ${what} of more than 8 KiB, or 32 in all`, async () => {
      assertError(await nginx.ask(path, { headers: { ...newClient(), ...headers } }), 431, 'request_too_large');
    });
  }

  test('lets no line of a path become a header', async () => {
    for (const scheme of ['http', 'https']) {
      const headers = { ...newClient(), 'X-Forwarded-Proto': scheme };
      const answer = await nginx.ask('/api/x%0d%0aSet-Cookie:%20a=b%0d%0a', { headers });
      assert.equal(answer.headers['set-cookie'], undefined);
    }
    assert.equal(backend.last.headers['set-cookie'], undefined);
  });

  for (const method of ['POST', 'PUT', 'DELETE', 'TRACE']) {
    test(`refuses ${method} of the page in JSON`, async () => {
      assertError(await nginx.ask('/', { method, headers: newClient() }), 405, 'method_not_allowed');
    });
  }

  test('sends each header once where a range is not there', async () => {
    assertHeadersOnce(await nginx.ask('/', { headers: { ...newClient(), Range: 'bytes=9999999-' } }));
  });

  test('tells nobody what runs behind it', async () => {
    backend.answer = (_, response) => response.setHeader('Server', 'gunicorn/23').setHeader('X-Powered-By', 'Flask').end('{}');
    const { headers } = await nginx.ask('/api/x', { headers: newClient() });
    assert.equal(headers.server, 'nginx');
    assert.equal(headers['x-powered-by'], undefined);
  });

  test('passes on no other word of a client about where it comes from', async () => {
    const forged = {
      'X-Real-IP': '1.2.3.4',
      Forwarded: 'for=1.2.3.4',
      'X-Forwarded-Host': 'evil',
      'X-Forwarded-Prefix': '/x',
      X_Forwarded_For: '1.2.3.4',
    };
    await nginx.ask('/api/x', { headers: { ...newClient(), ...forged } });
    assert.doesNotMatch(JSON.stringify(backend.last.headers), /1\.2\.3\.4|evil|prefix/);
  });

  test('serves pages that run no script and no style of their own, as the Content-Security-Policy demands', async () => {
    for (const path of ['/', '/404.html']) {
      const { text, headers } = await nginx.ask(path, { headers: newClient() });
      assert.doesNotMatch(String(headers['content-security-policy']), /unsafe|data:|\*/);
      assert.doesNotMatch(text, /<script(?![^>]*\ssrc="\/)|<style|\sstyle=|\son\w+=|javascript:|(src|href|action)="(https?:)?\/\//i, path);
      for (const [, script] of text.matchAll(/<script[^>]*\ssrc="([^"]+)"/g)) {
        const { text: code } = await nginx.ask(String(script), { headers: newClient() });
        assert.doesNotMatch(code, /\beval\(|new Function\(|\.innerHTML|document\.write\(|\.setAttribute\(\s*["']style/, script);
      }
    }
  });

  test('makes a download of each output, under the name that the backend gave it', async () => {
    backend.answer = ({ url }, response) => {
      if (url?.includes('named')) response.setHeader('Content-Disposition', 'attachment; filename=model.glb');
      if (url?.includes('inline')) response.setHeader('Content-Disposition', 'inline');
      response.setHeader('Content-Type', 'text/html').end('<script>');
    };
    for (const [path, expected] of [
      ['/outputs/named.glb', 'attachment; filename=model.glb'],
      ['/outputs/inline.html', 'attachment'],
      ['/outputs/bare.html', 'attachment'],
    ] as const) {
      const answer = await nginx.ask(path, { headers: newClient() });
      assert.equal(answer.headers['content-disposition'], expected);
      assert.equal(times(answer, 'content-disposition'), 1);
      assertHeadersOnce(answer);
    }
  });

  test('passes a large output on whole, and parts of it', async () => {
    const model = Buffer.alloc(20 * 2 ** 20, 'orfeas');
    backend.answer = ({ headers: { range } }, response) =>
      range ? response.writeHead(206, { 'Content-Range': `bytes 0-9/${model.length}` }).end(model.subarray(0, 10)) : response.end(model);
    assert.ok((await nginx.ask('/outputs/big.glb', { headers: newClient() })).body.equals(model));
    const part = await nginx.ask('/outputs/big.glb', { headers: { ...newClient(), Range: 'bytes=0-9' } });
    assert.equal(part.status, 206);
    assert.equal(part.body.length, 10);
  });

  test('passes on an upload of the largest size, and refuses one byte more', async () => {
    backend.answer = (_, response) => response.writeHead(202).end('{}');
    const largest = 2 * 2 ** 20;
    const upload = (bytes: number) => nginx.ask('/api/generate-3d', { method: 'POST', headers: newClient(), body: Buffer.alloc(bytes) });
    assert.equal((await upload(largest)).status, 202);
    assert.equal(backend.last.bodyBytes, largest);

    const refused = await upload(largest + 1);
    assertError(refused, 413, 'file_too_large');
    assert.match(refused.json.error.message, /1 MiB/);
    assert.equal(backend.last.bodyBytes, largest, 'the backend saw nothing of it');
  });

  test('upgrades a connection to a WebSocket, and passes both directions on', async () => {
    const socket = await nginx.upgrade('/socket.io/?EIO=4&transport=websocket');
    socket.write('ping');
    const [echo] = await once(socket, 'data');
    assert.equal(String(echo), 'ping');
    assert.equal(realtime.last.url, '/socket.io/?EIO=4&transport=websocket');
    assert.equal(realtime.last.headers.upgrade, 'websocket');
    assert.equal(realtime.last.headers.connection, 'upgrade');
    socket.destroy();
  });

  test('passes long polling on to the Socket.IO server', async () => {
    const answer = await nginx.ask('/socket.io/?EIO=4&transport=polling', { headers: newClient() });
    assert.equal(answer.status, 200);
    assert.equal(realtime.last.headers.connection, 'close');
    assertHeadersOnce(answer);
  });

  test("takes Traefik's wss for https", async () => {
    await nginx.ask('/socket.io/?EIO=4', { headers: { ...newClient(), 'X-Forwarded-Proto': 'wss' } });
    assert.equal(realtime.last.headers['x-forwarded-proto'], 'https');
  });

  test('sends a POST to the backend once, even if the connection breaks', async () => {
    backend.answer = request => request.socket.destroy();
    const before = backend.received.length;
    assertError(await nginx.ask('/api/generate-3d', { method: 'POST', headers: newClient(), body: 'x' }), 502, 'unavailable');
    assert.equal(backend.received.length, before + 1);
  });

  test('logs each request as JSON, without its query', async () => {
    const { headers } = await nginx.ask('/api/x?token=hidden', { headers: { ...newClient(), 'User-Agent': 'a "quoted" agent' } });
    const line = (await nginx.logged()).split('\n').find(text => text.includes(String(headers['x-request-id'])) && text.startsWith('{'));
    const entry = JSON.parse(line ?? '{}');
    assert.equal(entry.path, '/api/x');
    assert.equal(entry.method, 'GET');
    assert.equal(entry.user_agent, 'a "quoted" agent');
    assert.doesNotMatch(line ?? '', /hidden/);
  });
});

test('Without a backend, web answers 502 in JSON and still serves the page', async () => {
  const nothing = await freePort();
  const nginx = await Nginx.start(settingsWith({}), { backend: nothing, realtime: nothing });
  try {
    for (const path of ['/api/x', '/ready', '/outputs/a.glb', '/socket.io/']) {
      assertError(await nginx.ask(path, { headers: newClient() }), 502, 'unavailable');
    }
    assert.equal((await nginx.ask('/', { headers: newClient() })).status, 200);
  } finally {
    await nginx.stop();
  }
});

test('A backend that does not answer in time is answered for with 504 in JSON', () =>
  withNginx({ performance: { gunicorn: { timeoutSeconds: 1, gracefulTimeoutSeconds: 1 } } }, async (nginx, backend) => {
    backend.answer = () => {};
    assertError(await nginx.ask('/api/x', { headers: newClient() }), 504, 'timeout');
  }));

test('One client may have as many slow uploads under way as it may send a minute', () =>
  withNginx({ rateLimiting: { apiPerMinute: 60 } }, async (nginx, backend) => {
    const headers = newClient();
    const head = `POST /api/x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${headers['X-Forwarded-For']}\r\nContent-Length: 9\r\n\r\n`;
    const slow = Array.from({ length: 60 }, () => nginx.send(head));
    // By then the rate alone would let two more requests in.
    await setTimeout(2100);
    assertError(await nginx.ask('/api/x', { headers }), 429, 'rate_limited');
    assert.equal((await nginx.ask('/api/x', { headers: newClient() })).status, 200);
    assert.equal(backend.received.length, 1, 'nothing of an upload reaches the backend before its end');
    for (const socket of slow) socket.destroy();
    await setTimeout(1100);
    assert.equal((await nginx.ask('/api/x', { headers })).status, 200);
  }));

test('One client may fill a quarter of the disk, and all together no more than there is', () =>
  withNginx(
    { rateLimiting: { apiPerMinute: 600 }, web: { trustedProxies: ['127.0.0.1/32'], resources: { ephemeralMebibytes: 255 } } },
    async (nginx, backend) => {
      const first = newClient();
      const others = Array.from({ length: 3 }, newClient);
      const upload = (headers: { 'X-Forwarded-For': string }, bytes: number) =>
        nginx.send(`POST /api/x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: ${headers['X-Forwarded-For']}\r\nContent-Length: ${bytes}\r\n\r\n`);
      // Of 204 MiB.
      const slow = [upload(first, 45 * 2 ** 20)];
      const small = { method: 'POST', body: 'x' };
      const large = { method: 'POST', body: Buffer.alloc(10 * 2 ** 20) };
      await until(async () => (await nginx.ask('/api/x', { ...large, headers: first })).status === 429);
      assert.equal((await nginx.ask('/api/x', { ...small, headers: first })).status, 200);
      assert.equal((await nginx.ask('/api/x', { ...large, headers: newClient() })).status, 200);
      for (const headers of others) slow.push(upload(headers, 50 * 2 ** 20));
      await until(async () => (await nginx.ask('/api/x', { ...large, headers: newClient() })).status === 503);
      assertError(await nginx.ask('/outputs/a.glb', { headers: newClient() }), 503, 'busy');
      assert.equal((await nginx.ask('/api/x', { headers: newClient() })).status, 200, 'what needs no room is served');
      for (const socket of slow) socket.destroy();
      // Whether it was served, refused or broken off, a request gives back what it took.
      await until(async () => (await nginx.ask('/outputs/a.glb', { headers: newClient() })).status === 200);
      slow.length = 0;
      for (const headers of Array.from({ length: 3 }, newClient)) slow.push(upload(headers, 50 * 2 ** 20));
      assert.equal((await nginx.ask('/api/x', { ...large, headers: newClient() })).status, 200);
      for (const socket of slow) socket.destroy();
      assert.ok(backend.received.every(({ bodyBytes }) => bodyBytes <= large.body.length));
    },
  ));

test('One client may have as many requests under way as the settings say', () =>
  withNginx({ rateLimiting: { connections: 3 } }, async (nginx, backend) => {
    const headers = newClient();
    const waiting: ServerResponse[] = [];
    const arrived = new Promise<void>(resolve => {
      backend.answer = (_, response) => {
        waiting.push(response);
        if (waiting.length === 3) resolve();
      };
    });
    const answers = Array.from({ length: 3 }, () => nginx.ask('/outputs/a.glb', { headers }));
    await arrived;
    const refused = await nginx.ask('/', { headers });
    assertError(refused, 429, 'rate_limited');
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal((await nginx.ask('/', { headers: newClient() })).status, 200);
    for (const response of waiting) response.end('{}');
    assert.deepEqual(
      (await Promise.all(answers)).map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal((await nginx.ask('/', { headers })).status, 200);
  }));

test('1,000 connections that never finish their request end by themselves, and hold up nobody', () =>
  withNginx({}, async nginx => {
    const began = performance.now();
    const slow = Array.from({ length: 1000 }, () => nginx.send('GET / HTTP/1.1\r\nHost: x\r\nX-A: '));
    const drip = setInterval(() => {
      for (const socket of slow) if (socket.writable) socket.write('b');
    }, 1000);
    try {
      for (let i = 0; i < 50; i += 1) {
        const start = performance.now();
        assert.equal((await nginx.ask('/', { headers: newClient() })).status, 200);
        assert.ok(performance.now() - start < 500);
      }
      await Promise.all(slow.map(socket => socket.closed || new Promise(resolve => socket.once('close', resolve))));
      assert.ok(performance.now() - began < 20_000, 'a byte a second wins no time');
    } finally {
      clearInterval(drip);
    }
  }));

test('With rate limiting off, no client is refused', () =>
  withNginx({ rateLimiting: { enabled: false } }, async nginx => {
    const headers = newClient();
    for (const path of ['/api/x', '/']) {
      const answers = await Promise.all(Array.from({ length: 150 }, () => nginx.ask(path, { headers })));
      assert.ok(answers.every(({ status }) => status === 200));
    }
  }));

test('With security headers off, none is sent', () =>
  withNginx({ security: { headers: false } }, async nginx => {
    const { headers } = await nginx.ask('/', { headers: newClient() });
    for (const name of Object.keys(SECURITY_HEADERS)) assert.equal(headers[name], undefined, name);
    assert.ok(headers['x-request-id']);
  }));

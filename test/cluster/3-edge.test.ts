import http from 'node:http';
import { Studio } from '../../cli/http';
import { Client, certificate, host } from './support';

let studio: Studio;
beforeAll(async () => {
  studio = new Studio({ host, trusted: await certificate() });
});
afterAll(() => studio.close());
afterAll(Client.removeAll);

test('ten API calls of one client are served at once, the eleventh to thirtieth are answered 429, and another client is served', async () => {
  const [one, other] = await Promise.all([Client.create('limit-one'), Client.create('limit-other')]);
  const path = `/api/job-status/${'0'.repeat(32)}`;
  const answers = await one.send('GET', path, 30);
  const of = (status: number) => answers.filter(answer => answer.status === status).length;
  expect(of(404)).toBe(10);
  expect(of(429)).toBe(20);
  expect((await other.send('GET', path))[0]?.status).toBe(404);
});

test.each(['X-Forwarded-For', 'X-Real-IP', 'Forwarded', 'X-Client-IP'])('a forged %s moves no limit', async name => {
  const client = await Client.create(`forged-${name.toLowerCase()}`);
  const value = name === 'Forwarded' ? 'for=198.51.100.{n}' : '198.51.100.{n}';
  const answers = await client.send('GET', `/api/job-status/${'0'.repeat(32)}`, 30, undefined, { [name]: value });
  expect(answers.filter(({ status }) => status === 404).length).toBe(10);
  expect(answers.filter(({ status }) => status === 429).length).toBe(20);
});

test('one client is served a hundred requests a second', async () => {
  const client = await Client.create('general');
  const answers = await client.send('GET', '/', 60);
  expect(answers.filter(({ status }) => status === 200).length).toBe(60);
});

test.each(['/metrics', '/metrics/'])('%s is refused', async path => {
  const { status, body } = await studio.request('GET', path);
  expect(status).toBe(403);
  expect(body.toString()).not.toContain('# HELP');
});

test('HTTP is redirected to HTTPS', async () => {
  const location = await new Promise<[number | undefined, string | undefined]>((resolve, reject) =>
    http
      .get({ host: '127.0.0.1', path: '/x?y=z', headers: { host } }, answer => {
        answer.resume();
        resolve([answer.statusCode, answer.headers.location]);
      })
      .on('error', reject),
  );
  expect(location).toEqual([301, `https://${host}/x?y=z`]);
});

test.each(['/', '/health', '/ready', '/api/job-status/x', '/outputs/x', '/nowhere'])(
  'the security headers are on %s, once each',
  async path => {
    const client = await Client.create('headers');
    const [answer] = await client.send('GET', path);
    const headers = (answer?.headers ?? []).map(([name, value]) => [name.toLowerCase(), value] as const);
    for (const name of [
      'strict-transport-security',
      'content-security-policy',
      'x-frame-options',
      'x-content-type-options',
      'x-xss-protection',
      'referrer-policy',
    ]) {
      expect({ name, times: headers.filter(([key]) => key === name).length }).toEqual({ name, times: 1 });
    }
    expect(Object.fromEntries(headers)['strict-transport-security']).toContain('max-age=31536000');
  },
);

test.each(['/outputs/../app/settings.py', '/outputs/%2e%2e/%2e%2e/etc/passwd', '/outputs/..%2f..%2fetc/passwd', '/outputs/.ssh'])(
  'no name leaves the folder of outputs: %s',
  async path => {
    const { status } = await studio.request('GET', path);
    expect([400, 404]).toContain(status);
  },
);

import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { upstreamImages } from '../../config/images';
import { FakeRegistry } from './fake-registry';

// Each run starts a Node of its own.
jest.setTimeout(60_000);

const ROOT = join(__dirname, '../..');
const BOTH = ['linux/amd64', 'linux/arm64'];
const OWN = ['backend', 'web', 'backup'].map(name => `orfeas/${name}:0.1.0`);
const without = (image: string): string => image.slice(image.indexOf('/') + 1);

let registry: FakeRegistry;
let folder: string;
const lockFile = (): string => join(folder, 'config/images.lock.json');
const readLock = () => JSON.parse(readFileSync(lockFile(), 'utf8'));

/** A checkout whose images are all in one registry of this test, and locked there. */
beforeEach(async () => {
  registry = new FakeRegistry();
  await registry.start();
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  for (const name of [
    'cli',
    'config',
    'charts',
    'constructs',
    'dashboards',
    'files',
    'imports',
    'app.ts',
    'gitops.ts',
    'root.ts',
    'scripts/run.js',
    'yaml.ts',
    'synth.ts',
    'package.json',
  ])
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  for (const name of ['node_modules', 'tsconfig.json']) symlinkSync(join(ROOT, name), join(folder, name));
  const own = OWN.map(image => [`${registry.host}/${image}`, { digest: registry.push(image, ['linux/amd64']), source: registry.host }]);
  const upstream = Object.entries(upstreamImages).map(([name, { repository, tag }]) => {
    const path = without(repository);
    return [name, { repository: `${registry.host}/${path}`, tag, digest: registry.push(`${path}:${tag}`, BOTH), source: registry.host }];
  });
  writeFileSync(lockFile(), JSON.stringify({ upstream: Object.fromEntries(upstream), own: Object.fromEntries(own) }));
  set('config/production.ts', 'registry.example.com/orfeas', `${registry.host}/orfeas`);
});

afterEach(async () => {
  rmSync(folder, { recursive: true });
  await registry.stop();
});

function set(file: string, from: string, to: string): void {
  const text = readFileSync(join(folder, file), 'utf8');
  expect(text).toContain(from);
  writeFileSync(join(folder, file), text.replace(from, to));
}

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const images = (args: readonly string[], env: Record<string, string> = {}): Promise<Result> =>
  new Promise(resolve => {
    execFile(
      process.execPath,
      [join(folder, 'cli/bin.js'), 'images', ...args, '--env', 'production'],
      { env: { ...process.env, HOME: folder, ...env } },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });

const statuses = (stdout: string): Record<string, string> =>
  Object.fromEntries(
    JSON.parse(stdout).images.map(({ image, status }: { image: string; status: string }) => [without(image), status] as const),
  );

test('orfeas images lists each image with its digest, its source and what uses it, and asks nobody', async () => {
  const { code, stdout } = await images(['--json']);
  const listed = JSON.parse(stdout).images as { image: string; digest: string; source: string; usedBy: string[] }[];
  expect(code).toBe(0);
  expect(listed.map(({ image }) => image)).toEqual(expect.arrayContaining(OWN.map(image => `${registry.host}/${image}`)));
  expect(listed.find(({ image }) => image.includes('/redis:'))).toEqual({
    image: `${registry.host}/library/redis:${upstreamImages.redis.tag}`,
    reference: expect.stringMatching(/@sha256:/),
    digest: expect.stringMatching(/^sha256:/),
    source: registry.host,
    usedBy: ['StatefulSet/redis'],
  });
  expect(listed.find(({ image }) => image.includes('/restic:'))?.usedBy).toEqual(['images/backup']);
  expect(registry.asked).toEqual([]);
});

test('orfeas images check finds that all is as the lock says', async () => {
  const { code, stdout, stderr } = await images(['check', '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(new Set(Object.values(statuses(stdout)))).toEqual(new Set(['same']));
});

test('orfeas images check tells a moved tag, a lost digest, a missing platform and a version that was never locked apart', async () => {
  const lock = readLock();
  registry.push(`grafana/grafana:${upstreamImages.grafana.tag}`, BOTH, 'another build');
  lock.upstream.redis.digest = `sha256:${'0'.repeat(64)}`;
  lock.upstream.prometheus.digest = registry.push(`prom/prometheus:${upstreamImages.prometheus.tag}`, ['linux/arm64', 'windows/amd64']);
  delete lock.own[`${registry.host}/orfeas/web:0.1.0`];
  writeFileSync(lockFile(), JSON.stringify(lock));
  const { code, stdout } = await images(['check', '--json']);
  expect(code).toBe(1);
  expect(statuses(stdout)).toMatchObject({
    [`grafana/grafana:${upstreamImages.grafana.tag}`]: 'moved',
    [`library/redis:${upstreamImages.redis.tag}`]: 'gone',
    [`prom/prometheus:${upstreamImages.prometheus.tag}`]: 'incomplete',
    'orfeas/web:0.1.0': 'unlocked',
    'orfeas/backup:0.1.0': 'same',
  });
});

test('orfeas images check trusts no bytes that a digest does not name', async () => {
  registry.tampered = true;
  const { code, stdout } = await images(['check', '--json']);
  expect(code).toBe(1);
  expect(new Set(Object.values(statuses(stdout)))).toEqual(new Set(['unknown']));
  expect(stdout).toContain('serves other bytes');
});

test('a registry that asks for a login gets the one that docker has, from its file or from its helper', async () => {
  registry.login = true;
  const refused = await images(['check', '--json']);
  expect(refused.code).toBe(1);
  expect(refused.stdout).toContain('does not show library/redis to you (401)');

  const logins = join(folder, 'logins');
  mkdirSync(logins);
  const log = (content: object): void => writeFileSync(join(logins, 'config.json'), JSON.stringify(content));
  log({ auths: { [registry.host]: { auth: Buffer.from('user:password').toString('base64') } } });
  expect((await images(['check'], { DOCKER_CONFIG: logins })).code).toBe(0);

  log({ credHelpers: { [registry.host]: 'test' } });
  const helper = join(logins, 'docker-credential-test');
  writeFileSync(helper, `#!/bin/sh\nread key\n[ "$key" = ${registry.host} ] && echo '{"Username":"user","Secret":"password"}'\n`);
  chmodSync(helper, 0o755);
  expect((await images(['check'], { DOCKER_CONFIG: logins, PATH: `${logins}:${process.env.PATH}` })).code).toBe(0);
});

test('orfeas images lock writes the digests of our own images after a push, and forgets versions that nothing names', async () => {
  const before = readLock();
  const old = { digest: `sha256:${'1'.repeat(64)}`, source: registry.host };
  writeFileSync(lockFile(), JSON.stringify({ ...before, own: { [`${registry.host}/orfeas/web:0.0.9`]: old } }));
  const digest = registry.push('orfeas/web:0.1.0', ['linux/amd64'], 'a new build');
  const { code, stderr } = await images(['lock']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { upstream, own } = readLock();
  expect(upstream).toEqual(before.upstream);
  expect(Object.keys(own).sort()).toEqual(OWN.map(image => `${registry.host}/${image}`).sort());
  expect(own[`${registry.host}/orfeas/web:0.1.0`]).toEqual({ digest, source: registry.host });
});

test("orfeas images lock writes the digest of another's image that is named, and touches no other", async () => {
  const before = readLock();
  const digest = registry.push(`library/redis:${upstreamImages.redis.tag}`, BOTH, 'a new build');
  expect((await images(['lock', 'redis'])).code).toBe(0);
  before.upstream.redis.digest = digest;
  expect(readLock()).toEqual(before);
});

test('orfeas images lock leaves the lock as it was when one of several images is not there', async () => {
  set('config/production.ts', "version: '0.1.0'", "version: '0.2.0'");
  registry.push('orfeas/backend:0.2.0', ['linux/amd64']);
  const before = readFileSync(lockFile(), 'utf8');
  const { code, stderr } = await images(['lock']);
  expect(code).toBe(1);
  expect(stderr).toContain(`There is no ${registry.host}/orfeas/web:0.2.0; the lock is as it was\n  → build and push it first`);
  expect(readFileSync(lockFile(), 'utf8')).toBe(before);
  expect(readdirSync(join(folder, 'config')).filter(name => name.startsWith('images.lock'))).toEqual(['images.lock.json']);
});

test('a registry that does not answer is an error without a stack', async () => {
  const { host } = registry;
  await registry.stop();
  const { code, stderr } = await images(['lock']);
  expect(code).toBe(1);
  expect(stderr).toContain(`error: ${host} does not answer: ECONNREFUSED\n  → see that this machine reaches the registry\n`);
  await registry.start();
});

describe('orfeas images mirror', () => {
  /** Stands in for crane: the registry itself moves a tag to the digest, or to another one. */
  function installCrane(other?: string): Record<string, string> {
    const path = join(folder, 'crane');
    const ask = 'fetch(process.argv[1], { method: "PUT" })';
    const digest = other ?? '$digest';
    writeFileSync(
      path,
      `#!/bin/sh\n[ "$1" = version ] && exit\ndigest=\${2##*@} to=$3\nexec '${process.execPath}' -e '${ask}' "http://${registry.host}/\${to#*/}?copy=${digest}"\n`,
    );
    chmodSync(path, 0o755);
    return { PATH: folder };
  }

  test('copies what pods run, by digest; once more, there is nothing to do, and the mirror passes the check', async () => {
    const env = installCrane();
    const target = `${registry.host}/site`;
    const first = await images(['mirror', target, '--json'], env);
    expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: '' });
    const details = (stdout: string): Set<string> => new Set(JSON.parse(stdout).steps.map(({ detail }: { detail: string }) => detail));
    expect(details(first.stdout)).toEqual(new Set(['copied by crane']));
    expect(details((await images(['mirror', target, '--json'], env)).stdout)).toEqual(new Set(['there']));

    set('config/production.ts', "version: '0.1.0'", `version: '0.1.0', mirror: '${target}'`);
    const { code, stdout } = await images(['check', '--json']);
    expect(code).toBe(0);
    expect(Object.keys(statuses(stdout)).every(image => image.startsWith('site/'))).toBe(true);
  });

  test('refuses a copy with another digest', async () => {
    const other = registry.push('library/other:1', BOTH);
    const { code, stderr } = await images(['mirror', `${registry.host}/site`], installCrane(other));
    expect(code).toBe(1);
    expect(stderr).toContain(`has ${other}, and not sha256:`);
  });

  test('says what to install where there is no copier', async () => {
    const { code, stderr } = await images(['mirror', `${registry.host}/site`], { PATH: '/nonexistent' });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: None of crane, skopeo, regctl is installed\n {2}→ install one/);
  });

  test('copies nothing as long as the lock lacks a digest', async () => {
    const lock = readLock();
    delete lock.own[`${registry.host}/orfeas/web:0.1.0`];
    writeFileSync(lockFile(), JSON.stringify(lock));
    const { code, stderr } = await images(['mirror', `${registry.host}/site`], installCrane());
    expect(code).toBe(1);
    expect(stderr).toContain(`The lock has no digest of ${registry.host}/orfeas/web:0.1.0`);
    expect(registry.asked).toEqual([]);
  });

  test('needs to know where to', async () => {
    const { code, stderr } = await images(['mirror']);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('set images.mirror') });
  });
});

describe('orfeas images sbom', () => {
  test('says what to install where there is no syft', async () => {
    const { code, stderr } = await images(['sbom', join(folder, 'sboms')], { PATH: '/nonexistent' });
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/^error: syft is not installed\n {2}→ install it/) });
    expect(existsSync(join(folder, 'sboms'))).toBe(false);
  });

  test('asks syft for each of our images by its digest, and leaves no half-written file', async () => {
    const syft = join(folder, 'syft');
    // Fails at the second image, after it has begun to write.
    writeFileSync(
      syft,
      `#!/bin/sh\n[ "$1" = version ] && exit\necho "$2" > "\${4#spdx-json=}"\ncase $2 in *web*) echo no such image; exit 1;; esac\n`,
    );
    chmodSync(syft, 0o755);
    const { code, stderr } = await images(['sbom', join(folder, 'sboms')], { PATH: folder });
    expect(code).toBe(1);
    expect(stderr).toContain('no such image');
    expect(readdirSync(join(folder, 'sboms'))).toEqual(['backend-0.1.0.spdx.json']);
    const { digest } = readLock().own[`${registry.host}/orfeas/backend:0.1.0`];
    expect(readFileSync(join(folder, 'sboms/backend-0.1.0.spdx.json'), 'utf8')).toBe(
      `registry:${registry.host}/orfeas/backend:0.1.0@${digest}\n`,
    );
  });
});

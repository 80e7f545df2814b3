import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildProgram } from '../../cli/main';
import { checkoutWith } from '../checkout';

// Each run starts a Node of its own.
jest.setTimeout(60_000);

const BIN = join(__dirname, '../../cli/bin.js');

function orfeas(args: readonly string[], { bin = BIN, env = {} }: { bin?: string; env?: Record<string, string> } = {}) {
  const { KUBECONFIG: _, ...clean } = process.env;
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...args], {
    encoding: 'utf8',
    env: { ...clean, HOME: '/nonexistent', ...env },
  });
  return { status, stdout, stderr };
}

test.each(buildProgram().commands.map(command => [command.name(), command] as const))(
  'help of %s has its options and examples',
  (name, command) => {
    let help = '';
    command
      .configureOutput({
        writeOut: text => {
          help += text;
        },
      })
      .outputHelp();
    for (const option of ['--env', '--context', '--json', '--debug']) expect(help).toContain(option);
    expect(help).toMatch(new RegExp(`Examples:\n  \\$ orfeas ${name}`));
  },
);

describe('a wrong command line ends with exit code 1, a message, and no stack', () => {
  test.each<[readonly string[], RegExp]>([
    [['deploy', '--env', 'moon'], /argument 'moon' is invalid\. Allowed choices are local, staging, production/],
    [['deply'], /unknown command 'deply'[\s\S]*Did you mean deploy/],
    [['deploy', '--skip-biuld'], /unknown option '--skip-biuld'[\s\S]*Did you mean --skip-build/],
    [['smoke', '--format', 'fbx'], /Allowed choices are glb, obj, stl/],
    [['secrets', '--rotate', 'redis'], /Allowed choices are orfeas-app, orfeas-redis/],
    [['images', 'lock', 'moon'], /value 'moon' is invalid for argument 'names'\. Allowed choices are backend, web, backup, redis/],
    [['images', 'sbom'], /missing required argument 'folder'/],
    [['images', 'mirror', 'https://registry'], /"https:\/\/registry" is not a registry\n {2}→ write it like registry\.example\.org/],
    [['open', 'loki'], /Allowed choices are grafana, prometheus/],
    [['open'], /missing required argument 'what'/],
    [['open', 'grafana', '--port', '70000'], /argument '70000' is invalid\. Give a number from 1 to 65535/],
    [['restore', 'latest', '--parts', 'outputs,pictures'], /argument 'outputs,pictures' is invalid\. Give some of outputs, logs, models/],
    [['restore'], /Give either the name of a backup, latest, --from, --undo, or --discard\n {2}→ orfeas backup list shows the names/],
    [['rollback', '--to', '0'], /argument '0' is invalid\. Give a number, such as 3/],
    [['rollback', '--list', '--to', '3'], /'--list' cannot be used with option '--to <number>'/],
    [['backup', 'lst'], /too many arguments for 'backup'/],
    [['status'], /There is no kubeconfig\n {2}→ point KUBECONFIG at/],
    [['tls', '--key', 'a.pem'], /--cert and --key belong together/],
    [['smoke', '--image', '/no/such.png'], /--image \/no\/such\.png cannot be read: ENOENT/],
  ])('orfeas %j', (args, message) => {
    const { status, stdout, stderr } = orfeas(args);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n {4}at /);
    expect(stdout).toBe('');
    expect(status).toBe(1);
  });
});

test('help of status tells what its exit code means', () => {
  expect(orfeas(['status', '--help']).stdout).toMatch(/exit code is 1 when .* an alert of severity critical fires/);
});

test('diff that could not tell ends with exit code 2, as its help says', () => {
  expect(orfeas(['diff', '--help']).stdout).toMatch(/exit code is 0 when nothing differs, 1 when something does, and 2 when/);
  expect(orfeas(['diff'])).toMatchObject({ status: 2, stderr: expect.stringContaining('There is no kubeconfig') });
});

test('an error is a document as well', () => {
  const { status, stdout, stderr } = orfeas(['status', '--json']);
  expect(JSON.parse(stdout)).toEqual({ ok: false, error: { message: 'There is no kubeconfig', remedy: expect.any(String) } });
  expect(stderr).toBe('');
  expect(status).toBe(1);
});

test('--debug shows where an error comes from', () => {
  expect(orfeas(['status', '--debug']).stderr).toMatch(/\n {4}at /);
});

test('nothing is coloured away from a terminal, nor with NO_COLOR', () => {
  const escapeCharacter = String.fromCharCode(27);
  for (const env of [{}, { NO_COLOR: '1' }]) {
    const { stdout, stderr } = orfeas(['deploy', '--help'], { env });
    expect(stdout + stderr).not.toContain(escapeCharacter);
  }
});

test('sealed values that git has are part of what it makes', () => {
  const sealed = checkoutWith('config/local.ts', { 'web: {': "secrets: { mode: 'sealed-secrets' },\n  web: {" });
  try {
    const list = () => orfeas(['images'], { bin: join(sealed.folder, 'cli/bin.js') });
    expect(list().stderr).toMatch(/there is no \S*orfeas-app\.yaml/);
    const folder = join(sealed.folder, 'files/sealed-secrets/local');
    mkdirSync(folder, { recursive: true });
    for (const name of ['orfeas-app', 'orfeas-redis', 'orfeas-grafana', 'orfeas-backup'])
      writeFileSync(
        join(folder, `${name}.yaml`),
        JSON.stringify({ apiVersion: 'bitnami.com/v1alpha1', kind: 'SealedSecret', metadata: { name } }),
      );
    expect(list()).toMatchObject({ status: 0, stderr: '' });
  } finally {
    sealed.remove();
  }
});

test('without the dependencies it says what to run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  try {
    await cp(BIN, join(folder, 'bin.js'));
    const { status, stderr } = orfeas(['status'], { bin: join(folder, 'bin.js') });
    expect(stderr).toBe('error: the dependencies are not installed\n  → run npm start first\n');
    expect(status).toBe(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

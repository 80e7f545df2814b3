import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { imageTools, runCommand } from '../../cli/images';

const build = {
  image: 'localhost/orfeas/backend:0.1.0',
  dockerfile: 'images/backend/Dockerfile',
  context: 'images/backend',
  buildArgs: { BASE_IMAGE: 'debian', REQUIREMENTS: 'cpu' },
};
const COMMAND = 'make-image -t {image} -f {dockerfile} {buildArgs} {context}';
const never = new AbortController().signal;

describe('a builder that is found by itself', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });
  const install = (name: string, exitCode: number) => {
    writeFileSync(join(folder, name), `#!/bin/sh\nexit ${exitCode}\n`);
    chmodSync(join(folder, name), 0o755);
  };

  test('is docker before podman and buildah', async () => {
    for (const name of ['docker', 'podman', 'buildah']) install(name, 0);
    expect((await imageTools({ PATH: folder })).builder).toBe('docker');
  });

  test('is not a docker whose daemon does not answer', async () => {
    install('docker', 1);
    install('podman', 0);
    expect((await imageTools({ PATH: folder })).builder).toBe('podman');
  });

  test('that is not there is an error that names --skip-build', async () => {
    await expect(imageTools({ PATH: folder })).rejects.toMatchObject({
      message: 'None of docker, podman, buildah is installed and running',
      remedy: expect.stringContaining('--skip-build'),
    });
  });

  test('is not looked for when one is named, which must work then', async () => {
    install('podman', 0);
    await expect(imageTools({ PATH: folder, ORFEAS_IMAGE_BUILDER: 'docker' })).rejects.toThrow(
      'ORFEAS_IMAGE_BUILDER is "docker", but "docker info" fails',
    );
    expect((await imageTools({ PATH: folder, ORFEAS_IMAGE_BUILDER: 'podman' })).buildCommand(build, true)).toEqual([
      'podman',
      'build',
      '--tag',
      build.image,
      '--file',
      build.dockerfile,
      '--build-arg',
      'BASE_IMAGE=debian',
      '--build-arg',
      'REQUIREMENTS=cpu',
      '--no-cache',
      build.context,
    ]);
  });
});

describe('a command as builder', () => {
  test('has its placeholders filled, and each build argument as words of its own', async () => {
    const { buildCommand } = await imageTools({ ORFEAS_IMAGE_BUILDER: COMMAND });
    expect(buildCommand(build, false).join(' ')).toBe(
      'make-image -t localhost/orfeas/backend:0.1.0 -f images/backend/Dockerfile --build-arg BASE_IMAGE=debian --build-arg REQUIREMENTS=cpu images/backend',
    );
  });

  test('gets --no-cache for a rebuild', async () => {
    const { buildCommand } = await imageTools({ ORFEAS_IMAGE_BUILDER: COMMAND });
    expect(buildCommand({ ...build, buildArgs: {} }, true)).toContain('--no-cache');
  });

  test('has no words for build arguments that are not there', async () => {
    const { buildCommand } = await imageTools({ ORFEAS_IMAGE_BUILDER: COMMAND });
    expect(buildCommand({ ...build, buildArgs: {} }, false)).toEqual([
      'make-image',
      '-t',
      build.image,
      '-f',
      build.dockerfile,
      build.context,
    ]);
  });

  test('keeps quoted words together', async () => {
    const { buildCommand } = await imageTools({ ORFEAS_IMAGE_BUILDER: `"/opt/my tools/make" --label 'a b' ${COMMAND}` });
    expect(buildCommand(build, false).slice(0, 3)).toEqual(['/opt/my tools/make', '--label', 'a b']);
  });

  test.each([
    ['kaniko', 'which is no builder that is known'],
    ['make {image}', 'it lacks {dockerfile}, {context}, {buildArgs}'],
    [`${COMMAND} {tag}`, 'nothing is known for {tag}'],
    ['make {image} {dockerfile} {context} --args={buildArgs}', '{buildArgs} stands for several words'],
  ])('%s is refused', async (command, problem) => {
    await expect(imageTools({ ORFEAS_IMAGE_BUILDER: command })).rejects.toThrow(problem);
  });
});

describe('a command that loads images', () => {
  test('is told the image', async () => {
    const { loadCommand } = await imageTools({ ORFEAS_IMAGE_BUILDER: COMMAND, ORFEAS_IMAGE_LOAD: 'kind load docker-image {image}' });
    expect(loadCommand?.('a:1')).toEqual(['kind', 'load', 'docker-image', 'a:1']);
  });

  test('is not needed', async () => {
    expect((await imageTools({ ORFEAS_IMAGE_BUILDER: COMMAND })).loadCommand).toBeUndefined();
  });

  test('without a place for the image is refused', async () => {
    await expect(imageTools({ ORFEAS_IMAGE_BUILDER: COMMAND, ORFEAS_IMAGE_LOAD: 'kind load' })).rejects.toThrow(
      'ORFEAS_IMAGE_LOAD is "kind load": it lacks {image}',
    );
  });
});

describe('a command that runs', () => {
  const node = (script: string, signal = never, onLine: (line: string) => void = () => {}) =>
    runCommand([process.execPath, '-e', script], { signal, onLine });

  test('tells its lines as they come, of both streams', async () => {
    const lines: string[] = [];
    await node('console.log("one"); console.error("two")', never, line => lines.push(line));
    expect(lines.sort()).toEqual(['one', 'two']);
  });

  test('and fails shows its last lines', async () => {
    const failure = node('for (let i = 0; i < 100; i++) console.log("line", i); process.exitCode = 3');
    await expect(failure).rejects.toThrow(/ended with exit code 3[\s\S]*line 99/);
    await expect(failure).rejects.not.toThrow(/line 10\n/);
  });

  test('is given no shell', async () => {
    const lines: string[] = [];
    await runCommand([process.execPath, '-p', 'process.argv[1]', '$HOME; echo x'], { signal: never, onLine: line => lines.push(line) });
    expect(lines).toEqual(['$HOME; echo x']);
  });

  test('ends with an interrupt', async () => {
    const interrupt = new AbortController();
    const running = node('console.log("up"); setInterval(() => {}, 1000)', interrupt.signal, () => interrupt.abort());
    await expect(running).rejects.toThrow(/abort/i);
  });

  test('that does not exist is named', async () => {
    await expect(runCommand(['no-such-builder'], { signal: never, onLine: () => {} })).rejects.toThrow('"no-such-builder" cannot be run');
  });
});

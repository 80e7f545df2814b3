import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { promisify } from 'node:util';
import parseWords from 'string-argv';
import type { Settings } from '../config';
import { type ImageBuild, imageBuild, ownImages } from '../config/images';
import { ROOT } from '../root';
import { CommandError } from './errors';

const PROBE_MILLISECONDS = 10_000;
const SHOWN_LINES = 30;

/** Commands that show that a builder is there, and works: docker needs its daemon. */
const probes = { docker: ['info'], podman: ['--version'], buildah: ['--version'] } as const;
type KnownBuilder = keyof typeof probes;
const knownBuilders = Object.keys(probes) as KnownBuilder[];
const isKnown = (name: string): name is KnownBuilder => knownBuilders.some(known => known === name);

type Words = readonly string[];
type Environment = Readonly<Record<string, string | undefined>>;

/** Whether a command that shows that a tool is there, and works, succeeds. */
export const succeeds = ([command = '', ...args]: Words, env: Environment): Promise<boolean> =>
  promisify(execFile)(command, args, { env, timeout: PROBE_MILLISECONDS }).then(
    () => true,
    () => false,
  );

/** How images are built, and brought to the cluster. */
export interface ImageTools {
  /** As people would call it: `docker`, or the command's first word. */
  readonly builder: string;
  readonly buildCommand: (build: ImageBuild, rebuild: boolean) => Words;
  /** Absent where a built image needs no loading. */
  readonly loadCommand?: (image: string) => Words;
}

/** Splits a command into words as a shell would, and checks its placeholders. */
function template(variable: string, command: string, names: Words): Words {
  const words = parseWords(command);
  const used = words.flatMap(word => [...word.matchAll(/\{(\w+)\}/g)].map(([, name]) => name as string));
  const expected = names.map(name => `{${name}}`).join(', ');
  const missing = names.filter(name => !used.includes(name));
  const unknown = used.filter(name => !names.includes(name));
  const complain = (problem: string): never => {
    throw new CommandError(`${variable} is "${command}": ${problem}`, `write a command with ${expected} in it`);
  };
  if (missing.length > 0) complain(`it lacks ${missing.map(name => `{${name}}`).join(', ')}`);
  if (unknown.length > 0) complain(`nothing is known for ${unknown.map(name => `{${name}}`).join(', ')}`);
  if (used.includes('buildArgs') && !words.includes('{buildArgs}'))
    complain('{buildArgs} stands for several words, so it must be a word of its own');
  return words;
}

const fill = (words: Words, values: Readonly<Record<string, string | Words>>): string[] =>
  words.flatMap(word => {
    const whole = values[word.slice(1, -1)];
    if (Array.isArray(whole)) return whole;
    return word.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name]));
  });

const buildWords = ({ buildArgs }: ImageBuild, rebuild: boolean): string[] => [
  ...Object.entries(buildArgs).flatMap(([key, value]) => ['--build-arg', `${key}=${value}`]),
  ...(rebuild ? ['--no-cache'] : []),
];

const runs = (builder: KnownBuilder, env: Environment): Promise<boolean> => succeeds([builder, ...probes[builder]], env);

const known = (builder: KnownBuilder): ImageTools => ({
  builder,
  buildCommand: (build, rebuild) => [
    builder,
    'build',
    '--tag',
    build.image,
    '--file',
    build.dockerfile,
    ...buildWords(build, rebuild),
    build.context,
  ],
});

async function findBuilder(environment: Environment): Promise<ImageTools> {
  const configured = environment.ORFEAS_IMAGE_BUILDER;
  if (configured) {
    if (isKnown(configured)) {
      if (await runs(configured, environment)) return known(configured);
      throw new CommandError(
        `ORFEAS_IMAGE_BUILDER is "${configured}", but "${[configured, ...probes[configured]].join(' ')}" fails`,
        'install or start it, or pass --skip-build to deploy images that exist already',
      );
    }
    if (!configured.includes('{')) {
      throw new CommandError(
        `ORFEAS_IMAGE_BUILDER is "${configured}", which is no builder that is known`,
        `use ${knownBuilders.join(', ')}, or a command with {image}, {dockerfile}, {context} and {buildArgs} in it`,
      );
    }
    const words = template('ORFEAS_IMAGE_BUILDER', configured, ['image', 'dockerfile', 'context', 'buildArgs']);
    return {
      builder: words[0] as string,
      buildCommand: (build, rebuild) => fill(words, { ...build, buildArgs: buildWords(build, rebuild) }),
    };
  }
  for (const builder of knownBuilders) if (await runs(builder, environment)) return known(builder);
  throw new CommandError(
    `None of ${knownBuilders.join(', ')} is installed and running`,
    'start one, set ORFEAS_IMAGE_BUILDER, or pass --skip-build to deploy images that exist already',
  );
}

/**
 * Reads ORFEAS_IMAGE_BUILDER and ORFEAS_IMAGE_LOAD, or looks for a builder.
 *
 * @throws CommandError when there is none, or a variable makes no sense.
 */
export async function imageTools(environment: Environment = process.env): Promise<ImageTools> {
  const { ORFEAS_IMAGE_LOAD } = environment;
  const load = ORFEAS_IMAGE_LOAD ? template('ORFEAS_IMAGE_LOAD', ORFEAS_IMAGE_LOAD, ['image']) : undefined;
  return { ...(await findBuilder(environment)), ...(load && { loadCommand: (image: string) => fill(load, { image }) }) };
}

export interface RunProps {
  readonly signal: AbortSignal;
  /** Told each line that the command writes. */
  readonly onLine: (line: string) => void;
}

/**
 * Runs a command in the repository, without a shell.
 *
 * @throws CommandError with its last lines when it fails.
 */
export async function runCommand([command = '', ...args]: Words, { signal, onLine }: RunProps): Promise<void> {
  const lines: string[] = [];
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], signal });
  const output = new PassThrough();
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  createInterface({ input: output }).on('line', line => {
    lines.push(line);
    if (lines.length > SHOWN_LINES) lines.shift();
    onLine(line);
  });
  const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, killed) => resolve({ code, signal: killed }));
  }).catch(error => {
    if (signal.aborted) throw error;
    throw new CommandError(`"${command}" cannot be run: ${error.message}`, 'see that it is installed and in PATH', { cause: error });
  });
  output.end();
  if (ended.code === 0) return;
  const how = ended.signal ? `was ended by ${ended.signal}` : `ended with exit code ${ended.code}`;
  throw new CommandError(`"${[command, ...args].join(' ')}" ${how}. Its last lines:\n${lines.map(line => `  │ ${line}`).join('\n')}`);
}

export interface BuildProps extends RunProps {
  /** Builds without the cache. */
  readonly rebuild?: boolean;
}

/**
 * Builds our images one after the other, and brings each to where ORFEAS_IMAGE_LOAD says.
 *
 * @returns what was done, in a few words
 */
export async function buildImages(settings: Settings, tools: ImageTools, { rebuild = false, ...run }: BuildProps): Promise<string> {
  const { buildCommand, loadCommand } = tools;
  const builds = ownImages.map(name => imageBuild(settings, name));
  for (const build of builds) {
    await runCommand(buildCommand(build, rebuild), run);
    if (loadCommand) await runCommand(loadCommand(build.image), run);
  }
  return `${loadCommand ? 'built and loaded' : 'built'} ${builds.map(({ image }) => image).join(', ')}`;
}

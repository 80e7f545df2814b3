import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { environmentNames, SettingsError } from '../config';
import { ownImages, upstreamImages } from '../config/images';
import { secrets } from '../config/secrets';
import { version } from '../package.json';
import type { RestoreOptions } from './commands/restore';
import type { RollbackOptions } from './commands/rollback';
import { CommandError, Interrupted } from './errors';
import { meshFormats } from './mesh';
import type { CommonOptions, Outcome } from './outcome';
import { type Part, parts } from './parts';
import { watchers } from './watchers';

type Run<Options> = (options: Options, signal: AbortSignal) => Promise<Outcome>;

/** Prints what a command found or did, as a document or for people, and sets the exit code. */
function conclude(
  { ok, exitCode = 1, result, text, error }: Outcome,
  { json, debug }: Pick<CommonOptions, 'json' | 'debug'>,
  interrupted: boolean,
): void {
  const failure = error === undefined ? undefined : describe(error, interrupted);
  if (json) {
    console.log(JSON.stringify({ ok, ...result, ...(failure && { error: failure }) }, undefined, 2));
  } else {
    if (text !== '') console.log(text);
    if (failure) console.error(`error: ${failure.message}${failure.remedy ? `\n  → ${failure.remedy}` : ''}`);
  }
  if (debug && error instanceof Error) console.error(error);
  if (!ok) process.exitCode = interrupted ? 130 : exitCode;
}

function describe(error: unknown, interrupted: boolean): { message: string; remedy?: string } {
  if (interrupted && !(error instanceof Interrupted))
    return { message: 'Interrupted. Each change was made in full or not at all', remedy: 'run the same command again to go on' };
  if (error instanceof CommandError) return { message: error.message, ...(error.remedy && { remedy: error.remedy }) };
  if (error instanceof SettingsError) return { message: error.message };
  return { message: `unexpected: ${(error as Error).message}`, remedy: 'pass --debug to see where it comes from' };
}

/** Runs a command; the first Ctrl-C lets it come to a safe end, the second ends it at once. */
async function execute<Options extends CommonOptions>(load: () => Promise<Run<Options>>, options: Options): Promise<void> {
  const interrupt = new AbortController();
  const onSignal = () => interrupt.abort(new Error('interrupted'));
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  let outcome: Outcome;
  try {
    outcome = await (await load())(options, interrupt.signal);
  } catch (error) {
    outcome = { ok: false, result: {}, text: '', error };
  }
  conclude(outcome, options, !outcome.ok && interrupt.signal.aborted);
  await outcome.stay?.();
  process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
}

const examples = (...lines: readonly string[]): string => ['', 'Examples:', ...lines.map(line => `  $ ${line}`)].join('\n');

interface CommandProps<Options> {
  /** The code of a command is loaded only when it runs, so that help comes at once. */
  readonly load: () => Promise<Run<Options>>;
  readonly examples: readonly string[];
}

const command = <Options extends CommonOptions>(name: string, description: string, props: CommandProps<Options>): Command =>
  new Command(name)
    .description(description)
    .addOption(new Option('--env <environment>', 'environment, a file in config/').choices(environmentNames).default('local'))
    .option('--context <name>', 'kubeconfig context; the current one when absent')
    .option('--json', 'print one JSON document')
    .option('--debug', 'show where an error comes from')
    .addHelpText('after', examples(...props.examples))
    .action(function (this: Command) {
      const positional = this.registeredArguments.map((argument, index) => [argument.name(), this.processedArgs[index]]);
      return execute(props.load, { ...this.optsWithGlobals<Options>(), ...Object.fromEntries(positional) });
    });

/** @throws InvalidArgumentError unless it is a port's number. */
function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('Give a number from 1 to 65535.');
}

/** @throws InvalidArgumentError unless it is the number of a revision. */
function parseRevision(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Give a number, such as 3.');
}

/** @throws InvalidArgumentError unless it is a list of parts of a backup. */
function parseParts(text: string): Part[] {
  const names = text.split(',').map(name => name.trim());
  const unknown = names.filter(name => !parts.some(part => part === name));
  if (unknown.length > 0) throw new InvalidArgumentError(`Give some of ${parts.join(', ')}, with commas between.`);
  return parts.filter(part => names.includes(part));
}

const secretNames = Object.values(secrets).map(({ name }) => name);

const imageVariables = `
Variables:
  ORFEAS_IMAGE_BUILDER   docker, podman, buildah, or a command with {image}, {dockerfile}, {context} and {buildArgs};
                         the first of the three that runs when unset
  ORFEAS_IMAGE_LOAD      a command with {image}, run after each build, such as
                         "kind load docker-image {image}" or "docker push {image}"`;

/** All commands. */
export const buildProgram = (): Command =>
  new Command('orfeas')
    .description('Deploys and operates the ORFEAS studio on the cluster that the kubeconfig names.')
    .version(version)
    .showHelpAfterError('(orfeas --help lists the commands, orfeas <command> --help its options)')
    .addHelpText(
      'after',
      examples(
        'orfeas deploy                     on a cluster of your own',
        'orfeas status --env production    what runs, what does not, and why',
      ),
    )
    .addCommand(
      command('deploy', 'bring an environment to the cluster: check, make what is missing, build, apply, wait, ask', {
        load: async () => (await import('./commands/deploy')).deploy,
        examples: [
          'orfeas deploy                                all of it, on a cluster of your own',
          'orfeas deploy --env staging --dry-run        what would change',
          'orfeas deploy --env production --skip-build  with images that are in the registry already',
        ],
      })
        .option('--skip-build', 'use images that exist already')
        .option('--skip-tls', 'make no certificate')
        .option('--skip-backup', 'make no backup before pods with data are replaced')
        .option('--skip-health-check', 'do not ask the studio through the Ingress')
        .option('--rebuild', 'build images without the cache')
        .option('--dry-run', 'let the cluster check everything, print what would change, and change nothing')
        .addHelpText('after', imageVariables),
    )
    .addCommand(
      command('diff', 'tell what the cluster has that git does not say, field by field', {
        load: async () => (await import('./commands/diff')).diff,
        examples: [
          'orfeas diff',
          'orfeas diff --env production --json | jq .differences',
          'orfeas diff --deployed            against what was deployed last, such as after a rollback',
        ],
      })
        .option('--deployed', 'compare with the last revision that was deployed, in place of git')
        .addHelpText(
          'after',
          `
Git is this checkout. Fields that somebody set by hand count, also where git says nothing; defaults, what controllers write,
and the trace of kubectl rollout restart do not. Nothing changes: orfeas deploy does what it takes.
The exit code is 0 when nothing differs, 1 when something does, and 2 when that could not be told.`,
        ),
    )
    .addCommand(
      command('rollback', 'go back to the revision before, images and settings together', {
        load: async () => {
          const { rollback, listRollbacks } = await import('./commands/rollback');
          return (options: RollbackOptions & { list?: boolean }, signal) =>
            options.list ? listRollbacks(options) : rollback(options, signal);
        },
        examples: [
          'orfeas rollback                              to the last one that was deployed before',
          'orfeas rollback --list --env production      numbers, what changed, and how it went',
          'orfeas rollback --to 3 --dry-run             what going back to revision 3 would change',
        ],
      })
        .addOption(new Option('--to <number>', 'revision to go back to; the one before when absent').argParser(parseRevision))
        .addOption(new Option('--list', 'list the revisions').conflicts(['to', 'dryRun', 'skipHealthCheck']))
        .option('--skip-health-check', 'do not ask the studio through the Ingress')
        .option('--dry-run', 'let the cluster check everything, print what would change, and change nothing')
        .addHelpText(
          'after',
          `
Each orfeas deploy that changes something makes a revision; the last ten are kept. Data, claims and Secrets stay as they are.
A second rollback goes back to where the first one came from.`,
        ),
    )
    .addCommand(
      command('status', 'tell what runs, what does not, and why', {
        load: async () => (await import('./commands/status')).status,
        examples: [
          'orfeas status',
          'orfeas status --env production --json | jq .problems',
          'orfeas status --env production --json | jq .alerts.firing',
        ],
      }).addHelpText(
        'after',
        `
Prometheus tells the service level, the queue and the alerts; where it cannot be asked, a warning says why.
The exit code is 1 when something does not run, a valid certificate is missing, or an alert of severity critical fires.`,
      ),
    )
    .addCommand(
      command('open', 'forward a port to Grafana or Prometheus and open it in a browser, until Ctrl-C', {
        load: async () => (await import('./commands/open')).open,
        examples: [
          'orfeas open grafana',
          'orfeas open prometheus --env production --port 9091',
          'orfeas open grafana --json        one document once it is ready, then it stays',
        ],
      })
        .addArgument(new Argument('<what>', 'what to open').choices(watchers))
        .addOption(
          new Option('--port <number>', 'port of this machine; 3000 or 9090 when absent, or any that is free').argParser(parsePort),
        )
        .option('--no-browser', 'open no browser; without a terminal none is opened anyway')
        .addHelpText(
          'after',
          '\nA Grafana that the Ingress leads to (monitoring.stack.grafana.access) is opened there, without a forwarded port.',
        ),
    )
    .addCommand(
      command('secrets', 'make the Secrets that are missing, or replace one; values are never shown', {
        load: async () => (await import('./commands/secrets')).secrets,
        examples: [
          'orfeas secrets',
          'orfeas secrets --env production --rotate orfeas-redis',
          'orfeas secrets --env production --rotate orfeas-redis --cert controller.pem     where values are sealed',
        ],
      })
        .addOption(
          new Option('--rotate <name>', 'give this Secret a new value, without a restart; goes on where it was interrupted').choices(
            secretNames,
          ),
        )
        .option('--cert <file>', "the controller's certificate, PEM, to rotate where secrets.mode is sealed-secrets")
        .option('--force', 'rotate without being asked')
        .addHelpText(
          'after',
          `
Where secrets.mode is external-secrets or sealed-secrets, a rotation says which of its three changes to make now, in the store
or in git, and goes on once the cluster has it. It waits for that until Ctrl-C, and an hour where there is no terminal.`,
        )
        .addCommand(
          command('seal', 'encrypt the Secrets for git, where secrets.mode is sealed-secrets', {
            load: async () => (await import('./commands/seal')).sealSecrets,
            examples: ['kubeseal --fetch-cert >controller.pem', 'orfeas secrets seal --env production --cert controller.pem'],
          })
            .option('--cert <file>', "the controller's certificate, PEM")
            .option('--force', 'seal again what is sealed, such as after a change in the cluster')
            .addHelpText('after', '\nTakes the values that the cluster has, and makes those that it does not have.'),
        ),
    )
    .addCommand(
      command('tls', 'make the certificate that the Ingress serves, or take one that you bring', {
        load: async () => (await import('./commands/tls')).tls,
        examples: ['orfeas tls', 'orfeas tls --env production --cert fullchain.pem --key privkey.pem --force'],
      })
        .option('--cert <file>', 'certificate to take, PEM, followed by its issuers')
        .option('--key <file>', 'its private key, PEM')
        .option('--force', 'replace the certificate that is there'),
    )
    .addCommand(
      command('images', 'list the images of an environment, what uses them, and their digests', {
        load: async () => (await import('./commands/images')).listImages,
        examples: [
          'orfeas images --env production',
          'orfeas images build --env production',
          'orfeas images check --env production               whether registries have what the lock says',
          'orfeas images lock --env production                after a push: write the digests of our own images into the lock',
          'orfeas images lock redis                           write the digest that its tag has by now',
          'orfeas images mirror registry.example.org/studio --env production',
          'orfeas images sbom sboms --env production          what is in our own images',
        ],
      })
        .addCommand(
          command('build', 'build our own images, from the digests of the lock', {
            load: async () => (await import('./commands/images')).build,
            examples: [
              'orfeas images build --env production',
              "ORFEAS_IMAGE_LOAD='docker push {image}' orfeas images build --env production",
            ],
          })
            .option('--rebuild', 'build without the cache')
            .addHelpText('after', imageVariables),
        )
        .addCommand(
          command('check', 'ask the registries whether each tag still has the digest of the lock, for every platform', {
            load: async () => (await import('./commands/images')).checkImages,
            examples: ['orfeas images check --env production', 'orfeas images check --env production --json | jq .images'],
          }).addHelpText(
            'after',
            `
The exit code is 1 unless every image is as the lock says. With images.mirror, the mirror is asked.
Logins are those of docker or podman, credential helpers included.`,
          ),
        )
        .addCommand(
          command('lock', 'write the digests that registries have into config/images.lock.json, all of them or none', {
            load: async () => (await import('./commands/images')).lockImages,
            examples: ['orfeas images lock --env production', 'orfeas images lock prometheus grafana'],
          }).addArgument(
            new Argument('[names...]', "of our images, or of others' in the lock; all of ours when absent").choices([
              ...ownImages,
              ...Object.keys(upstreamImages),
            ]),
          ),
        )
        .addCommand(
          command('mirror', 'copy every image that pods run to a private registry, digests preserved', {
            load: async () => (await import('./commands/mirror')).mirrorImages,
            examples: ['orfeas images mirror registry.example.org/studio --env production'],
          })
            .addArgument(new Argument('[registry]', 'where to; images.mirror when absent'))
            .addHelpText(
              'after',
              '\nNeeds one of crane, skopeo and regctl, logged in to both registries. What is there already is left alone.',
            ),
        )
        .addCommand(
          command('sbom', 'write a software bill of materials (SPDX) of each of our images', {
            load: async () => (await import('./commands/sbom')).writeSboms,
            examples: ['orfeas images sbom sboms --env production'],
          })
            .addArgument(new Argument('<folder>', 'where to, such as sboms'))
            .addHelpText('after', '\nNeeds syft. An image that the lock has is read from the registry, another one as it was built.'),
        ),
    )
    .addCommand(
      command('backup', 'make a backup now, or list those that there are', {
        load: async () => (await import('./commands/backup')).backup,
        examples: [
          'orfeas backup                          one more, beside those of the schedule',
          'orfeas backup --skip-models            without the caches of the model, which can be downloaded again',
          'orfeas backup --target /mnt/backups    and a zip of it there',
          'orfeas backup list --env production    names, ages and sizes',
          'orfeas backup export studio.zip        the latest, as a plain zip',
        ],
      })
        .option('--skip-models', 'leave out the caches of the model')
        .option('--target <folder>', 'write a zip of it there, too')
        .addHelpText('after', '\nCtrl-C ends the backup, which leaves no snapshot then.')
        .addCommand(
          command('list', 'list the backups in the repository', {
            load: async () => (await import('./commands/backup')).listBackups,
            examples: ['orfeas backup list', 'orfeas backup list --json | jq .snapshots[0].name'],
          }),
        )
        .addCommand(
          command('export', 'write one backup as a plain zip, with the layout of those of the Compose deployment', {
            load: async () => (await import('./commands/export')).exportZip,
            examples: ['orfeas backup export studio.zip', 'orfeas backup export /mnt/old.zip orfeas_backup_20260101_030000 --force'],
          })
            .addArgument(new Argument('<file>', 'zip to write; it is there once it is whole'))
            .addArgument(new Argument('[snapshot]', 'name of a backup (orfeas backup list shows them), or latest').default('latest'))
            .option('--force', 'replace the file')
            .addHelpText('after', '\nNothing in the zip is encrypted. Secrets never go into it.'),
        ),
    )
    .addCommand(
      command('restore', 'restore a backup, and put everything back when the studio does not come up with it', {
        load: async () => {
          const { restore } = await import('./commands/restore');
          const { discard } = await import('./commands/discard');
          return (options: RestoreOptions & { discard?: boolean }, signal) =>
            options.discard ? discard(options, signal) : restore(options, signal);
        },
        examples: [
          'orfeas restore latest --dry-run                     what would change',
          'orfeas restore latest --skip-models',
          'orfeas restore orfeas_backup_20260101_030000 --parts outputs,redis --force',
          'orfeas restore --from orfeas_backup_20251017_120000.zip   a zip, also of the Compose deployment',
          'orfeas restore --undo                               put back what the last restore replaced',
          'orfeas restore --discard                            remove it, to have its room',
        ],
      })
        .addArgument(new Argument('[snapshot]', 'name of a backup (orfeas backup list shows them), or latest'))
        .addOption(new Option('--parts <list>', `of ${parts.join(', ')}; all but the configuration when absent`).argParser(parseParts))
        .option('--skip-models', 'leave the caches of the model as they are')
        .option('--force', 'replace data without being asked')
        .option('--undo', 'put back what the last restore replaced')
        .addOption(
          new Option('--discard', 'remove what restores have replaced, to have its room on the volumes').conflicts([
            'undo',
            'from',
            'parts',
            'skipModels',
          ]),
        )
        .option('--from <file>', 'take a zip of a backup into the repository, and restore it')
        .option('--skip-health-check', 'do not ask the studio through the Ingress')
        .option('--dry-run', 'look into the backup, tell what would change, and change nothing')
        .addHelpText(
          'after',
          `
What writes to the data stops meanwhile. Until data is replaced, Ctrl-C leaves everything as it was; from then on the
restore comes to its end first. Run it again after any other interruption.`,
        ),
    )
    .addCommand(
      command('smoke', 'send a picture through the Ingress and check the mesh that comes back', {
        load: async () => (await import('./commands/smoke')).smoke,
        examples: ['orfeas smoke', 'orfeas smoke --image photo.jpg --format glb', 'orfeas smoke --env staging --address 203.0.113.7'],
      })
        .option('--image <file>', 'PNG, JPEG or WebP; a sample when absent')
        .addOption(new Option('--format <format>', 'file that is asked for').choices(meshFormats).default('stl'))
        .option('--address <host[:port]>', 'connect there instead of where DNS says'),
    );

/** Reads the command line and runs the command on it. */
export const main = async (argv: readonly string[]): Promise<void> => {
  await buildProgram().parseAsync(argv);
};

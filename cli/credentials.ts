import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { CommandError } from './errors';

/** What `docker login`, `podman login` and the others write. */
interface LoginFile {
  readonly auths?: Readonly<Record<string, { readonly auth?: string }>>;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly credsStore?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where logins may be, the first that exists being the one. */
const loginFiles = ({ REGISTRY_AUTH_FILE, DOCKER_CONFIG, XDG_RUNTIME_DIR, HOME = homedir() }: Environment): string[] => [
  ...(REGISTRY_AUTH_FILE ? [REGISTRY_AUTH_FILE] : []),
  join(DOCKER_CONFIG ?? join(HOME, '.docker'), 'config.json'),
  ...(XDG_RUNTIME_DIR ? [join(XDG_RUNTIME_DIR, 'containers/auth.json')] : []),
];

function readLogins(environment: Environment): LoginFile {
  const path = loginFiles(environment).find(existsSync);
  if (path === undefined) return {};
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new CommandError(`${path}, which holds the logins to registries, cannot be read`, 'mend it, or log in anew', { cause: error });
  }
}

/** Asks a program of Docker's; it is told the registry on its input, and nothing secret is ever on a command line. */
async function askHelper(helper: string, key: string, signal: AbortSignal): Promise<string | undefined> {
  const child = spawn(`docker-credential-${helper}`, ['get'], { stdio: ['pipe', 'pipe', 'ignore'], signal });
  const ended = new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  child.stdin.on('error', () => {}).end(key);
  const [output, code] = await Promise.all([text(child.stdout), ended]).catch(error => {
    if (signal.aborted) throw error;
    throw new CommandError(`docker-credential-${helper}, which has the login to ${key}, cannot be run`, 'install it, or log in anew', {
      cause: error,
    });
  });
  if (code !== 0) return undefined;
  const { Username, Secret } = JSON.parse(output) as { Username: string; Secret: string };
  return Buffer.from(`${Username}:${Secret}`).toString('base64');
}

/** The login to a registry, as HTTP's scheme Basic has it; nothing where there is none. */
export async function loginTo(registry: string, signal: AbortSignal, environment: Environment = process.env): Promise<string | undefined> {
  const { auths = {}, credHelpers = {}, credsStore } = readLogins(environment);
  const keys = registry === 'docker.io' ? ['https://index.docker.io/v1/', registry] : [registry, `https://${registry}`];
  for (const key of keys) {
    const helper = credHelpers[key] ?? (auths[key] && !auths[key].auth ? credsStore : undefined);
    const login = helper ? await askHelper(helper, key, signal) : auths[key]?.auth;
    if (login) return login;
  }
  return undefined;
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { loadSettings, type Settings } from '../../config';
import { bundledStack, grafanaRoute } from '../../config/derive';
import { secrets } from '../../config/secrets';
import { Cluster } from '../cluster';
import { CommandError } from '../errors';
import { forward, readyPod } from '../forward';
import type { CommonOptions, Outcome } from '../outcome';
import { type Watcher, watcherService } from '../watchers';

const PORTS = { grafana: 3000, prometheus: 9090 } as const satisfies Record<Watcher, number>;
const NAMES = { grafana: 'Grafana', prometheus: 'Prometheus' } as const satisfies Record<Watcher, string>;
const ANSWER_MILLISECONDS = 10_000;

export interface OpenOptions extends CommonOptions {
  readonly what: Watcher;
  readonly port?: number;
  readonly browser: boolean;
}

export interface OpenResult {
  readonly environment: string;
  readonly url: string;
  /** Of the studio's own Grafana. */
  readonly login?: { readonly user: string; readonly passwordCommand: string };
}

function loginOf(settings: Settings, context: string): OpenResult['login'] {
  if (bundledStack(settings) === undefined) return undefined;
  const { name, key } = secrets.grafana;
  const kubectl = `kubectl --context ${context} --namespace ${settings.namespace}`;
  return { user: 'admin', passwordCommand: `${kubectl} get secret ${name} --output jsonpath='{.data.${key}}' | base64 --decode` };
}

function openBrowser(url: string): void {
  const command = { darwin: 'open', win32: 'explorer' }[process.platform as string] ?? 'xdg-open';
  // Where there is no browser, the URL that was printed has to do.
  spawn(command, [url], { stdio: 'ignore', detached: true })
    .on('error', () => {})
    .unref();
}

/** Opens Grafana or Prometheus, through a forwarded port where the Ingress does not lead there. */
export async function open(options: OpenOptions, signal: AbortSignal): Promise<Outcome<OpenResult>> {
  const { what, port, browser, json } = options;
  const settings = loadSettings(options.env);
  const { environment } = settings;
  const service = watcherService(settings, what);
  const cluster = Cluster.connect(options.context);
  const login = what === 'grafana' ? loginOf(settings, cluster.context) : undefined;

  const present = (url: string): Outcome<OpenResult> => {
    if (browser && !json && process.stdout.isTTY) openBrowser(url);
    const text = [
      `${NAMES[what]} of ${environment}: ${url}`,
      ...(login ? [`  user      ${login.user}`, `  password  ${login.passwordCommand}`] : []),
    ];
    return { ok: true, result: { environment, url, ...(login && { login }) }, text: text.join('\n') };
  };

  const route = what === 'grafana' ? grafanaRoute(settings) : undefined;
  if (route) return present(`https://${route.host}${route.path}`);

  let ready = false;
  const onNotice = (text: string): void => {
    // Until then a failure ends the command, which tells it.
    if (ready) console.error(text);
  };
  const forwarded = await forward(cluster, () => readyPod(cluster, service), {
    ports: port === undefined ? [PORTS[what], 0] : [port],
    onNotice,
  });
  try {
    const answer = await forwarded.get('/', AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MILLISECONDS)]));
    await answer.body?.cancel();
  } catch (error) {
    forwarded.close();
    if (error instanceof CommandError || signal.aborted) throw error;
    throw new CommandError(
      `${NAMES[what]} does not answer: ${(error as Error).message}`,
      `orfeas status --env ${environment} says how it is`,
      {
        cause: error,
      },
    );
  }
  ready = true;
  const outcome = present(`${forwarded.url}/`);
  return {
    ...outcome,
    text: `${outcome.text}\nCtrl-C ends it.`,
    stay: async () => {
      if (!signal.aborted) await once(signal, 'abort');
      forwarded.close();
    },
  };
}

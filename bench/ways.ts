import http from 'node:http';
import https from 'node:https';
import { setInterval as every } from 'node:timers/promises';
import { Studio } from '../cli/http';
import { certificate, endpoint, host, list, namespace, settings } from '../test/cluster/support';

/** A place to send requests to. */
export interface Way {
  readonly name: string;
  readonly url: string;
  /** HOST:PORT that the URL leads to. */
  readonly address: string;
  /** Where WebSockets go. */
  readonly realtime: string;
  readonly agent: http.Agent;
}

/** To the studio in `local`: past all that stands before the backend, past the Ingress, and as its users go. */
export async function ways(): Promise<[backend: Way, web: Way, ingress: Way]> {
  const { spec, metadata } = (await Promise.all(settings.edge.namespaces.map(where => list('-n', where, 'services'))))
    .flat()
    .find(({ spec }) => spec.ports.some(({ port }: { port: number }) => port === 443));
  const secure = spec.ports.find(({ port }: { port: number }) => port === 443);
  const ingress = await endpoint(metadata.namespace, metadata.name, secure.name);
  const studio = new Studio({ host, trusted: await certificate(), address: ingress });
  const [backend, realtime, web] = await Promise.all(['backend', 'backend-realtime', 'web'].map(name => endpoint(namespace, name)));
  const agent = new http.Agent({ keepAlive: true });
  return [
    { name: 'backend', url: `http://${backend}`, address: `${backend}`, realtime: `http://${realtime}`, agent },
    { name: 'web', url: `http://${web}`, address: `${web}`, realtime: `http://${web}`, agent },
    { name: 'Ingress', url: studio.url, address: ingress, realtime: studio.url, agent: studio.agent },
  ];
}

/** How long a request takes, with its connection where it needs a new one. */
export function send({ url, agent }: Way, path: string, status: number, options: http.RequestOptions = {}, body?: Buffer): Promise<number> {
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const request = (url.startsWith('https') ? https : http).request(
      `${url}${path}`,
      { ...options, agent, headers: { ...options.headers, host } },
      answer => {
        answer.resume().on('end', () => resolve(performance.now() - begin));
        if (answer.statusCode !== status) reject(new Error(`${url}${path} was answered ${answer.statusCode}`));
      },
    );
    request.on('error', reject).end(body);
  });
}

/** Begins something at its times, whatever became of what began before, until the signal; ends with all of it. */
export async function paced<T>(milliseconds: number, signal: AbortSignal, begin: (index: number) => Promise<T>): Promise<T[]> {
  const begun: Promise<T>[] = [];
  try {
    for await (const _ of every(milliseconds, undefined, { signal })) begun.push(begin(begun.length));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return Promise.all(begun);
}

/**
 * Asks at a pace, and by each way in turn: what else the machine does meets all ways alike.
 *
 * @returns How many milliseconds each answer took, by way.
 */
export async function askInTurn(all: readonly Way[], path: string, milliseconds: number, signal: AbortSignal): Promise<number[][]> {
  const times = await paced(milliseconds, signal, index => send(all[index % all.length] as Way, path, 200));
  return all.map((_, way) => times.filter((_, index) => index % all.length === way));
}

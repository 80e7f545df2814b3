import { secrets } from '../../config/secrets';
import { get, kubectl, list, namespace } from './support';

/** Value of each Secret, by its name. */
export async function present(): Promise<Record<string, string>> {
  const pairs = Object.values(secrets).map(async ({ name, key }) => {
    const { data } = await get('-n', namespace, 'secret', name);
    expect(Object.keys(data)).toEqual([key]);
    return [name, Buffer.from(data[key], 'base64').toString()];
  });
  return Object.fromEntries(await Promise.all(pairs));
}

/** How often each container that mounts a Secret was restarted. */
export const restarts = async (): Promise<Record<string, number>> =>
  Object.fromEntries(
    (await list('-n', namespace, 'pods', '-l', 'app.kubernetes.io/name in (backend,redis,grafana)')).flatMap(({ metadata, status }) =>
      status.containerStatuses.map(({ name, restartCount }: { name: string; restartCount: number }) => [
        `${metadata.name} ${name}`,
        restartCount,
      ]),
    ),
  );

const ask = async (pod: string, container: string, program: readonly string[], value: string): Promise<string> =>
  (await kubectl(['-n', namespace, 'exec', '-i', pod, '-c', container, '--', ...program], Buffer.from(value))).toString().trim();

/** `PONG` for a password that it admits. */
export const redisAnswer = (password: string): Promise<string> =>
  ask('redis-0', 'redis', ['sh', '-c', 'REDISCLI_AUTH=$(cat) redis-cli --no-auth-warning ping 2>&1'], password);

/** The status of an answer to the user `admin`. */
export function grafanaAnswer(password: string): Promise<string> {
  const login = `
import base64, sys, urllib.error, urllib.request
token = base64.b64encode(b"admin:" + sys.stdin.buffer.read()).decode()
request = urllib.request.Request("http://127.0.0.1:3000/api/user", headers={"Authorization": "Basic " + token})
try:
    print(urllib.request.urlopen(request, timeout=10).status)
except urllib.error.HTTPError as error:
    print(error.code)`;
  return ask('deploy/grafana', 'grafana', ['python3', '-c', login], password);
}

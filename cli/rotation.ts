import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundledStack } from '../config/derive';
import { secrets } from '../config/secrets';
import { askRepository } from './backups';
import { ApiError, type Cluster } from './cluster';
import { CommandError } from './errors';
import { forward, readyPod } from './forward';
import type { Pod } from './objects';
import { type Change, type ChangeProps, makeChange, problemsOf, ROTATION_MANAGER, readPresent, type Values } from './secret-change';

const ANNOTATION = 'orfeas.io/secrets-seen';
const POLL_MILLISECONDS = 1000;
/** The kubelet brings a changed Secret within about two minutes, if nothing makes it look. */
const SEEN_SECONDS = 300;

export interface RotationProps extends ChangeProps {
  readonly onProgress: (text: string) => void;
}

/** A Secret as one container mounts it. */
interface Mount {
  readonly pod: Pod;
  readonly container: string;
  readonly path: string;
  /** File of each key; all keys under their own names when absent. */
  readonly items: readonly { readonly key: string; readonly path: string }[] | undefined;
}

const digest = (value: string): string => createHash('sha256').update(value).digest('hex');

/** Where running pods have the Secret, each once. */
async function mountsOf(cluster: Cluster, namespace: string, secret: string): Promise<Mount[]> {
  const pods = await cluster.list<Pod>('v1', 'Pod', namespace);
  return pods
    .filter(({ metadata, status }) => status?.phase === 'Running' && !metadata.deletionTimestamp)
    .flatMap(pod => {
      const volume = pod.spec?.volumes?.find(({ secret: mounted }) => mounted?.secretName === secret);
      const running = (pod.status?.containerStatuses ?? []).filter(({ state }) => state?.running).map(({ name }) => name);
      const container = pod.spec?.containers.find(
        ({ name, volumeMounts = [] }) => running.includes(name) && volumeMounts.some(mount => mount.name === volume?.name),
      );
      const path = container?.volumeMounts?.find(({ name }) => name === volume?.name)?.mountPath;
      return container && path ? [{ pod, container: container.name, path, items: volume?.secret?.items }] : [];
    });
}

/** Whether the files of a mount are those of the Secret's values. Only digests travel. */
async function shows(cluster: Cluster, namespace: string, { pod, container, path, items }: Mount, values: Values): Promise<boolean> {
  // A file may go between its name and its sum: then the change is under way.
  const script = 'cd "$1" && for file in *; do sha256sum "$file" 2>/dev/null || echo gone "$file"; done';
  const output = await cluster.exec({ namespace, pod: pod.metadata.name, container }, ['sh', '-c', script, 'sh', path]);
  const found = output
    .trim()
    .split('\n')
    .map(line => line.split(/\s+/))
    .map(([sum, file]) => `${file} ${sum}`);
  const files = items ?? Object.keys(values).map(key => ({ key, path: key }));
  const expected = files.map(item => `${item.path} ${digest(values[item.key] ?? '')}`);
  return found.sort().join() === expected.sort().join();
}

/** Waits until every pod that mounts the Secret has its present values. */
async function waitUntilSeen(
  cluster: Cluster,
  name: string,
  values: Values,
  { settings, signal, onProgress }: RotationProps,
): Promise<void> {
  const { namespace } = settings;
  const mark = digest(JSON.stringify(values)).slice(0, 16);
  const deadline = Date.now() + SEEN_SECONDS * 1000;
  const seen = new Set<string>();
  for (;;) {
    const waiting = (await mountsOf(cluster, namespace, name)).filter(({ pod }) => !seen.has(pod.metadata.uid as string));
    if (waiting.length === 0) return;
    onProgress(`${waiting.map(({ pod }) => pod.metadata.name).join(', ')} still to see ${name}`);
    for (const mount of waiting) {
      const { metadata } = mount.pod;
      try {
        // A pod that changes has the kubelet look after its volumes at once.
        if (metadata.annotations?.[ANNOTATION] !== mark) {
          const reference = { apiVersion: 'v1', kind: 'Pod', metadata: { name: metadata.name, namespace } };
          await cluster.merge(reference, { metadata: { annotations: { [ANNOTATION]: mark } } }, ROTATION_MANAGER);
        }
        if (await shows(cluster, namespace, mount, values)) seen.add(metadata.uid as string);
      } catch (error) {
        // Of a pod that has gone meanwhile; one in its place mounts the present values.
        if (!(error instanceof ApiError && error.status === 404)) throw error;
      }
    }
    if (Date.now() > deadline) {
      throw new CommandError(
        `Pod/${waiting[0]?.pod.metadata.name} has not seen the change of Secret/${name} after ${SEEN_SECONDS} s`,
        'see that its node is well, and run the command again: it goes on from here',
      );
    }
    await sleep(POLL_MILLISECONDS, undefined, { signal });
  }
}

/** Waits until Redis lets in who has one of the values, and nobody else. Its readiness probe sees to it. */
async function waitForRedis(
  cluster: Cluster,
  values: Values,
  { settings: { namespace }, signal, onProgress }: RotationProps,
): Promise<void> {
  const [mount] = (await mountsOf(cluster, namespace, secrets.redis.name)).filter(({ container }) => container === 'redis');
  if (mount === undefined) return;
  const expected = ['', '.next', '.previous']
    .flatMap(suffix => values[`${secrets.redis.key}${suffix}`] ?? [])
    .map(value => `#${digest(value.replace(/\n+$/, ''))}`)
    .join(' ');
  const deadline = Date.now() + SEEN_SECONDS * 1000;
  const target = { namespace, pod: mount.pod.metadata.name, container: mount.container };
  while (!(await cluster.exec(target, ['cat', '/run/redis/loaded.acl'])).includes(`user default on ${expected} ~*`)) {
    onProgress('Redis still to take it over');
    if (Date.now() > deadline) {
      throw new CommandError(
        'Redis does not take the passwords of its Secret over',
        `kubectl --namespace ${namespace} describe pod redis-0 says why`,
      );
    }
    await sleep(POLL_MILLISECONDS, undefined, { signal });
  }
}

async function changeGrafana(
  cluster: Cluster,
  { old, next }: { old: string; next: string },
  { settings, signal }: RotationProps,
): Promise<void> {
  const stack = bundledStack(settings);
  if (stack === undefined) return;
  const { namespace, environment } = settings;
  const remedy = `orfeas deploy --env ${environment}`;
  const find = () => readyPod(cluster, { namespace, name: 'grafana', remedy });
  const forwarded = await forward(cluster, find, { ports: [0], onNotice: () => {} });
  const base = `${forwarded.url}${stack.grafana.access.by === 'path' ? stack.grafana.access.path : ''}`;
  const as = (password: string) => ({ authorization: `Basic ${Buffer.from(`admin:${password}`).toString('base64')}` });
  try {
    const known = await fetch(`${base}/api/user`, { headers: as(next), signal });
    if (known.ok) return;
    const answer = await fetch(`${base}/api/user/password`, {
      method: 'PUT',
      headers: { ...as(old), 'content-type': 'application/json' },
      body: JSON.stringify({ oldPassword: old, newPassword: next, confirmNew: next }),
      signal,
    });
    if (!answer.ok) {
      throw new CommandError(
        `Grafana does not change the password of admin (${answer.status})`,
        'it has another one than its Secret: docs/dashboards.md tells how to give it that of the Secret; then run this again',
      );
    }
  } finally {
    forwarded.close();
  }
}

/** Has what keeps a password of its own take the next one, and refuse the previous one. */
async function accept(cluster: Cluster, change: { old: string; next: string }, props: RotationProps): Promise<void> {
  if (props.reference.name === secrets.grafana.name) await changeGrafana(cluster, change, props);
  if (props.reference.name === secrets.backup.name) await askRepository(cluster, props.settings, ['rekey'], props);
}

/**
 * Replaces a Secret's value while everything runs: both the old and the new one are valid until all have seen the new one.
 *
 * What is done stands in the Secret, so that one that was interrupted goes on where it was: `<key>.next` until it is the
 * value, and then `<key>.previous` until it is no longer valid.
 */
export async function rotateSecret(cluster: Cluster, props: RotationProps): Promise<void> {
  const { settings, reference, signal, onProgress } = props;
  const { namespace } = settings;
  const { name, key } = reference;
  const next = `${key}.next`;
  const previous = `${key}.previous`;

  let present = await readPresent(cluster, namespace, name);
  if (!present.values[key]) {
    const { mode } = settings.secrets;
    const remedy =
      mode === 'cli' ? 'make it: orfeas secrets' : `${mode} has to make it first: orfeas deploy waits for that, and tells why not`;
    throw new CommandError(`Secret/${name} has no value in ${namespace}`, remedy);
  }
  const settle = async (): Promise<void> => {
    await waitUntilSeen(cluster, name, present.values, props);
    if (name === secrets.redis.name) await waitForRedis(cluster, present.values, props);
  };
  const change = async (wanted: Change): Promise<void> => {
    signal.throwIfAborted();
    if (problemsOf(wanted, present.values, present.values, reference).length > 0) {
      await makeChange(cluster, wanted, present, props);
      present = await readPresent(cluster, namespace, name);
    }
    await settle();
  };

  if (present.values[previous]) await settle();
  else await change({ [key]: key, [next]: null });
  const { [key]: old = '', [next]: coming } = present.values;
  if (coming && coming !== old) {
    await accept(cluster, { old, next: coming }, props);
    await change({ [key]: next, [previous]: key });
  }
  onProgress('the old value ends');
  await accept(cluster, { old: present.values[previous] ?? '', next: present.values[key] ?? '' }, props);
  await change({ [key]: key });
}
